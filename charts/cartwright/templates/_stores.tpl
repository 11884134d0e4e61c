{{/*
How each store is reached. A URL comes from a secret: of the user's own, or one that the chart makes of `url`. Where the
user's secret holds only a password, Kubernetes puts it into the URL when the container starts.
*/}}
{{- define "cartwright.store.variable" -}}
{{- index (dict "postgresql" "POSTGRES_URL" "bankPostgresql" "BANK_POSTGRES_URL" "mongodb" "MONGODB_URL" "redis" "REDIS_URL") . -}}
{{- end }}

{{/* Fails where a store is named by nothing, or twice. */}}
{{- define "cartwright.store.check" -}}
{{- $of := index .root.Values.stores .store -}}
{{- if eq .store "kafka" }}
{{- if not $of.bootstrapServers }}{{ fail "stores.kafka.bootstrapServers: say where Kafka is, such as kafka:9092" }}{{ end }}
{{- if and $of.caSecret (not (hasSuffix "SSL" $of.securityProtocol)) }}{{ fail (printf "stores.kafka: caSecret needs securityProtocol SSL or SASL_SSL, not %s" $of.securityProtocol) }}{{ end }}
{{- if and (or $of.username $of.existingSecret) (not (hasPrefix "SASL" $of.securityProtocol)) }}{{ fail (printf "stores.kafka: username and existingSecret need securityProtocol SASL_SSL or SASL_PLAINTEXT, not %s" $of.securityProtocol) }}{{ end }}
{{- if and (hasPrefix "SASL" $of.securityProtocol) (not (and $of.username $of.existingSecret)) }}{{ fail (printf "stores.kafka: %s needs username and existingSecret" $of.securityProtocol) }}{{ end }}
{{- else }}
{{- if and (not $of.url) (not $of.existingSecret) }}{{ fail (printf "stores.%s: set existingSecret (a secret that holds the URL), or url" .store) }}{{ end }}
{{- if and $of.url $of.existingSecret }}{{ fail (printf "stores.%s: set url or existingSecret, not both" .store) }}{{ end }}
{{- if and $of.tls (not $of.host) }}{{ fail (printf "stores.%s: tls goes with host; a URL begins with rediss:// instead" .store) }}{{ end }}
{{- if and $of.host (not $of.existingSecret) }}{{ fail (printf "stores.%s: host needs existingSecret, which holds the password" .store) }}{{ end }}
{{- end }}
{{- end }}

{{/* The variables of one store: (dict "root" $ "store" "redis"). */}}
{{- define "cartwright.store.env" -}}
{{- include "cartwright.store.check" . -}}
{{- $of := index .root.Values.stores .store -}}
{{- $variable := include "cartwright.store.variable" .store -}}
{{- if eq .store "kafka" -}}
- {name: KAFKA_BOOTSTRAP_SERVERS, value: {{ $of.bootstrapServers | quote }}}
- {name: KAFKA_SECURITY_PROTOCOL, value: {{ $of.securityProtocol | quote }}}
{{- if $of.caSecret }}
- {name: KAFKA_CA_FILE, value: /etc/cartwright/kafka/ca.crt}
{{- end }}
{{- if hasPrefix "SASL" $of.securityProtocol }}
- {name: KAFKA_SASL_MECHANISM, value: {{ $of.saslMechanism | quote }}}
- {name: KAFKA_SASL_USERNAME, value: {{ $of.username | quote }}}
- {name: KAFKA_SASL_PASSWORD, valueFrom: {secretKeyRef: {name: {{ $of.existingSecret | quote }}, key: {{ $of.passwordKey | quote }}}}}
{{- end }}
- {name: CHECKOUT_TOPIC, value: {{ $of.topic | quote }}}
{{- else if $of.host -}}
{{- $password := printf "%s_PASSWORD" (trimSuffix "_URL" $variable) -}}
{{- $scheme := index (dict "postgresql" "postgresql" "bankPostgresql" "postgresql" "mongodb" "mongodb" "redis" (ternary "rediss" "redis" ($of.tls | default false))) .store -}}
- {name: {{ $password }}, valueFrom: {secretKeyRef: {name: {{ $of.existingSecret | quote }}, key: {{ $of.passwordKey | quote }}}}}
- {name: {{ $variable }}, value: {{ printf "%s://%s:$(%s)@%s:%d/%s%s" $scheme $of.username $password $of.host (int $of.port) $of.database (ternary "" (printf "?%s" $of.parameters) (empty $of.parameters)) | quote }}}
{{- else if $of.existingSecret -}}
- {name: {{ $variable }}, valueFrom: {secretKeyRef: {name: {{ $of.existingSecret | quote }}, key: {{ $of.urlKey | quote }}}}}
{{- else -}}
- {name: {{ $variable }}, valueFrom: {secretKeyRef: {name: {{ .secret | default (include "cartwright.name" .root) }}, key: {{ .store }}}}}
{{- end }}
{{- end }}

