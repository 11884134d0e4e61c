"""Finds the user of a request. No other module does."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from multidict import MultiMapping

from services.chassis.env import BadSettings
from services.chassis.logs import Logger
from services.chassis.oidc.issuer import Issuer
from services.chassis.oidc.keys import Keys
from services.chassis.oidc.policy import policy_of
from services.chassis.resilience import Clock
from services.chassis.telemetry import Metrics
from services.chassis.web import Check
from services.error_codes import ErrorCode
from services.errors import Invalid
from services.gateway import ids
from services.gateway.config import Config
from services.gateway.verified import TokenUsers, claim_problems

MOCK_USER = 1

Headers = MultiMapping[str]
UserOf = Callable[[Headers], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Users:
    """A function that reads the user from a request's headers, and the readiness checks that it needs."""

    of: UserOf
    checks: Mapping[str, Check] = field(default_factory=dict)


@asynccontextmanager
async def users(config: Config, log: Logger, metrics: Metrics, clock: Clock = time.monotonic) -> AsyncIterator[Users]:
    """Yield the users of AUTH_MODE. Raises BadSettings if the mode must not run here, or lacks a setting.

    It does not wait for the issuer. A gateway that starts while the issuer is unavailable answers 503 until it is there.
    """
    if config.auth_mode == "mock":
        if config.app_env != "dev":
            raise BadSettings("AUTH_MODE: mock lets anybody be anybody, and needs APP_ENV=dev")
        yield Users(mock_user)
    elif config.auth_mode == "jwt":
        policy = policy_of(config, claim_problems(config.auth_user_claim))
        async with Issuer(policy) as issuer:
            keys = Keys(issuer.fetch, log, metrics, clock)
            keys.start_fetch()
            try:
                yield Users(TokenUsers(policy, config.auth_user_claim, keys, metrics), {"issuer": keys.ready})
            finally:
                await keys.close()
    else:
        raise BadSettings(f"AUTH_MODE: must be mock or jwt (got {config.auth_mode!r})")


async def mock_user(headers: Headers) -> int:
    """Return the user of X-User-Id, or user 1 without that header. Raises Invalid if it is no positive 64-bit integer."""
    text = headers.get("X-User-Id")
    user = MOCK_USER if text is None else ids.positive(text)
    if user is None:
        raise Invalid("X-User-Id must be a positive 64-bit integer", code=ErrorCode.USER_ID_INVALID)
    return user
