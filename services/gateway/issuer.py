"""Where the issuer's keys come from: its discovery document and its key set, over HTTP, within bounds."""

import asyncio
from typing import Self

import aiohttp
import msgspec

from services.gateway.jwks import KeySet, NoUsableKey, key_set
from services.gateway.policy import Policy, wrong_with

FETCH_SECONDS = 3.0  # leaves a request that waits for keys enough of its 4.8 s to be answered
MOST_BYTES = 256 * 1024  # a hundred keys with their certificates
OK = 200


class IssuerAway(Exception):
    """The keys cannot be had now; `str()` says why, to the operator and not to the shopper."""


class _Discovery(msgspec.Struct):
    issuer: str
    jwks_uri: str


class Issuer:
    """The issuer that a policy names."""

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
        """Give the keys that it publishes now; IssuerAway where it does not answer in time, or not as it should."""
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                url = self._policy.jwks_url or await self._discovered()
                return key_set(await self._get(url), self._policy.algorithms)
        except TimeoutError as error:
            raise IssuerAway(f"it does not answer within {FETCH_SECONDS:g} s") from error
        except aiohttp.ClientError as error:
            raise IssuerAway(f"it cannot be reached: {error}") from error
        except NoUsableKey as error:
            raise IssuerAway(str(error)) from error  # an emptied set looks like a broken one; the old keys last 1 h

    async def _discovered(self) -> str:
        url = self._policy.issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            found = msgspec.json.decode(await self._get(url), type=_Discovery)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise IssuerAway(f"{url} is no discovery document; AUTH_JWKS_URL can name the keys instead") from error
        if found.issuer != self._policy.issuer:
            raise IssuerAway(f"AUTH_ISSUER is {self._policy.issuer!r}, but it calls itself {found.issuer!r}")
        wrong = wrong_with(found.jwks_uri, plain_http=self._policy.plain_http)
        if wrong:
            raise IssuerAway(f"the jwks_uri of {url} {wrong}")
        return found.jwks_uri

    async def _get(self, url: str) -> bytes:
        # Redirects are not followed: one could lead from https to http, or into the cluster.
        async with self._session.get(url, allow_redirects=False) as response:
            if response.status != OK:
                raise IssuerAway(f"{url} answers with status {response.status}")
            body = bytearray()
            async for part in response.content.iter_any():
                body += part
                if len(body) > MOST_BYTES:
                    raise IssuerAway(f"{url} answers with more than {MOST_BYTES // 1024} KiB")
            return bytes(body)
