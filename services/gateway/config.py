"""The settings of the gateway."""

from services.chassis.env import Port, Settings


class Config(Settings):
    """Every variable of this service."""

    http_port: Port = 8080
    auth_mode: str = "jwt"
    """`mock` takes the user from X-User-Id, or user 1; it needs APP_ENV=dev."""
    product_addr: str = "127.0.0.1:50051"
    cart_addr: str = "127.0.0.1:50052"
    orders_addr: str = "127.0.0.1:50055"
    checkout_addr: str = "127.0.0.1:50056"
