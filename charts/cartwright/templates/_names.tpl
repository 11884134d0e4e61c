{{- define "cartwright.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* Labels of an object: (dict "root" $ "component" "cart"). */}}
{{- define "cartwright.labels" -}}
{{ include "cartwright.selector" . }}
app.kubernetes.io/part-of: cartwright
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The labels that find its pods; they never change. */}}
{{- define "cartwright.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* The image `services` or `operator`: (dict "root" $ "image" "services"). */}}
{{- define "cartwright.image" -}}
{{- $of := .root.Values.image -}}
{{- with index $of.digests .image }}{{ $of.registry }}/{{ $.image }}@{{ . }}{{ else }}{{ $of.registry }}/{{ .image }}:{{ $of.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}
