"""The settings of the product service."""

from services.chassis.env import Port, Settings


class Config(Settings):
    """Every variable of this service."""

    grpc_port: Port = 50051
    http_port: Port = 9051
    postgres_url: str
    """The database `ecommerce`; the service acts as its own role in it."""
    postgres_pool: int = 8
