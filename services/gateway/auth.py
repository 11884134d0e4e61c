"""Who asks. A user id comes from here and from nowhere else."""

from collections.abc import Callable, Mapping

from services.chassis.env import BadSettings
from services.errors import Invalid

MOCK_USER = 1
MOST = 2**63 - 1

UserOf = Callable[[Mapping[str, str]], int]


def user_source(mode: str, app_env: str) -> UserOf:
    """Give what reads the user out of a request's headers; BadSettings for a mode that must not run here."""
    if mode == "mock":
        if app_env != "dev":
            raise BadSettings("AUTH_MODE: mock lets anybody be anybody, and needs APP_ENV=dev")
        return mock_user
    if mode == "jwt":
        raise BadSettings("AUTH_MODE: jwt is not part of this version; on a laptop set AUTH_MODE=mock and APP_ENV=dev")
    raise BadSettings(f"AUTH_MODE: must be mock or jwt (got {mode!r})")


def mock_user(headers: Mapping[str, str]) -> int:
    """Give the user of X-User-Id, or user 1; Invalid where it is no positive 64-bit integer."""
    text = headers.get("X-User-Id")
    if text is None:
        return MOCK_USER
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 1 <= int(text) <= MOST):  # noqa: PLR2004 - digits of 2^63
        raise Invalid("X-User-Id must be a positive 64-bit integer")
    return int(text)
