"""The settings of the cart service and its consumer."""

from services.chassis.brokers import KafkaSettings
from services.chassis.env import Port, Settings


class Config(Settings):
    """Every variable of this service."""

    grpc_port: Port = 50052
    http_port: Port = 9052
    mongodb_url: str
    redis_url: str
    product_addr: str = "127.0.0.1:50051"


class ConsumerConfig(Config, KafkaSettings):
    """The variables of the consumer."""

    http_port: Port = 9152
    checkout_topic: str = "checkout-events"
