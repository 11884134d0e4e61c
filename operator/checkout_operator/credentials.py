"""Who the operator is to the API server: one source for the watch and for the operator's own calls.

The kubernetes library finds the service account or the kubeconfig, and runs the plugin that a kubeconfig names for a managed
cluster. What it finds does not last: tokens of a pod are replaced within the hour, those of a plugin expire in minutes. So they
are loaded again before they expire, and when the API server answers 401.
"""

import asyncio
import math
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from aiohttp import (
    ClientConnectionError,
    ClientHandlerType,
    ClientMiddlewareType,
    ClientRequest,
    ClientResponse,
    ClientSession,
    DummyCookieJar,
    TCPConnector,
)
from kubernetes.aio import client, config
from kubernetes.aio.client.rest import RESTClientObject

from checkout_operator.clock import ServerClock
from checkout_operator.permissions import Permissions

REREAD_SECONDS = 60.0
"""How long the token of a pod is used before its file is read again. The kubelet replaces it long before it expires."""
RELOAD_SECONDS = 2.0
"""The shortest time between two loads: a plugin that fails, or whose tokens are refused, must not be run for each call."""
UNAUTHORIZED = 401


class NoCluster(Exception):
    """Nothing names an API server, or who we are to it. `str()` says what to do."""


class Credentials:
    """The address of the API server, and the token or certificate for it."""

    def __init__(self, settings: client.Configuration, due: float = math.inf) -> None:
        self.settings = settings
        """What the library's client needs."""
        self._due = due
        """When to load again, on the monotonic clock; infinity for not before a 401."""
        self._tried_at = time.monotonic()
        self._lock = asyncio.Lock()

    @classmethod
    async def load(cls) -> "Credentials":
        """Load the pod's service account, or what KUBECONFIG names. Raises NoCluster when there is neither."""
        try:
            return cls(*await _load())
        except config.ConfigException as error:
            raise NoCluster(f"no cluster: run it in a pod, or set KUBECONFIG ({error})") from error

    @property
    def token(self) -> str | None:
        """The value of the Authorization header; None with a certificate."""
        token: str | None = self.settings.api_key.get("BearerToken")
        return token

    async def authorization(self) -> str | None:
        """Return the value of the Authorization header, loaded again where it is due. Raises ConfigException."""
        if self._is_due():
            async with self._lock:
                if self._is_due():
                    await self._reload()
        return self.token

    async def renew(self, refused: str | None) -> bool:
        """Load again what the API server refused with 401. Returns whether there is something new to try.

        Raises ConfigException where nothing can be loaded.
        """
        async with self._lock:
            if self.token != refused:  # another call has renewed it
                return True
            return await self._reload()

    def session(
        self, permissions: Permissions, clock: ServerClock, *middlewares: ClientMiddlewareType
    ) -> ClientSession:
        """Open a session that authorises each request, for who does not use the library's client.

        `middlewares` see each request before and each response after that.
        """

        async def authorise(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
            try:
                response = await self._send(request, handler)
            except config.ConfigException as error:  # another try may succeed, as after a broken connection
                raise ClientConnectionError(f"there are no credentials for the API server: {error}") from error
            clock.observe(response.headers.get("Date", ""))
            await permissions.record(request.method, str(request.url), response.status, response.read)
            return response

        return ClientSession(
            connector=TCPConnector(limit=0, ssl=RESTClientObject(self.settings).ssl_context),
            middlewares=(*middlewares, authorise),
            proxy=self.settings.proxy,
            cookie_jar=DummyCookieJar(),
        )

    async def _send(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send a request, and once more where its credentials were refused and there are new ones."""
        used = await self.authorization()
        _authorise(request, used)
        response = await handler(request)
        if response.status == UNAUTHORIZED and await self.renew(used):
            response.release()
            _authorise(request, self.token)
            response = await handler(request)
        return response

    def _is_due(self) -> bool:
        return self._due <= time.monotonic()

    async def _reload(self) -> bool:
        """Load again, but not too soon after the last time. Returns whether anything has changed."""
        if time.monotonic() - self._tried_at < RELOAD_SECONDS:
            return False
        self._tried_at = time.monotonic()
        loaded, self._due = await _load()
        changed = False
        for name in ("api_key", "cert_file", "key_file", "ssl_ca_cert"):
            changed |= getattr(self.settings, name) != getattr(loaded, name)
            setattr(self.settings, name, getattr(loaded, name))
        return changed


async def _load() -> tuple[client.Configuration, float]:
    """Return the settings of the library's client, and when to load them again. Raises ConfigException."""
    settings, due = client.Configuration(), math.inf
    try:
        config.load_incluster_config(client_configuration=settings, try_refresh_token=False)
        due = time.monotonic() + REREAD_SECONDS
    except config.ConfigException as absent:
        try:
            loader = await config.load_kube_config(client_configuration=settings, persist_config=False)
        except Exception as error:  # it lets through what a broken file, a plugin or an issuer raises
            raise config.ConfigException(f"{absent} {error}") from error
        if expires_at := getattr(loader, "exec_plugin_expiry", None):  # of a plugin that says when its token expires
            due = time.monotonic() + (expires_at - datetime.now(UTC)).total_seconds()
    if token := settings.api_key.get("BearerToken"):
        settings.api_key["BearerToken"] = token.strip()
    elif settings.host.startswith("https") and not settings.cert_file:  # the library has logged why a plugin failed
        raise config.ConfigException("the kubeconfig's user has no token and no certificate, or its plugin gave none")
    settings.proxy = settings.proxy or _proxy(settings.host)
    # Otherwise each request looks for ~/.netrc and for a proxy in the environment, both in a thread.
    settings.client_session_kwargs = {"trust_env": False, "cookie_jar": DummyCookieJar()}
    return settings, due


def _authorise(request: ClientRequest, token: str | None) -> None:
    if token:
        request.headers["Authorization"] = token


def _proxy(host: str) -> str | None:
    """Return the proxy that the environment names for a server, by HTTPS_PROXY, HTTP_PROXY and NO_PROXY."""
    url = urlsplit(host)
    if proxy_bypass(url.hostname or ""):
        return None
    return getproxies().get(url.scheme)
