{{/* Labels of every object. Call with (dict "context" $ "component" "operator"); component may be missing. */}}
{{- define "tabard.labels" -}}
app.kubernetes.io/name: tabard
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/instance: {{ .context.Release.Name }}
app.kubernetes.io/version: {{ .context.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: tabard
app.kubernetes.io/managed-by: {{ .context.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .context.Chart.Name .context.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .context.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels by which a Service, a PodDisruptionBudget or a Deployment finds its pods. They never change between releases. */}}
{{- define "tabard.selector" -}}
app.kubernetes.io/name: tabard
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* The one image: operator, webhook and sidecar. */}}
{{- define "tabard.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* What every container of Tabard gives up. */}}
{{- define "tabard.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* What is alike in the pods of the operator and the webhook. Call with (dict "context" $ "component" "operator" "values" .Values.operator). */}}
{{- define "tabard.scheduling" -}}
serviceAccountName: tabard-{{ .component }}
automountServiceAccountToken: true
# The variables that Kubernetes makes of a Service named tabard-webhook would be taken for settings.
enableServiceLinks: false
# Service links would set TABARD_WEBHOOK_PORT and the like, which are settings here.
enableServiceLinks: false
{{- with .context.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .context.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 1616
  runAsGroup: 1616
  seccompProfile:
    type: RuntimeDefault
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
affinity:
  {{- with .values.affinity }}
  {{- toYaml . | nindent 2 }}
  {{- else }}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "tabard.selector" . | nindent 14 }}
  {{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "tabard.selector" . | nindent 8 }}
{{- end }}

{{/* Annotations of the pods of the operator and the webhook. */}}
{{- define "tabard.podAnnotations" -}}
kubectl.kubernetes.io/default-container: {{ .component }}
{{- if .context.Values.metrics.annotations }}
prometheus.io/scrape: 'true'
prometheus.io/port: '16020'
prometheus.io/path: /metrics
{{- end }}
{{- with .values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Namespace that helm test makes and removes. Its name cannot be chosen, lest somebody names one that is in use. */}}
{{- define "tabard.testNamespace" -}}
{{ .Release.Namespace | trunc 51 }}-helm-test
{{- end }}

{{/* A pod of helm test; its container is left open for more. Call with (dict "context" $ "script" "client"). */}}
{{- define "tabard.testPod" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65534
  runAsGroup: 65534
  seccompProfile:
    type: RuntimeDefault
containers:
  - name: {{ .script }}
    image: {{ include "tabard.image" .context }}
    imagePullPolicy: {{ .context.Values.image.pullPolicy }}
    command: [/usr/local/bin/node, --input-type=module, -e]
    args:
      - {{ .context.Files.Get (printf "files/test-%s.mjs" .script) | toJson }}
    resources:
      requests:
        cpu: 10m
        memory: 48Mi
    securityContext:
      {{- include "tabard.containerSecurity" .context | nindent 6 }}
{{- end }}
