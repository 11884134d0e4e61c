"""How any service runs: settings, logs, metrics, gRPC, HTTP, PostgreSQL and Kafka. It knows no service and no proto."""
