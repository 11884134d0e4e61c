"""The settings of the gateway."""

from typing import Annotated

from pydantic import Field

from services.chassis.env import Port
from services.chassis.oidc.policy import OidcSettings


class Config(OidcSettings):
    """Every variable of this service."""

    http_port: Port = 8080
    auth_mode: str = "jwt"
    """`jwt` takes the user from a token of AUTH_ISSUER; `mock` from X-User-Id, or user 1: it needs APP_ENV=dev."""
    auth_user_claim: str = "sub"
    """The claim that holds the user id, a positive 64-bit integer, as a number or in digits."""
    cors_origins: str = ""
    """The origins whose pages may call the API from a browser, separated by commas; none by default."""
    log_sample_reads: Annotated[int, Field(ge=1)] = 100
    """Under load one in so many reads that went well is logged; 1 logs all. Writes, failures and slow requests are always logged."""
    max_under_way: Annotated[int, Field(ge=16)] = 512
    """How many requests to the API may be under way at once; more are refused with 503. An eighth is for checkouts alone.
    The slowest requests are checkouts: at 300 a second 512 of them end within 2 s, well before the deadline of 4.8 s."""
    product_addr: str = "127.0.0.1:50051"
    cart_addr: str = "127.0.0.1:50052"
    orders_addr: str = "127.0.0.1:50055"
    checkout_addr: str = "127.0.0.1:50056"
