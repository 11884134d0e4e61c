{{- define "stores.chart" -}}
{{- .Values.nameOverride | default .Chart.Name }}
{{- end }}

{{/* What the names of all objects begin with. */}}
{{- define "stores.name" -}}
{{- $chart := include "stores.chart" . -}}
{{- $name := .Values.fullnameOverride | default (ternary .Release.Name (printf "%s-%s" .Release.Name $chart) (contains $chart .Release.Name)) | trunc 40 | trimSuffix "-" -}}
{{- if not (regexMatch "^[a-z]" $name) }}{{ fail (printf "fullnameOverride: set it to a name that begins with a letter; the name of a Service cannot begin as %q does" $name) }}{{ end -}}
{{- $name }}
{{- end }}

{{/* The labels of all that belongs to the release. */}}
{{- define "stores.release" -}}
app.kubernetes.io/name: {{ include "stores.chart" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* The labels that find a store's pod: (dict "root" $ "store" "redis"). */}}
{{- define "stores.selector" -}}
{{ include "stores.release" .root }}
app.kubernetes.io/component: {{ .store }}
{{- end }}

{{- define "stores.labels" -}}
{{ include "stores.selector" . }}
app.kubernetes.io/part-of: cartwright
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | quote }}
{{- end }}

{{/*
What differs between the stores; the statefulset is the same. `writes` are folders that must be writable beside the volume.
The user ids are those of the official images.
*/}}
{{- define "stores.all" -}}
postgresql:
  user: 999
  port: 5432
  data: /var/lib/postgresql/data
  env:
  - {name: POSTGRES_USER, value: cartwright}
  - {name: POSTGRES_DB, value: ecommerce}
  - {name: PGDATA, value: /var/lib/postgresql/data/pgdata}
  - {name: POSTGRES_PASSWORD, valueFrom: {secretKeyRef: {name: {{ include "stores.name" . }}, key: postgresqlPassword}}}
  args: [postgres, -c, max_connections={{ .Values.postgresql.maxConnections }}]
  probe: {exec: {command: [pg_isready, -h, 127.0.0.1, -U, cartwright, -d, ecommerce]}}
  writes: [/tmp, /var/run/postgresql]
mongodb:
  user: 999
  port: 27017
  data: /data/db
  env:
  - {name: MONGO_INITDB_ROOT_USERNAME, value: cartwright}
  - {name: MONGO_INITDB_ROOT_PASSWORD, valueFrom: {secretKeyRef: {name: {{ include "stores.name" . }}, key: mongodbPassword}}}
  args: [mongod, --bind_ip_all]
  probe: {tcpSocket: {port: 27017}}
  writes: [/tmp, /data/configdb]
redis:
  user: 999
  port: 6379
  env:
  - {name: REDIS_PASSWORD, valueFrom: {secretKeyRef: {name: {{ include "stores.name" . }}, key: redisPassword}}}
  command: [sh, -c, 'exec redis-server --save "" --appendonly no --maxmemory {{ .Values.redis.maxMemory }} --maxmemory-policy allkeys-lru --requirepass "$REDIS_PASSWORD"']
  probe: {tcpSocket: {port: 6379}}
  writes: [/tmp, /data]
kafka:
  user: 1000
  port: 9092
  data: /var/lib/kafka/data
  env:
  - {name: CLUSTER_ID, value: Q2FydHdyaWdodFRyeU91dA}
  - {name: KAFKA_NODE_ID, value: "1"}
  - {name: KAFKA_PROCESS_ROLES, value: "broker,controller"}
  - {name: KAFKA_LISTENERS, value: "PLAINTEXT://:9092,CONTROLLER://:9093"}
  - {name: KAFKA_ADVERTISED_LISTENERS, value: "PLAINTEXT://{{ include "stores.name" . }}-kafka:9092"}
  - {name: KAFKA_CONTROLLER_LISTENER_NAMES, value: CONTROLLER}
  - {name: KAFKA_LISTENER_SECURITY_PROTOCOL_MAP, value: "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"}
  - {name: KAFKA_CONTROLLER_QUORUM_VOTERS, value: "1@localhost:9093"}
  - {name: KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR, value: "1"}
  - {name: KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR, value: "1"}
  - {name: KAFKA_TRANSACTION_STATE_LOG_MIN_ISR, value: "1"}
  - {name: KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS, value: "0"}
  - {name: KAFKA_AUTO_CREATE_TOPICS_ENABLE, value: "false"}
  - {name: KAFKA_LOG_DIRS, value: /var/lib/kafka/data/logs}
  - {name: KAFKA_HEAP_OPTS, value: "-Xms{{ .Values.kafka.heap }} -Xmx{{ .Values.kafka.heap }}"}
  probe: {tcpSocket: {port: 9092}}
  writes: [/tmp, /opt/kafka/config, /opt/kafka/logs, /mnt/shared/config]
{{- end }}
