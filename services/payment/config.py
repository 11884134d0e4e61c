"""The settings of the payment service and its resolver."""

from services.chassis.env import Port, Seconds, Settings


class Config(Settings):
    """Every variable of this service."""

    grpc_port: Port = 50054
    http_port: Port = 9054
    postgres_url: str
    postgres_pool: int = 10
    bank_addr: str = "127.0.0.1:50058"
    bank_tls: bool = False
    """Whether the payment provider is called by TLS; only the simulated one, beside us, may do without."""
    resolve_after: Seconds = 10.0
    """After how long without an outcome the resolver asks the bank again."""


class ResolverConfig(Config):
    """The variables of the resolver."""

    http_port: Port = 9154
