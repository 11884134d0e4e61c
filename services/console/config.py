"""The settings of the console."""

from typing import Annotated

from pydantic import Field

from services.chassis.env import Port
from services.chassis.oidc.policy import OidcSettings


class Config(OidcSettings):
    """Every variable of this service."""

    http_port: Port = 8090
    auth_mode: str = "jwt"
    """`jwt` asks for a token of AUTH_ISSUER that has the role; `mock` asks nobody: it needs APP_ENV=dev and a LISTEN_HOST
    that only this machine reaches."""
    auth_admin_claim: str = "roles"
    """The claim with a person's roles, a list or one role; dots lead into it, as in `realm_access.roles`."""
    auth_admin_role: str = "cartwright-console"
    """The role that lets a person in."""
    auth_client_id: str = ""
    """The client that the console is at the issuer, for its login. Empty: it has none, and takes the token of the header
    Authorization, which a proxy in front of it sets."""
    auth_client_secret: str = ""
    """The secret of that client; empty for a public one. PKCE is used with both."""
    console_url: str = ""
    """Where people reach the console, such as https://console.shop.example; needed with AUTH_CLIENT_ID."""
    trace_viewer_url: Annotated[str, Field(pattern=r"^(https?://\S*\{trace_id\}\S*)?$")] = ""
    """Where people see a trace, such as https://jaeger.shop.example/trace/{trace_id}. Empty: a checkout's page names its trace only."""
    product_addr: str = "127.0.0.1:50051"
    inventory_addr: str = "127.0.0.1:50053"
    payment_addr: str = "127.0.0.1:50054"
    orders_addr: str = "127.0.0.1:50055"
    checkout_addr: str = "127.0.0.1:50056"
    metrics_addrs: str = ""
    """Whose /metrics are read, as `part=host:port` with commas between. A name that stands for many addresses is asked at
    each. Empty: the front page shows no breakers, no outbox and no lag."""