{{/* What a container mounts, the authorities' files and what the values add: (dict "root" $ "pod" settings "of" list of stores, or "issuer"). */}}
{{- define "cartwright.mounts" -}}
{{- range .of }}
{{- if (ternary $.root.Values.auth (index $.root.Values.stores .) (eq . "issuer")).caSecret }}
- {name: ca-{{ . | lower }}, mountPath: /etc/cartwright/{{ . }}, readOnly: true}
{{- end }}
{{- end }}
{{- with .pod.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The volumes of a pod: (dict "root" $ "extra" list "of" list of stores, or "issuer"). */}}
{{- define "cartwright.volumes" -}}
{{- range .of }}
{{- $of := ternary $.root.Values.auth (index $.root.Values.stores .) (eq . "issuer") }}
{{- if $of.caSecret }}
- name: ca-{{ . | lower }}
  secret: {secretName: {{ $of.caSecret | quote }}, items: [{key: {{ $of.caKey | quote }}, path: ca.crt}]}
{{- end }}
{{- end }}
{{- with .extra }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The URLs that stand in the values, by store. */}}
{{- define "cartwright.urls" -}}
{{- range $store := list "postgresql" "bankPostgresql" "mongodb" "redis" }}
{{- with (index $.Values.stores $store).url }}
{{ $store }}: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Egress to stores: the ports that the values name, and the usual one where a secret of the user's holds the URL. */}}
{{- define "cartwright.towards" -}}
{{- $ports := list -}}
{{- range .stores -}}
{{- $of := index $.root.Values.stores . -}}
{{- if eq . "kafka" -}}
{{- range splitList "," $of.bootstrapServers }}{{ $ports = append $ports (regexFind "[0-9]+$" .) }}{{ end -}}
{{- else -}}
{{- /* between the password, which may hold anything, and the path: host:port, with commas between */ -}}
{{- range splitList "," (regexReplaceAll "^[a-z+]+://([^/?]*@)?([^/?]*).*$" $of.url "${2}") }}{{ $ports = append $ports (regexFind "[0-9]+$" . | default (toString $of.port)) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- range uniq $ports }}
- ports: [{port: {{ . }}}]
{{- end }}
{{- end }}

{{/* Egress that every pod of ours has: the cluster's DNS, and what the values add. */}}
{{- define "cartwright.egress" -}}
- ports:
  {{- range .Values.networkPolicy.dnsPorts }}
  - {port: {{ . }}, protocol: UDP}
  - {port: {{ . }}, protocol: TCP}
  {{- end }}
{{- with .Values.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Egress to the collector of traces, where there is one. */}}
{{- define "cartwright.egress.traces" -}}
{{- with .Values.traces.endpoint }}
- ports: [{port: {{ regexReplaceAll "^[a-z]+://(\\[[^\\]]*\\]|[^/:?]*):?([0-9]*).*$" . "${2}" | default (ternary "443" "80" (hasPrefix "https:" .)) }}}] # the collector of traces
{{- end }}
{{- end }}

{{/* Egress to the API server, which is no pod. */}}
{{- define "cartwright.egress.apiServer" -}}
- ports:
  {{- range .Values.networkPolicy.apiServerPorts }}
  - {port: {{ . }}}
  {{- end }}
{{- end }}
