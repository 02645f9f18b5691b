{{- /* Names, labels and the parts that several objects share. */ -}}

{{- define "quash.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* The release's name, with the chart's where it is not in it. */ -}}
{{- define "quash.fullname" -}}
{{- $name := include "quash.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "quash.selector" -}}
app.kubernetes.io/name: {{ include "quash.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: worker
{{- end -}}

{{- define "quash.labels" -}}
{{ include "quash.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "quash.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "quash.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "quash.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "quash.drain" -}}
{{- dig "worker" "drain" "25s" .Values.config -}}
{{- end -}}

{{- /* quash.yaml: the values of `config`, and what only the chart knows. */ -}}
{{- define "quash.config" -}}
{{- if not (or .Values.existingConfigMap .Values.config.targets) -}}
{{- fail "config.targets: name the cache that entries are removed from, or name an existingConfigMap" -}}
{{- end -}}
{{- if not (or .Values.existingConfigMap .Values.config.sources) -}}
{{- fail "config.sources: name the broker that events come from, or name an existingConfigMap" -}}
{{- end -}}
{{- $admin := dict "listen" (printf "%s:%d" .Values.admin.address (int .Values.admin.port)) "token" "${QUASH_ADMIN_TOKEN}" -}}
{{- $worker := dict "drain" (include "quash.drain" .) -}}
{{- toYaml (merge (dict "version" 1 "admin" $admin "worker" $worker) .Values.config) -}}
{{- end -}}

{{- define "quash.rules" -}}
{{- range $name, $rules := .Values.rules }}
{{ $name }}.yaml: |
  {{- $rules | kindIs "string" | ternary $rules (toYaml $rules) | trim | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* Where the parts of the configuration are mounted, as QUASH_CONFIG. */ -}}
{{- define "quash.folders" -}}
/etc/quash/config
{{- if .Values.rules }},/etc/quash/rules{{ end }}
{{- if .Values.existingConfigMap }},/etc/quash/existing{{ end }}
{{- end -}}

{{- /* Every secret that the worker reads, by the name of its variable. */ -}}
{{- define "quash.secrets" -}}
{{- toYaml (merge (dict "QUASH_ADMIN_TOKEN" .Values.admin.token) .Values.secrets) -}}
{{- end -}}

{{- /* Seconds until a pod is killed: those of `worker.drain`, rounded up, and five for the process to end. */ -}}
{{- define "quash.grace" -}}
{{- $seconds := 0.0 -}}
{{- $in := dict "ms" 0.001 "s" 1 "m" 60 "h" 3600 -}}
{{- range regexFindAll "[0-9.]+(ms|s|m|h)" (include "quash.drain" .) -1 -}}
{{- $unit := regexFind "[a-z]+" . -}}
{{- $seconds = addf $seconds (mulf (trimSuffix $unit . | float64) (get $in $unit)) -}}
{{- end -}}
{{- add (ceil $seconds | int) 5 -}}
{{- end -}}

{{- /* What a container of the image needs to read the configuration. */ -}}
{{- define "quash.container" -}}
image: {{ include "quash.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
  - { name: QUASH_CONFIG, value: {{ include "quash.folders" . | quote }} }
  - { name: QUASH_LOG, value: {{ .Values.log | quote }} }
  - { name: QUASH_LOG_FORMAT, value: json }
  {{- range $name, $_ := include "quash.secrets" . | fromYaml }}
  - { name: {{ $name }}_FILE, value: /run/secrets/quash/{{ $name }} }
  {{- end }}
  {{- with .Values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumeMounts:
  - { name: config, mountPath: /etc/quash/config, readOnly: true }
  {{- if .Values.rules }}
  - { name: rules, mountPath: /etc/quash/rules, readOnly: true }
  {{- end }}
  {{- if .Values.existingConfigMap }}
  - { name: existing, mountPath: /etc/quash/existing, readOnly: true }
  {{- end }}
  - { name: secrets, mountPath: /run/secrets/quash, readOnly: true }
  {{- with .Values.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- end -}}

{{- define "quash.volumes" -}}
- name: config
  configMap: { name: {{ include "quash.fullname" . }} }
{{- if .Values.rules }}
- name: rules
  configMap: { name: {{ include "quash.fullname" . }}-rules }
{{- end }}
{{- if .Values.existingConfigMap }}
- name: existing
  configMap: { name: {{ .Values.existingConfigMap }} }
{{- end }}
- name: secrets
  projected:
    # For the group of the pod alone: 0440.
    defaultMode: 288
    sources:
      {{- range $name, $secret := include "quash.secrets" . | fromYaml }}
      - secret:
          name: {{ $secret.name }}
          items: [{ key: {{ $secret.key }}, path: {{ $name }} }]
      {{- end }}
{{- with .Values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* What is the same for every pod of the chart. */ -}}
{{- define "quash.pod" -}}
serviceAccountName: {{ include "quash.serviceAccountName" . }}
automountServiceAccountToken: false
# Variables of services in the namespace could pass for those of the configuration.
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}
