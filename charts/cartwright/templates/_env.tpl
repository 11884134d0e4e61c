{{/* The variables of a container: (dict "root" $ "part" part ["secret" name]). The user's own come last, and win. */}}
{{- define "cartwright.env" -}}
{{- $values := .root.Values -}}
- {name: APP_ENV, value: {{ $values.appEnv }}}
- {name: LOG_LEVEL, value: {{ $values.logLevel }}}
- {name: HTTP_PORT, value: {{ .part.http | quote }}}
- {name: DRAIN_DELAY, value: "{{ $values.drain.delaySeconds }}s"}
- {name: DRAIN_TIMEOUT, value: "{{ $values.drain.timeoutSeconds }}s"}
{{- if .part.grpc }}
- {name: GRPC_PORT, value: {{ .part.grpc | quote }}}
- {name: GRPC_REFLECTION, value: "0"}
- {name: GRPC_MAX_CONNECTION_AGE, value: {{ $values.connectionAge }}}
{{- end }}
{{- range .part.calls }}
{{- if ne . "bank" }}
- {name: {{ upper . }}_ADDR, value: "dns:///{{ include "cartwright.name" $.root }}-{{ . }}:{{ (index (include "cartwright.platform" $ | fromYaml) .).grpc }}"}
{{- else if $values.bank.enabled }}
- {name: BANK_ADDR, value: "dns:///{{ include "cartwright.name" $.root }}-bank:50058"}
{{- else }}
- {name: BANK_ADDR, value: {{ required "services.payment.bankAddress: say where the payment provider answers, or set bank.enabled for the simulated one" $values.services.payment.bankAddress | quote }}}
{{- end }}
{{- end }}
{{- range .part.stores }}
{{ include "cartwright.store.env" (dict "root" $.root "store" . "secret" $.secret) }}
{{- end }}
{{- if .part.issuer }}
{{ include "cartwright.auth" .root }}
{{- end }}
{{- if eq .part.service "bank" }}
- {name: BANK_ADMIN, value: {{ ternary "1" "0" $values.bank.admin | quote }}}
- {name: BANK_SUCCESS_RATE, value: {{ $values.bank.successRate | quote }}}
{{- end }}
{{- range $name, $value := .part.values.env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{/* Who the users are. */}}
{{- define "cartwright.auth" -}}
{{- $auth := .Values.auth -}}
- {name: AUTH_MODE, value: {{ $auth.mode }}}
{{- if eq $auth.mode "jwt" }}
- {name: AUTH_ISSUER, value: {{ required "auth.issuer: say which issuer's tokens count, such as https://id.example.com (or, for a trial, auth.mode=mock with appEnv=dev)" $auth.issuer | quote }}}
- {name: AUTH_AUDIENCE, value: {{ required "auth.audience: say which audience a token must be for" $auth.audience | quote }}}
- {name: AUTH_USER_CLAIM, value: {{ $auth.userClaim | quote }}}
- {name: AUTH_ALGORITHMS, value: {{ $auth.algorithms | quote }}}
{{- with $auth.jwksUrl }}
- {name: AUTH_JWKS_URL, value: {{ . | quote }}}
{{- end }}
{{- else if ne .Values.appEnv "dev" }}
{{- fail "auth.mode=mock lets anybody be anybody: it needs appEnv=dev" }}
{{- end }}
{{- end }}
