"""Who may use the console."""

import ipaddress
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

from aiohttp import web

from services.chassis.env import BadSettings
from services.chassis.logs import Logger
from services.chassis.oidc import tokens
from services.chassis.oidc.issuer import Issuer
from services.chassis.oidc.keys import Keys
from services.chassis.oidc.policy import policy_of, url_problem
from services.chassis.oidc.tokens import Unauthenticated
from services.chassis.telemetry import Metrics
from services.chassis.web import Check
from services.console.config import Config
from services.console.edge import Admit
from services.console.live import SESSION_END
from services.console.login import Login
from services.console.rendering import Renderer
from services.console.security import TOKEN_COOKIE
from services.console.staff import NoRole, Staff
from services.error_codes import ErrorCode


@dataclass(frozen=True, slots=True)
class Doors:
    """What decides about a request, the routes of a login, and the readiness checks that it needs."""

    admit: Admit
    routes: tuple[web.RouteDef, ...] = ()
    checks: Mapping[str, Check] = field(default_factory=dict)


@asynccontextmanager
async def access(config: Config, renderer: Renderer, log: Logger, metrics: Metrics) -> AsyncIterator[Doors]:
    """Yield the doors of AUTH_MODE. Raises BadSettings if the mode must not run here, or lacks a setting."""
    if config.auth_mode == "mock":
        if config.app_env != "dev" or not is_loopback(config.listen_host):
            raise BadSettings(
                "AUTH_MODE: mock lets anybody see and cancel every purchase; it needs APP_ENV=dev and a LISTEN_HOST that"
                f" only this machine reaches, such as 127.0.0.1 (got APP_ENV={config.app_env},"
                f" LISTEN_HOST={config.listen_host})"
            )
        yield Doors(anybody)
    elif config.auth_mode == "jwt":
        policy = policy_of(config, _problems(config))
        async with Issuer(policy) as issuer:
            keys = Keys(issuer.fetch, log, metrics, time.monotonic)
            keys.start_fetch()
            staff = Staff(policy, keys, claim=config.auth_admin_claim, role=config.auth_admin_role)
            login = Login(config, issuer, staff, renderer, log) if config.auth_client_id else None
            try:
                yield Doors(
                    Guard(staff, renderer, has_login=login is not None).admit,
                    login.routes() if login else (),
                    {"issuer": keys.ready},
                )
            finally:
                await keys.close()
    else:
        raise BadSettings(f"AUTH_MODE: must be mock or jwt (got {config.auth_mode!r})")


class Guard:
    """Lets in who has a token with the role: in the header Authorization, or in the cookie of a login."""

    def __init__(self, staff: Staff, renderer: Renderer, *, has_login: bool) -> None:
        self._staff = staff
        self._renderer = renderer
        self._has_login = has_login

    async def admit(self, request: web.Request) -> web.StreamResponse | None:
        """Return None for a person who may use the console, and otherwise a page that says why not."""
        try:
            request[SESSION_END] = (await self._staff.check(_token(request))).until
        except Unauthenticated as error:
            if (
                self._has_login
                and error.code is ErrorCode.TOKEN_REQUIRED
                and request.method == "GET"
                and not request.path.endswith("/events")
            ):
                raise web.HTTPSeeOther(f"/login?to={quote(request.rel_url.raw_path_qs, safe='')}") from error
            return self._refuse(request, 401, f"{error}.", {"WWW-Authenticate": error.challenge})
        except NoRole as error:
            return self._refuse(request, 403, f"You may not use the console: {error}.", {})
        return None

    def _refuse(self, request: web.Request, status: int, why: str, headers: Mapping[str, str]) -> web.StreamResponse:
        to = request.rel_url.raw_path_qs if self._has_login and request.method == "GET" else ""
        why = f"{why[:1].upper()}{why[1:]}"
        response = self._renderer.page(request, "login.html", status=status, why=why, to=to)
        response.headers.update(headers)
        return response


def _token(request: web.Request) -> str:
    """Return the token of a request. Raises Unauthenticated if there is none."""
    if "Authorization" in request.headers:
        return tokens.bearer(request.headers)
    if token := request.cookies.get(TOKEN_COOKIE):
        return token
    raise Unauthenticated("the console shows every purchase, so it asks who you are", code=ErrorCode.TOKEN_REQUIRED)


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def anybody(_: web.Request) -> web.StreamResponse | None:
    """Let everybody in."""
    return None


def _problems(config: Config) -> Iterator[str]:
    """Yield what is wrong with the settings of the login and the role."""
    if not config.auth_admin_claim or not config.auth_admin_role:
        yield "AUTH_ADMIN_CLAIM, AUTH_ADMIN_ROLE: must not be empty; say which claim holds which role"
    if config.auth_client_id and (problem := url_problem(config.console_url, plain_http=config.app_env == "dev")):
        yield f"CONSOLE_URL: {problem} (got {config.console_url!r})"
