{{- /* What KEDA asks of each kind of broker; the names of queues and streams, and their defaults, are those of the worker. */ -}}

{{- /* A trigger: root, name and source, and `reach`, how KEDA comes to the broker. */ -}}
{{- define "quash.trigger" -}}
{{- $at := .root.Values.autoscaling.messagesPerReplica | int | toString -}}
{{- $reach := .reach -}}
{{- with .source.redis_streams -}}
type: redis-streams
metadata:
  address: {{ required (printf "autoscaling.sources.%s.address: host:port of the server, for KEDA" $.name) $reach.address }}
  databaseIndex: {{ $reach.database | default 0 | int | toString | quote }}
  enableTLS: {{ $reach.tls | default false | toString | quote }}
  stream: {{ .stream | default "quash.events" }}
  {{- if .keep }}
  # Settled entries are kept, so the length of the stream says nothing. Needs Redis 7.
  consumerGroup: {{ .group | default "quash" }}
  lagCount: {{ $at | quote }}
  activationLagCount: "0"
  {{- else }}
  # Settled entries are removed, so the length of the stream is what is left to do.
  streamLength: {{ $at | quote }}
  {{- end }}
{{- end -}}
{{- with .source.amqp -}}
type: rabbitmq
metadata:
  protocol: amqp
  queueName: {{ .queue | default "quash.events" }}
  mode: QueueLength
  value: {{ $at | quote }}
{{- end -}}
{{- with .source.nats -}}
type: nats-jetstream
metadata:
  natsServerMonitoringEndpoint: {{ required (printf "autoscaling.sources.%s.monitoring: host:port of the server's monitoring endpoint, for KEDA" $.name) $reach.monitoring }}
  useHttps: {{ $reach.tls | default false | toString | quote }}
  account: {{ $reach.account | default "$G" | quote }}
  stream: {{ .stream | default "QUASH" }}
  consumer: {{ .consumer | default "quash" }}
  lagThreshold: {{ $at | quote }}
{{- end -}}
{{- end -}}

{{- /* What KEDA signs on with, and its name: one of the user's, one made of the secrets that are known, or none. */ -}}
{{- define "quash.triggerAuthentication" -}}
{{- $own := printf "%s-%s" (include "quash.fullname" .root) .name | replace "_" "-" | lower -}}
{{- if .reach.authenticationRef -}}
name: {{ .reach.authenticationRef }}
{{- else if .source.amqp -}}
{{- $variable := .source.amqp.url | regexFind "^\\$\\{[A-Z0-9_]+" | trimPrefix "${" -}}
{{- $secret := get .root.Values.secrets $variable -}}
{{- if not $secret -}}
{{- fail (printf "autoscaling.sources.%s.authenticationRef: its url is none of `secrets`, so KEDA needs a TriggerAuthentication of your own" .name) -}}
{{- end -}}
{{- toYaml (dict "name" $own "secretTargetRef" (list (merge (dict "parameter" "host") $secret))) -}}
{{- else if and .source.redis_streams (or .reach.password .reach.username) -}}
{{- $refs := list -}}
{{- range $parameter := list "username" "password" -}}
{{- with get $.reach $parameter -}}
{{- $refs = append $refs (merge (dict "parameter" $parameter) .) -}}
{{- end -}}
{{- end -}}
{{- toYaml (dict "name" $own "secretTargetRef" $refs) -}}
{{- end -}}
{{- end -}}
