{{/*
What a component's pods are given: `pods` of the values, and over it what stands under the component itself. Maps are merged
key by key, and a key that is null is left out; anything else takes the place: (dict "root" $ "own" values).
*/}}
{{- define "cartwright.settings" -}}
{{- $made := deepCopy .root.Values.pods -}}
{{- range $name, $own := .own -}}
{{- if hasKey $made $name -}}
{{- $below := index $made $name -}}
{{- if and (kindIs "map" $own) (kindIs "map" $below) -}}
{{- range $key, $value := $own }}{{ $_ := set $below $key $value }}{{ end -}}
{{- else -}}
{{- $_ := set $made $name $own -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $below := $made -}}
{{- if kindIs "map" $below -}}
{{- range $key, $value := $below }}{{ if kindIs "invalid" $value }}{{ $_ := unset $below $key }}{{ end }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toJson $made -}}
{{- end }}

{{/* Labels of a pod: (dict "root" $ "component" "cart" "pod" settings). */}}
{{- define "cartwright.podLabels" -}}
{{- merge (deepCopy (.pod.labels | default dict)) (include "cartwright.labels" . | fromYaml) | toYaml }}
{{- end }}

{{/* Who the processes of a pod are, where it runs, and how its images are pulled: (dict "root" $ "pod" settings). */}}
{{- define "cartwright.placement" -}}
enableServiceLinks: false
{{- with .pod.securityContext }}
securityContext: {{ toYaml . | nindent 2 }}
{{- end }}
{{- $secrets := .root.Values.image.pullSecrets | default list }}
{{- range (.root.Values.global).imagePullSecrets }}{{ $secrets = append $secrets (kindIs "map" . | ternary . (dict "name" .)).name }}{{ end }}
{{- with uniq $secrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . | quote }}
{{- end }}
{{- end }}
{{- with .pod.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .pod.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* How the replicas of a component spread: (dict "root" $ "component" "cart" "pod" settings). */}}
{{- define "cartwright.spread" -}}
{{- $own := dict "matchLabels" (include "cartwright.selector" . | fromYaml) -}}
{{- $constraints := .pod.topologySpreadConstraints -}}
{{- if not $constraints -}}
{{- range .pod.spreadOver }}{{ $constraints = append ($constraints | default list) (dict "maxSkew" 1 "topologyKey" . "whenUnsatisfiable" "ScheduleAnyway") }}{{ end -}}
{{- end -}}
{{- range $constraints }}
- {{ merge (deepCopy .) (dict "labelSelector" $own) | toYaml | nindent 2 | trim }}
{{- end }}
{{- end }}

{{- define "cartwright.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* A container of a deployment: (dict "root" $ "part" part "name" name "sidecar" bool). */}}
{{- define "cartwright.container" -}}
{{- $part := .part -}}
- name: {{ .name }}
  {{- include "cartwright.pull" (dict "root" .root "image" "services") | nindent 2 }}
  args: [services.{{ $part.service }}.main{{ if ne $part.role "serve" }}, {{ $part.role }}{{ end }}]
  {{- if .sidecar }}
  restartPolicy: Always
  {{- end }}
  {{- include "cartwright.containerSecurity" . | nindent 2 }}
  env:
  {{- include "cartwright.env" (dict "root" .root "part" $part) | nindent 2 }}
  {{- with $part.pod.envFrom }}
  envFrom: {{ toYaml . | nindent 2 }}
  {{- end }}
  ports:
  {{- if $part.grpc }}
  - {name: grpc, containerPort: {{ $part.grpc }}}
  {{- end }}
  - {name: {{ ternary "http" (printf "m-%s" $part.role | trunc 15) (eq $part.role "serve") }}, containerPort: {{ $part.http }}}
  {{- if $part.grpc }}
  startupProbe: {grpc: {port: {{ $part.grpc }}}, periodSeconds: 1, timeoutSeconds: 3, failureThreshold: 90}
  readinessProbe: {grpc: {port: {{ $part.grpc }}}, periodSeconds: 5, timeoutSeconds: 3}
  livenessProbe: {grpc: {port: {{ $part.grpc }}}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6}
  {{- else if and (eq $part.service "console") (eq .root.Values.auth.mode "mock") }}
  {{- $ask := printf "import urllib.request; urllib.request.urlopen('http://127.0.0.1:%v/health', timeout=3)" $part.http }}
  startupProbe: {exec: {command: [python, -c, {{ $ask | quote }}]}, periodSeconds: 2, timeoutSeconds: 5, failureThreshold: 60}
  readinessProbe: {exec: {command: [python, -c, {{ $ask | replace "/health" "/ready" | quote }}]}, periodSeconds: 10, timeoutSeconds: 5}
  livenessProbe: {exec: {command: [python, -c, {{ $ask | quote }}]}, periodSeconds: 30, timeoutSeconds: 10, failureThreshold: 6}
  {{- else }}
  startupProbe: {httpGet: {path: /health, port: {{ $part.http }}}, periodSeconds: 1, timeoutSeconds: 3, failureThreshold: 90}
  {{- if eq $part.role "serve" }}
  readinessProbe: {httpGet: {path: /ready, port: {{ $part.http }}}, periodSeconds: 5, timeoutSeconds: 3}
  {{- end }}
  livenessProbe: {httpGet: {path: /health, port: {{ $part.http }}}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6}
  {{- end }}
  resources: {{ toYaml $part.values.resources | nindent 4 }}
  {{- with include "cartwright.mounts" (dict "root" .root "pod" $part.pod "of" (concat ($part.stores | default list) (ternary (list "issuer") list (default false $part.issuer)))) }}
  volumeMounts: {{ . | nindent 2 }}
  {{- end }}
{{- end }}

{{/*
A container that makes what a service keeps, or finds it made: (dict "root" $ "service" service "name" name "pod" settings
["secret" name]). Safe to run twice and beside another.
*/}}
{{- define "cartwright.migration" -}}
{{- $facts := index (include "cartwright.platform" . | fromJson) .service -}}
{{- $stores := concat $facts.stores (ternary (list "kafka") list (default false $facts.topics)) -}}
{{- $part := dict "service" .service "http" 0 "stores" $stores "values" (index .root.Values.services .service) "pod" .pod -}}
- name: {{ .name }}
  {{- include "cartwright.pull" (dict "root" .root "image" "services") | nindent 2 }}
  args: [services.{{ .service }}.main, migrate]
  {{- include "cartwright.containerSecurity" . | nindent 2 }}
  env:
  {{- include "cartwright.env" (dict "root" .root "part" $part "secret" .secret) | nindent 2 }}
  {{- if $facts.topics }}
  - {name: TOPIC_PARTITIONS, value: {{ .root.Values.stores.kafka.partitions | quote }}}
  - {name: TOPIC_REPLICATION, value: {{ .root.Values.stores.kafka.replication | quote }}}
  {{- end }}
  {{- with .pod.envFrom }}
  envFrom: {{ toYaml . | nindent 2 }}
  {{- end }}
  resources: {{ toYaml .root.Values.migrations.resources | nindent 4 }}
  {{- with include "cartwright.mounts" (dict "root" .root "pod" .pod "of" $stores) }}
  volumeMounts: {{ . | nindent 2 }}
  {{- end }}
{{- end }}
