{{- define "umbel.name" -}}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{- end }}

{{- define "umbel.labels" -}}
app.kubernetes.io/name: umbel
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "umbel.meta" -}}
{{ include "umbel.labels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "umbel.secret" -}}{{ .Values.existingSecret | default (include "umbel.name" .) }}{{- end }}

{{- define "umbel.account" -}}
{{ .Values.serviceAccount.name | default (ternary (include "umbel.name" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{/* Whether the broker is RabbitMQ, which is then the buffer; else there is a receiver with a spool. */}}
{{- define "umbel.amqp" -}}{{ if hasPrefix "amqp" .Values.broker.url }}true{{ end }}{{- end }}

{{/* Whether tasks are sent as traces; a share of 0 is one, too. */}}
{{- define "umbel.traces" -}}{{ if ne (toString .Values.traces.tasks) "" }}true{{ end }}{{- end }}

{{/* What cannot work is said before anything is installed. */}}
{{- define "umbel.check" -}}
{{- if and (not .Values.existingSecret) (not .Values.broker.url) }}
{{- fail "set broker.url, or existingSecret to a Secret with the key UMBEL_BROKER" }}
{{- end }}
{{- if and (include "umbel.traces" .) (not .Values.envFrom) (not (hasKey .Values.env "OTEL_EXPORTER_OTLP_ENDPOINT")) }}
{{- fail "traces.tasks needs a receiver of OTLP: set env.OTEL_EXPORTER_OTLP_ENDPOINT, or give it in envFrom" }}
{{- end }}
{{- if eq .Values.topology "split" }}
{{- if and (not .Values.existingSecret) (not (regexMatch "^(postgresql|clickhouse)" .Values.store.url)) }}
{{- fail "topology split needs a store that several pods share: set store.url to postgresql://… or clickhouse://…" }}
{{- end }}
{{- if and .Values.existingSecret (not .Values.broker.url) }}
{{- fail "topology split must know the kind of broker: set broker.url without its password, such as amqp://rabbit" }}
{{- end }}
{{- if and (gt (int .Values.collector.replicas) 1) (not (include "umbel.amqp" .)) }}
{{- fail "several collectors need RabbitMQ: with Redis every subscriber gets everything; set collector.replicas to 1" }}
{{- end }}
{{- else if and .Values.store.url (not (hasPrefix "sqlite" .Values.store.url)) }}
{{- fail "store.url is for topology split; single keeps its history on its own volume" }}
{{- end }}
{{- end }}

{{/* One container: (dict "root" $ "part" "collect" "resources" …) */}}
{{- define "umbel.container" -}}
{{- $root := .root -}}
- name: {{ .part }}
  image: "{{ $root.Values.image.repository }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}"
  imagePullPolicy: {{ $root.Values.image.pullPolicy }}
  args: [{{ .part | quote }}]
  env:
    - {name: UMBEL_HOST, value: "0.0.0.0"}
    - {name: UMBEL_PORT, value: "5555"}
    - {name: UMBEL_DATA_DIR, value: /var/lib/umbel/data}
    {{- if $root.Values.alerts.rules }}
    - {name: UMBEL_ALERTS, value: /etc/umbel/alerts.toml}
    {{- end }}
    {{- if include "umbel.traces" $root }}
    - {name: UMBEL_TRACE_TASKS, value: {{ $root.Values.traces.tasks | quote }}}
    {{- end }}
    {{- range $name, $value := $root.Values.env }}
    - {name: {{ $name }}, value: {{ $value | quote }}}
    {{- end }}
  envFrom:
    - secretRef: {name: {{ include "umbel.secret" $root }}}
    {{- with $root.Values.envFrom }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if has .part (list "up" "web") }}
  ports:
    - {name: http, containerPort: 5555}
  readinessProbe:
    httpGet: {path: {{ printf "%s/healthz" (index $root.Values.env "UMBEL_URL_PREFIX" | default "") }}, port: http}
    periodSeconds: 5
    timeoutSeconds: 3
  {{- end }}
  livenessProbe:
    exec: {command: [umbel, health{{ if ne .part "up" }}, {{ .part }}{{ end }}]}
    initialDelaySeconds: 20
    periodSeconds: 20
    timeoutSeconds: 10
  resources:
    {{- toYaml .resources | nindent 4 }}
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities: {drop: [ALL]}
  volumeMounts:
    - {name: data, mountPath: /var/lib/umbel}
    - {name: tmp, mountPath: /tmp}
    {{- if $root.Values.alerts.rules }}
    - {name: alerts, mountPath: /etc/umbel, readOnly: true}
    {{- end }}
{{- end }}

{{/* The volumes that every pod has. */}}
{{- define "umbel.volumes" -}}
- {name: tmp, emptyDir: {}}
{{- if .Values.alerts.rules }}
- {name: alerts, configMap: {name: {{ include "umbel.name" . }}-alerts}}
{{- end }}
{{- end }}

{{/* What all pods share: (dict "root" $ "part" "web") */}}
{{- define "umbel.pod" -}}
{{- $root := .root -}}
serviceAccountName: {{ include "umbel.account" $root }}
automountServiceAccountToken: false
terminationGracePeriodSeconds: {{ $root.Values.terminationGracePeriodSeconds }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "umbel.podmeta" -}}
labels:
  {{- include "umbel.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .part }}
  {{- with .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  checksum/alerts: {{ .root.Values.alerts.rules | sha256sum }}
  checksum/secret: {{ include (print .root.Template.BasePath "/secret.yaml") .root | sha256sum }}
  {{- with .root.Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "umbel.claim" -}}
- apiVersion: v1
  kind: PersistentVolumeClaim
  metadata:
    name: data
    labels:
      {{- include "umbel.labels" . | nindent 6 }}
    {{- with .Values.persistence.annotations }}
    annotations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    accessModes: [ReadWriteOnce]
    {{- with .Values.persistence.storageClassName }}
    storageClassName: {{ . }}
    {{- end }}
    resources: {requests: {storage: {{ .Values.persistence.size }}}}
{{- end }}
