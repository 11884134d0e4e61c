{{/*
What the platform is made of. Who listens where, who calls whom, which stores each needs: facts, not choices, hence not in
the values. `workers` run beside their service or as deployments of their own; they call whom it calls, where they do not
say otherwise. This and what is made of it is JSON, not YAML: Helm reads and writes it many times faster, and a chart is rendered
with half of the work.
*/}}
{{- define "cartwright.platform" -}}
{
"gateway": {"http": 8080, "calls": ["product", "cart", "orders", "checkout"], "issuer": true},
"console": {"http": 8090, "calls": ["checkout", "payment", "inventory", "orders", "product"], "issuer": true, "measures": true},
"product": {"grpc": 50051, "http": 9051, "stores": ["postgresql"], "migrates": true},
"cart": {"grpc": 50052, "http": 9052, "stores": ["mongodb", "redis"], "calls": ["product"], "migrates": true, "workers": {"consumer": {"http": 9152, "stores": ["kafka"]}}},
"inventory": {"grpc": 50053, "http": 9053, "stores": ["postgresql"], "migrates": true, "workers": {"sweeper": {"http": 9153}}},
"payment": {"grpc": 50054, "http": 9054, "stores": ["postgresql"], "calls": ["bank"], "migrates": true, "workers": {"resolver": {"http": 9154}}},
"orders": {"grpc": 50055, "http": 9055, "stores": ["postgresql"], "migrates": true, "workers": {"consumer": {"http": 9155, "stores": ["kafka"]}}},
"checkout": {"grpc": 50056, "http": 9056, "stores": ["postgresql"], "calls": ["cart", "product", "inventory", "payment"], "migrates": true, "topics": true, "workers": {"relay": {"http": 9156, "stores": ["kafka"], "calls": []}, "recovery": {"http": 9157}}},
"auditor": {"http": 9059, "stores": ["postgresql", "mongodb", "redis", "kafka"], "apiServer": true, "optional": true},
"bank": {"grpc": 50058, "http": 9058, "stores": ["bankPostgresql"], "migrates": true, "optional": true}
}
{{- end }}

{{/* The services that run: all but the bank, the console and the auditor where they are not wanted. */}}
{{- define "cartwright.services" -}}
{{- $all := include "cartwright.platform" . | fromJson -}}
{{- if not .Values.bank.enabled }}{{ $all = omit $all "bank" }}{{ end -}}
{{- if not .Values.console.enabled }}{{ $all = omit $all "console" }}{{ end -}}
{{- if not .Values.auditor.enabled }}{{ $all = omit $all "auditor" }}{{ end -}}
{{- if and .Values.auditor.enabled .Values.bank.enabled }}{{ $_ := set $all.auditor "stores" (append $all.auditor.stores "bankPostgresql") }}{{ end -}}
{{- if and .Values.auditor.enabled (not .Values.operator.enabled) }}{{ $_ := set $all.auditor "apiServer" false }}{{ end -}}
{{- toJson $all }}
{{- end }}

{{/* Every deployment: name → {service, role, http, grpc, stores, calls, values, pod, sidecars}; `podStores` are those of all its containers. */}}
{{- define "cartwright.deployments" -}}
{{- $found := dict -}}
{{- range $service, $facts := include "cartwright.services" . | fromJson -}}
{{- $own := index $.Values.services $service -}}
{{- $topics := ternary (list "kafka") list (and $.Values.migrations.enabled (not $.Values.migrations.hook) (default false $facts.topics)) -}}
{{- $stores := concat ($facts.stores | default list) $topics -}}
{{- $_ := set $found $service (merge (dict "service" $service "role" "serve" "values" $own "pod" (include "cartwright.settings" (dict "root" $ "own" $own) | fromJson) "podStores" $stores) (omit $facts "workers")) -}}
{{- range $worker, $its := ($facts.workers | default dict) -}}
{{- $values := index $own "workers" $worker -}}
{{- $part := dict "service" $service "role" $worker "http" $its.http "stores" (concat ($facts.stores | default list) ($its.stores | default list)) "calls" (ternary $its.calls $facts.calls (hasKey $its "calls") | default list) "values" $values "pod" (include "cartwright.settings" (dict "root" $ "own" $values) | fromJson) -}}
{{- if eq $.Values.workers.mode "deployment" -}}
{{- $_ := set $part "podStores" (uniq (concat $part.stores $topics)) -}}
{{- $_ := set $found (printf "%s-%s" $service $worker) (merge $part (dict "migrates" $facts.migrates)) -}}
{{- else -}}
{{- $of := index $found $service -}}
{{- $_ := set $of "sidecars" (merge (dict $worker $part) ($of.sidecars | default dict)) -}}
{{- $_ := set $of "podStores" (uniq (concat ($of.podStores | default list) $part.stores)) -}}
{{- $_ := set $of.pod "extraVolumes" (uniq (concat ($of.pod.extraVolumes | default list) ($part.pod.extraVolumes | default list))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $found }}
{{- end }}

{{/*
The parts whose metrics the console reads: name → {port, component, host}. They are those with a headless Service, at which
each pod can be asked; workers are among them where they run in their service's pods.
*/}}
{{- define "cartwright.measured" -}}
{{- $found := dict -}}
{{- range $name, $part := include "cartwright.deployments" . | fromJson -}}
{{- if or $part.grpc (eq $name "auditor") -}}
{{- $host := printf "%s-%s" (include "cartwright.name" $) $name -}}
{{- $_ := set $found $name (dict "component" $name "host" $host "port" $part.http) -}}
{{- range $role, $its := ($part.sidecars | default dict) -}}
{{- $_ := set $found (printf "%s-%s" $name $role) (dict "component" $name "host" $host "port" $its.http) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $found }}
{{- end }}
