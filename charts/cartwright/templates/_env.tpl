{{/* The variables of a container: (dict "root" $ "part" part ["secret" name]). */}}
{{- define "cartwright.env" -}}
{{- include "cartwright.env.with" (dict "ours" (include "cartwright.env.ours" .) "own" .part.values.env "extra" .part.pod.extraEnv) }}
{{- end }}

{{/* A user's own variable takes the place of ours: of two with one name Kubernetes forgets one at some upgrade. */}}
{{- define "cartwright.env.with" -}}
{{- $names := list -}}
{{- range .extra }}{{ $names = append $names .name }}{{ end -}}
{{- $own := omit (.own | default dict) "" -}}
{{- range $names }}{{ $_ := unset $own . }}{{ end -}}
{{- range .ours | fromYamlArray }}
{{- if not (or (hasKey $own .name) (has .name $names)) }}
- {{ toJson . }}
{{- end }}
{{- end }}
{{- range $name, $value := $own }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- range .extra }}
- {{ toJson . }}
{{- end }}
{{- end }}

{{- define "cartwright.env.ours" -}}
{{- $values := .root.Values -}}
- {name: APP_ENV, value: {{ $values.appEnv }}}
- {name: LOG_LEVEL, value: {{ $values.logLevel }}}
- {name: HTTP_PORT, value: {{ .part.http | quote }}}
- {name: DRAIN_DELAY, value: "{{ $values.drain.delaySeconds }}s"}
- {name: DRAIN_TIMEOUT, value: "{{ $values.drain.timeoutSeconds }}s"}
{{- include "cartwright.traces" .root }}
{{- if .part.grpc }}
- {name: GRPC_PORT, value: {{ .part.grpc | quote }}}
- {name: GRPC_REFLECTION, value: "0"}
- {name: GRPC_MAX_CONNECTION_AGE, value: {{ $values.connectionAge | quote }}}
{{- end }}
{{- if .part.issuer }}
- {name: HTTP_MAX_CONNECTION_AGE, value: {{ $values.connectionAge }}}
{{- end }}
{{- range .part.calls }}
{{- if ne . "bank" }}
- {name: {{ upper . }}_ADDR, value: "dns:///{{ include "cartwright.name" $.root }}-{{ . }}:{{ (index (include "cartwright.platform" $ | fromJson) .).grpc }}"}
{{- else if $values.bank.enabled }}
{{- if ne $values.appEnv "dev" }}{{ fail "bank.enabled: the simulated payment provider charges nobody; it needs appEnv=dev" }}{{ end }}
- {name: BANK_ADDR, value: "dns:///{{ include "cartwright.name" $.root }}-bank:50058"}
{{- else }}
- {name: BANK_TLS, value: {{ ternary "1" "0" $values.services.payment.bankTls | quote }}}
- {name: BANK_ADDR, value: {{ required "services.payment.bankAddress: say where the payment provider answers, or set bank.enabled for the simulated one" $values.services.payment.bankAddress | quote }}}
{{- end }}
{{- end }}
{{- range .part.stores }}
{{ include "cartwright.store.env" (dict "root" $.root "store" . "secret" $.secret) }}
{{- end }}
{{- if .part.issuer }}
{{ include "cartwright.auth" (dict "root" .root "audience" (ternary ($values.console.auth.audience | default $values.console.auth.clientId | default $values.auth.audience) $values.auth.audience (eq .part.service "console"))) }}
{{- end }}
{{- if eq .part.service "console" }}
{{ include "cartwright.console" .root }}
{{- end }}
{{- if eq .part.service "auditor" }}
{{ include "cartwright.auditor" .root }}
{{- end }}
{{- if eq .part.service "gateway" }}
{{- if eq $values.auth.mode "jwt" }}
- {name: AUTH_USER_CLAIM, value: {{ $values.auth.userClaim | quote }}}
{{- end }}
{{- with $values.gateway.corsOrigins }}
- {name: CORS_ORIGINS, value: {{ join "," . | quote }}}
{{- end }}
{{- end }}
{{- if eq .part.service "bank" }}
- {name: BANK_ADMIN, value: {{ ternary "1" "0" $values.bank.admin | quote }}}
- {name: BANK_SUCCESS_RATE, value: {{ $values.bank.successRate | quote }}}
{{- end }}
{{- end }}

