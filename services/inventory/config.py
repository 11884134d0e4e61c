"""The settings of the inventory service and its sweeper."""

from pydantic import Field

from services.chassis.env import Port, Seconds, Settings


class Config(Settings):
    """Every variable of this service."""

    grpc_port: Port = 50053
    http_port: Port = 9053
    postgres_url: str
    postgres_pool: int = 10
    reservation_ttl: Seconds = 300.0
    """How long stock is held for a checkout that has not begun to pay."""
    inventory_initial_stock: int = Field(default=1_000_000, ge=0)
    """Pieces of each seeded product that the migration puts into an empty warehouse."""


class SweeperConfig(Config):
    """The variables of the sweeper."""

    http_port: Port = 9153
