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

{{- /* The kinds of pods that are switched on. Templates about one of them get the root with its name as `component`. */ -}}
{{- define "quash.components" -}}
- worker
{{- if .Values.relay.enabled }}
- relay
{{- end }}
{{- if .Values.ui.enabled }}
- ui
{{- end }}
{{- end -}}

{{- /* The name of what belongs to one kind of pods: for workers the release's. */ -}}
{{- define "quash.componentName" -}}
{{- if eq .component "worker" -}}
{{- include "quash.fullname" . -}}
{{- else -}}
{{- include "quash.fullname" . | trunc 57 | trimSuffix "-" }}-{{ .component -}}
{{- end -}}
{{- end -}}

{{- /* Pods of one kind, or those of the release. */ -}}
{{- define "quash.selector" -}}
app.kubernetes.io/name: {{ include "quash.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
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
{{- range $name, $given := .Values.admin.tokens -}}
{{- $token := dict "token" (printf "${%s}" (include "quash.tokenVariable" $name)) -}}
{{- $_ := set $admin "tokens" (merge (dict $name (merge $token $given)) ($admin.tokens | default dict)) -}}
{{- end -}}
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

{{- /* The variable that holds the token of a name. It ends so that it is never the `…_FILE` of another one. */ -}}
{{- define "quash.tokenVariable" -}}
QUASH_ADMIN_{{ regexReplaceAll "[^A-Z0-9]" (upper .) "_" }}_TOKEN
{{- end -}}

{{- /* Every secret of the configuration, by the name of its variable. */ -}}
{{- define "quash.secrets" -}}
{{- $secrets := merge (dict "QUASH_ADMIN_TOKEN" .Values.admin.token) .Values.secrets -}}
{{- range $name, $given := .Values.admin.tokens -}}
{{- $variable := include "quash.tokenVariable" $name -}}
{{- if hasKey $secrets $variable -}}
{{- fail (printf "admin.tokens.%s: another name differs from it in case or punctuation alone; take another one" $name) -}}
{{- end -}}
{{- $_ := set $secrets $variable $given.token -}}
{{- end -}}
{{- toYaml $secrets -}}
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

{{- /* What a container of the image needs to read the configuration; `own` has its resources. */ -}}
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
  {{- toYaml .own.resources | nindent 2 }}
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

{{- /* A Deployment: `component`; `args` of its container; `own`, where its replicas and resources stand; `check`, the arguments of
what runs before it, or nothing. */ -}}
{{- define "quash.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "quash.componentName" . }}
  labels:
    {{- include "quash.labels" . | nindent 4 }}
spec:
  {{- if not (and (eq .component "worker") .Values.autoscaling.enabled) }}
  replicas: {{ .own.replicas }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "quash.selector" . | nindent 6 }}
  strategy:
    type: RollingUpdate
    # A new pod that is not well takes the place of none.
    rollingUpdate: { maxSurge: 1, maxUnavailable: 0 }
  template:
    metadata:
      labels:
        {{- include "quash.labels" . | nindent 8 }}
        {{- with .Values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        # A change of these makes new pods. Workers alone can read rules again while they run.
        checksum/config: {{ include "quash.config" . | sha256sum }}
        {{- if or (ne .component "worker") (eq .Values.reload "restart") }}
        checksum/rules: {{ include "quash.rules" . | sha256sum }}
        {{- end }}
        {{- with .Values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      {{- include "quash.pod" . | nindent 6 }}
      # `worker.drain` and five seconds.
      terminationGracePeriodSeconds: {{ include "quash.grace" . }}
      {{- if .Values.topologySpread }}
      {{- $pods := dict "labelSelector" (dict "matchLabels" (include "quash.selector" . | fromYaml)) }}
      topologySpreadConstraints:
        {{- range .Values.topologySpread }}
        {{- list (merge dict . $pods) | toYaml | nindent 8 }}
        {{- end }}
      {{- end }}
      {{- with .check }}
      initContainers:
        - name: check
          args: [{{ join ", " . }}]
          {{- include "quash.container" $ | nindent 10 }}
      {{- end }}
      containers:
        - name: quash
          args: [{{ join ", " .args }}]
          {{- include "quash.container" . | nindent 10 }}
          ports:
            - { name: admin, containerPort: {{ .Values.admin.port }} }
          # Whether the process answers: a restart brings no cache back.
          livenessProbe:
            httpGet: { path: /livez, port: admin }
            {{- toYaml .Values.probes.liveness | nindent 12 }}
          # Asks with the token, which the kubelet does not have.
          readinessProbe:
            exec: { command: [quash, health] }
            {{- toYaml .Values.probes.readiness | nindent 12 }}
      volumes:
        {{- include "quash.volumes" . | nindent 8 }}
{{- end -}}