{{/* Which traces are recorded, and where they go. */}}
{{- define "cartwright.traces" -}}
{{- with .Values.traces }}
{{- if .endpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ .endpoint | quote }}}
- {name: OTEL_TRACES_SAMPLER_ARG, value: {{ .ratio | quote }}}
- {name: TRACE_SLOW, value: {{ .slow | quote }}}
{{- with .headersSecret }}
- {name: OTEL_EXPORTER_OTLP_HEADERS, valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: {{ $.Values.traces.headersKey | quote }}}}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Who the users are: (dict "root" $ "audience" "…"). */}}
{{- define "cartwright.auth" -}}
{{- $auth := .root.Values.auth -}}
{{- if and (eq $auth.mode "jwt") (ne .root.Values.appEnv "dev") (or (hasPrefix "http:" $auth.issuer) (hasPrefix "http:" $auth.jwksUrl)) }}
{{- fail "auth.issuer and auth.jwksUrl must be https: who can change what comes from there can be anybody" }}
{{- end }}
- {name: AUTH_MODE, value: {{ $auth.mode }}}
{{- if eq $auth.mode "jwt" }}
- {name: AUTH_ISSUER, value: {{ required "auth.issuer: say which issuer's tokens count, such as https://id.example.com (or, for a trial, auth.mode=mock with appEnv=dev)" $auth.issuer | quote }}}
- {name: AUTH_AUDIENCE, value: {{ required "auth.audience: say which audience a token must be for" .audience | quote }}}
- {name: AUTH_ALGORITHMS, value: {{ $auth.algorithms | quote }}}
{{- if $auth.caSecret }}
- {name: SSL_CERT_FILE, value: /etc/cartwright/issuer/ca.crt}
{{- end }}
{{- with $auth.jwksUrl }}
- {name: AUTH_JWKS_URL, value: {{ . | quote }}}
{{- end }}
{{- else if ne .root.Values.appEnv "dev" }}
{{- fail "auth.mode=mock lets anybody be anybody: it needs appEnv=dev" }}
{{- end }}
{{- end }}

{{/* The console's: whom it lets in, and whose metrics it reads. */}}
{{- define "cartwright.console" -}}
{{- $console := .Values.console -}}
{{- $parts := list -}}
{{- range $name, $its := include "cartwright.measured" . | fromJson }}{{ $parts = append $parts (printf "%s=%s:%v" $name $its.host $its.port) }}{{ end -}}
- {name: METRICS_ADDRS, value: {{ join "," $parts | quote }}}
{{- with .Values.traces.viewerUrl }}
- {name: TRACE_VIEWER_URL, value: {{ . | quote }}}
{{- end }}
{{- if eq .Values.auth.mode "mock" }}
- {name: LISTEN_HOST, value: 127.0.0.1} # nobody is asked who they are: kubectl port-forward alone reaches it
{{- else }}
- {name: AUTH_ADMIN_CLAIM, value: {{ $console.auth.claim | quote }}}
- {name: AUTH_ADMIN_ROLE, value: {{ $console.auth.role | quote }}}
{{- with $console.auth.clientId }}
- {name: AUTH_CLIENT_ID, value: {{ . | quote }}}
- {name: CONSOLE_URL, value: {{ required "console.url: say where people reach the console, such as https://console.example.com; the issuer sends them back there" $console.url | quote }}}
{{- with $console.auth.clientSecret }}
- {name: AUTH_CLIENT_SECRET, valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: {{ $console.auth.clientSecretKey | quote }}}}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The auditor's: what it compares beside the stores, and the command that its log names. */}}
{{- define "cartwright.auditor" -}}
- {name: AUDIT_EVERY, value: {{ .Values.auditor.every | quote }}}
- {name: AUDIT_AFTER, value: {{ .Values.auditor.after | quote }}}
{{- if .Values.operator.enabled }}
- {name: AUDIT_NAMESPACES, value: {{ ternary "*" (include "cartwright.watch.named" . | fromJsonArray | join ",") .Values.watch.allNamespaces | quote }}}
{{- end }}
{{- if .Values.console.enabled }}
- {name: AUDIT_COMMAND, value: {{ printf "kubectl -n %s exec deploy/%s-console -- python -m services.console.terminal {checkout_id}" .Release.Namespace (include "cartwright.name" .) | quote }}}
{{- end }}
{{- end }}

{{/* The operator's. */}}
{{- define "cartwright.operator.env" -}}
- {name: NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
- {name: CHECKOUT_ADDR, value: "dns:///{{ include "cartwright.name" . }}-checkout:50056"}
- {name: LOG_LEVEL, value: {{ .Values.logLevel }}}
{{- include "cartwright.traces" . }}
{{- if gt (int .Values.operator.replicas) 1 }}
- {name: SHARDING, value: Leases}
- {name: MEMBER_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: MEMBER_POD_UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
- {name: MEMBER_GROUP, value: {{ include "cartwright.name" . }}-operator}
- {name: LEASE_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
{{- end }}
- {name: RELEASE, value: {{ include "cartwright.watch.release" . | quote }}}
- {name: RELEASE_ROLE, value: {{ include "cartwright.watch.role" . | quote }}}
{{- with .Values.watch.namespaces }}
- {name: WATCH_NAMESPACES, value: {{ join "," . | quote }}}
{{- end }}
{{- if .Values.watch.allNamespaces }}
- {name: WATCH_ALL_NAMESPACES, value: "true"}
{{- end }}
{{- if include "cartwright.watch.selects" . }}
- {name: WATCH_SELECTOR, value: {{ toJson .Values.watch.selector | quote }}}
{{- end }}
{{- with .Values.operator.mirror.namespace }}
- {name: MIRROR_NAMESPACE, value: {{ quote . }}}
{{- end }}
- {name: MIRROR_MODE, value: {{ .Values.operator.mirror.mode | quote }}}
- {name: MIRROR_MAX_WRITES_PER_SECOND, value: {{ .Values.operator.mirror.maxWritesPerSecond | quote }}}
- {name: MIRROR_MAX_OBJECTS, value: {{ .Values.operator.mirror.maxObjects | quote }}}
{{- end }}
