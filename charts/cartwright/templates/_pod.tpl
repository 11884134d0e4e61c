{{/* What every pod is held to: the strictest of the pod security standards. */}}
{{- define "cartwright.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "cartwright.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* Where pods run, and how they are pulled: (dict "root" $ "component" "cart"). */}}
{{- define "cartwright.placement" -}}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- with .root.Values.pods.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.pods.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.pods.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.pods.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* A container of a deployment: (dict "root" $ "part" part "name" name "sidecar" bool). */}}
{{- define "cartwright.container" -}}
{{- $part := .part -}}
- name: {{ .name }}
  image: {{ include "cartwright.image" (dict "root" .root "image" "services") }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  args: [services.{{ $part.service }}.main{{ if ne $part.role "serve" }}, {{ $part.role }}{{ end }}]
  {{- if .sidecar }}
  restartPolicy: Always
  {{- end }}
  {{- include "cartwright.containerSecurity" . | nindent 2 }}
  env:
  {{- include "cartwright.env" (dict "root" .root "part" $part) | nindent 2 }}
  ports:
  {{- if $part.grpc }}
  - {name: grpc, containerPort: {{ $part.grpc }}}
  {{- end }}
  - {name: {{ ternary "http" (printf "m-%s" $part.role | trunc 15) (eq $part.role "serve") }}, containerPort: {{ $part.http }}}
  {{- if $part.grpc }}
  startupProbe: {grpc: {port: {{ $part.grpc }}}, periodSeconds: 1, timeoutSeconds: 3, failureThreshold: 90}
  readinessProbe: {grpc: {port: {{ $part.grpc }}}, periodSeconds: 5, timeoutSeconds: 3}
  livenessProbe: {grpc: {port: {{ $part.grpc }}}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6}
  {{- else }}
  startupProbe: {httpGet: {path: /health, port: {{ $part.http }}}, periodSeconds: 1, timeoutSeconds: 3, failureThreshold: 90}
  {{- if eq $part.role "serve" }}
  readinessProbe: {httpGet: {path: /ready, port: {{ $part.http }}}, periodSeconds: 5, timeoutSeconds: 3}
  {{- end }}
  livenessProbe: {httpGet: {path: /health, port: {{ $part.http }}}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6}
  {{- end }}
  resources: {{ toYaml $part.values.resources | nindent 4 }}
  {{- with include "cartwright.mounts" (dict "root" .root "of" (concat ($part.stores | default list) (ternary (list "issuer") list (default false $part.issuer)))) }}
  volumeMounts: {{ . | nindent 2 }}
  {{- end }}
{{- end }}
