{{/* The chart's name in names and labels. */}}
{{- define "cartwright.chart" -}}
{{- .Values.nameOverride | default .Chart.Name }}
{{- end }}

{{/* What the names of all objects begin with. */}}
{{- define "cartwright.name" -}}
{{- $chart := include "cartwright.chart" . -}}
{{- $name := .Values.fullnameOverride | default (ternary .Release.Name (printf "%s-%s" .Release.Name $chart) (contains $chart .Release.Name)) | trunc 40 | trimSuffix "-" -}}
{{- if not (regexMatch "^[a-z]" $name) }}{{ fail (printf "fullnameOverride: set it to a name that begins with a letter; the name of a Service cannot begin as %q does" $name) }}{{ end -}}
{{- $name }}
{{- end }}

{{/* Labels of an object: (dict "root" $ "component" "cart"). */}}
{{- define "cartwright.labels" -}}
{{ include "cartwright.selector" . }}
app.kubernetes.io/part-of: cartwright
app.kubernetes.io/version: {{ .root.Chart.AppVersion | replace "+" "_" | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | quote }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The labels that find its pods; they never change. */}}
{{- define "cartwright.selector" -}}
{{ include "cartwright.release" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* The labels of all that belongs to the release. */}}
{{- define "cartwright.release" -}}
app.kubernetes.io/name: {{ include "cartwright.chart" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* The image `services` or `operator`: (dict "root" $ "image" "services"). */}}
{{- define "cartwright.image" -}}
{{- $of := .root.Values.image -}}
{{- $registry := $of.registry -}}
{{- with (.root.Values.global).imageRegistry -}}
{{- $registry = printf "%s/%s" . (regexReplaceAll "^([^/]*[.:][^/]*|localhost)(/|$)" $registry "") | trimSuffix "/" -}}
{{- end -}}
{{- with index $of.digests .image }}{{ $registry }}/{{ $.image }}@{{ . }}{{ else }}{{ $registry }}/{{ .image }}:{{ $of.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{/* How an image is pulled, in a container. */}}
{{- define "cartwright.pull" -}}
image: {{ include "cartwright.image" . | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- end }}
