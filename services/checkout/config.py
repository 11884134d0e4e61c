"""The settings of the checkout service and its workers."""

from services.chassis.brokers import KafkaSettings
from services.chassis.env import Port, Seconds, Settings


class Config(Settings):
    """Every variable of this service."""

    grpc_port: Port = 50056
    http_port: Port = 9056
    postgres_url: str
    """The database `ecommerce`; the service acts as its own role in it."""
    postgres_pool: int = 16
    cart_addr: str = "127.0.0.1:50052"
    product_addr: str = "127.0.0.1:50051"
    inventory_addr: str = "127.0.0.1:50053"
    payment_addr: str = "127.0.0.1:50054"
    checkout_timeout: Seconds = 300.0
    """How long a checkout may stay unfinished before it is cancelled."""
    renew_every: Seconds = 3.0
    """How often the leases of running sagas are renewed; they last 10 s."""


class RelayConfig(KafkaSettings):
    """The variables of the relay."""

    http_port: Port = 9156
    postgres_url: str
    checkout_topic: str = "checkout-events"


class RecoveryConfig(Config):
    """The variables of the recovery worker."""

    http_port: Port = 9157


class MigrateConfig(RelayConfig):
    """The variables of the migration."""

    topic_partitions: int = 4
    topic_replication: int = 1
    """Copies of each topic; 3 where there are brokers enough."""
    topic_wait: Seconds = 60.0
    """How long Kafka may take to answer."""
