"""The settings of the orders service and its consumer."""

from services.chassis.brokers import KafkaSettings
from services.chassis.env import Port, Settings


class Config(Settings):
    """The variables of the service."""

    grpc_port: Port = 50055
    http_port: Port = 9055
    postgres_url: str
    postgres_pool: int = 8


class ConsumerConfig(Config, KafkaSettings):
    """The variables of the consumer."""

    http_port: Port = 9155
    checkout_topic: str = "checkout-events"
