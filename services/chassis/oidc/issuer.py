"""Asks the issuer over HTTP for its discovery document and its keys. Time and size are limited."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

import aiohttp
import msgspec

from services.chassis.bounded import TooLong, read_bounded
from services.chassis.oidc.jwks import KeySet, NoUsableKey, parse_key_set
from services.chassis.oidc.policy import Policy, url_problem

V = TypeVar("V")
FETCH_SECONDS = 3.0  # a request that waits for keys can still be answered within its 4.8 s
MAX_BYTES = 256 * 1024  # a hundred keys with their certificates
OK = 200


class IssuerUnavailable(Exception):
    """The keys cannot be fetched now. `str()` says why; it is for logs, not for the shopper."""


class Discovery(msgspec.Struct):
    """What a discovery document says (OpenID Connect Discovery 1.0); empty where it names no such address."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""


class Issuer:
    """The issuer of a policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), headers={"Accept": "application/json"}
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def fetch(self) -> KeySet:
        """Return the keys that the issuer publishes now. Raises IssuerUnavailable if it gives no usable answer in time."""
        return await self._in_time(self._keys())

    async def discover(self) -> Discovery:
        """Return the issuer's addresses. Raises IssuerUnavailable if it gives no usable answer in time."""
        return await self._in_time(self._discovered())

    async def _keys(self) -> KeySet:
        url = self._policy.jwks_url or (await self._discovered()).jwks_uri
        return parse_key_set(await self._get(url), self._policy.algorithms)

    async def _in_time(self, asked: Coroutine[Any, Any, V]) -> V:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                return await asked
        except TimeoutError as error:
            raise IssuerUnavailable(f"it does not answer within {FETCH_SECONDS:g} s") from error
        except aiohttp.ClientError as error:
            raise IssuerUnavailable(f"it cannot be reached: {error}") from error
        except NoUsableKey as error:
            raise IssuerUnavailable(
                str(error)
            ) from error  # an emptied set looks like a broken one; the old keys last 1 h

    async def _discovered(self) -> Discovery:
        url = self._policy.issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            found = msgspec.json.decode(await self._get(url), type=Discovery)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise IssuerUnavailable(
                f"{url} is no discovery document; AUTH_JWKS_URL can name the keys instead"
            ) from error
        if found.issuer != self._policy.issuer:
            raise IssuerUnavailable(f"AUTH_ISSUER is {self._policy.issuer!r}, but it calls itself {found.issuer!r}")
        for name in ("jwks_uri", "authorization_endpoint", "token_endpoint"):
            address = getattr(found, name)
            problem = url_problem(address, plain_http=self._policy.plain_http)
            if problem and (address or name == "jwks_uri"):
                raise IssuerUnavailable(f"the {name} of {url} {problem}")
        return found

    async def _get(self, url: str) -> bytes:
        # Redirects are not followed: one could lead from https to http, or into the cluster.
        async with self._session.get(url, allow_redirects=False) as response:
            if response.status != OK:
                raise IssuerUnavailable(f"{url} answers with status {response.status}")
            try:
                return await read_bounded(response, MAX_BYTES)
            except TooLong as error:
                raise IssuerUnavailable(f"{url} answers with more than {MAX_BYTES // 1024} KiB") from error
