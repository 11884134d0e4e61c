{{/* What the operator watches: {all, namespaces, mirrors}. `namespaces` is empty where it watches all. */}}
{{- define "cartwright.watch" -}}
{{- $of := .Values.watch -}}
{{- if and $of.allNamespaces $of.namespaces }}{{ fail "watch: set namespaces or allNamespaces, not both" }}{{ end -}}
{{- $own := list .Release.Namespace -}}
all: {{ $of.allNamespaces }}
namespaces: {{ ternary list ($of.namespaces | default $own | sortAlpha) $of.allNamespaces | toJson }}
mirrors: {{ .Values.operator.mirror.namespace | default .Release.Namespace | quote }}
{{- end }}

{{/* The namespaces that are named: those that are watched, and that of the mirrors. */}}
{{- define "cartwright.watch.named" -}}
{{- $watch := include "cartwright.watch" . | fromYaml -}}
{{- append $watch.namespaces $watch.mirrors | uniq | sortAlpha | toJson }}
{{- end }}

{{/* The operator's name to other releases. */}}
{{- define "cartwright.watch.release" -}}
{{ .Release.Namespace }}/{{ include "cartwright.name" . }}
{{- end }}

{{/* The name of the roles that its rights come from. The namespace is in it: no release takes another's rights by a role of the same name. */}}
{{- define "cartwright.watch.role" -}}
{{ include "cartwright.name" . }}-operator.{{ .Release.Namespace }}
{{- end }}

{{/* What an admission policy is bound to: what is watched, and no more. */}}
{{- define "cartwright.watch.resources" -}}
{{- $named := include "cartwright.watch.named" . | fromJsonArray -}}
{{- if .Values.watch.allNamespaces -}}
namespaceSelector: {}
{{- else -}}
namespaceSelector:
  {{- if eq (len $named) 1 }}
  matchLabels:
    kubernetes.io/metadata.name: {{ first $named | quote }}
  {{- else }}
  matchExpressions:
  - {key: kubernetes.io/metadata.name, operator: In, values: {{ toJson $named }}}
  {{- end }}
{{- end }}
{{- if include "cartwright.watch.selects" . }}
objectSelector: {{ toJson .Values.watch.selector }}
{{- end }}
{{- end }}

{{/* Not empty where a selector leaves something out. */}}
{{- define "cartwright.watch.selects" -}}
{{- if or .Values.watch.selector.matchLabels .Values.watch.selector.matchExpressions }}yes{{ end -}}
{{- end }}

{{/* The selector in CEL, over the map `variables.labelsBefore`. */}}
{{- define "cartwright.watch.cel" -}}
{{- $terms := list -}}
{{- range $key, $value := .Values.watch.selector.matchLabels -}}
{{- $terms = append $terms (include "cartwright.watch.cel.in" (dict "key" $key "values" (list $value))) -}}
{{- end -}}
{{- range .Values.watch.selector.matchExpressions -}}
{{- $exists := printf "'%s' in variables.labelsBefore" .key -}}
{{- $in := include "cartwright.watch.cel.in" (dict "key" .key "values" (.values | default list)) -}}
{{- $terms = append $terms (get (dict "In" $in "NotIn" (printf "!%s" $in) "Exists" (printf "(%s)" $exists) "DoesNotExist" (printf "!(%s)" $exists)) .operator) -}}
{{- end -}}
{{- join " && " $terms }}
{{- end }}
{{- define "cartwright.watch.cel.in" -}}
{{- $values := list -}}
{{- range .values }}{{ $values = append $values (squote .) }}{{ end -}}
('{{ .key }}' in variables.labelsBefore && variables.labelsBefore['{{ .key }}'] in [{{ join ", " $values }}])
{{- end }}

{{/* Labels that the selector selects, and a namespace that is watched: for Checkouts that the chart itself creates or shows. */}}
{{- define "cartwright.watch.labels" -}}
{{- $labels := deepCopy (.Values.watch.selector.matchLabels | default dict) -}}
{{- range .Values.watch.selector.matchExpressions -}}
{{- if eq .operator "In" }}{{ $_ := set $labels .key (first .values) }}{{ end -}}
{{- if and (eq .operator "Exists") (not (hasKey $labels .key)) }}{{ $_ := set $labels .key "true" }}{{ end -}}
{{- end -}}
{{- toJson $labels }}
{{- end }}
{{- define "cartwright.watch.example" -}}
{{- $watch := include "cartwright.watch" . | fromYaml -}}
{{- ternary .Release.Namespace (first $watch.namespaces | default "") (or $watch.all (has .Release.Namespace $watch.namespaces)) }}
{{- end }}

{{/* Refuses to install where another release has what this one is to watch, as the operator itself does when it starts. */}}
{{- define "cartwright.watch.refuse" -}}
{{- $lease := "checkouts.cartwright.dev" -}}
{{- $found := list -}}
{{- range include "cartwright.watch.named" . | fromJsonArray -}}
{{- with lookup "coordination.k8s.io/v1" "Lease" . $lease }}{{ $found = append $found . }}{{ end -}}
{{- end -}}
{{- /* One that has watched all namespaces before leaves alone what others have claimed since. */ -}}
{{- if .Values.watch.allNamespaces -}}
{{- if not (lookup "rbac.authorization.k8s.io/v1" "ClusterRole" "" (include "cartwright.watch.role" .)) -}}
{{- range (lookup "coordination.k8s.io/v1" "Lease" "" "").items }}{{ if eq .metadata.name $lease }}{{ $found = append $found . }}{{ end }}{{ end -}}
{{- end -}}
{{- end -}}
{{- range $found -}}
{{- $holder := .spec.holderIdentity | default "" -}}
{{- if ne $holder (include "cartwright.watch.release" $) -}}
{{- fail (printf "\n\nThe namespace %s belongs to the release %s, by its Lease %s: a Checkout that two releases watch would be bought by both.\nTo watch other namespaces, set watch.namespaces or operator.mirror.namespace.\nWhere that release is no more:\n  kubectl -n %s delete lease %s\n" .metadata.namespace $holder $lease .metadata.namespace $lease) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The rights to claim namespaces: the Lease that says whose one is, and the role that this Lease is deleted with: (dict "verbs" of the Lease "roles" resource "role" name). */}}
{{- define "cartwright.rules.claims" }}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [checkouts.cartwright.dev]
  verbs: {{ toJson .verbs }}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [{{ .roles }}]
  resourceNames: [{{ .role }}]
  verbs: [get]
{{- end }}
