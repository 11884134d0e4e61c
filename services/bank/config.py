"""The settings of the simulated bank."""

from pydantic import Field

from services.chassis.env import Port, Settings


class Config(Settings):
    """Every variable of this service."""

    grpc_port: Port = 50058
    http_port: Port = 9058
    bank_postgres_url: str
    """A database of its own: the ledger is what the platform's books are checked against."""
    bank_success_rate: float = Field(default=0.95, ge=0, le=1)
    bank_seed: str = "cartwright"
    bank_admin: bool = False
    """Whether the behaviour of the bank can be set."""
