"""Finds the user of a token. Verified tokens are cached, since verifying one costs more than a cached read of a cart."""

import hashlib
import time
from typing import Any

from multidict import MultiMapping

from services.chassis.resilience import Clock
from services.chassis.telemetry import Metrics
from services.gateway import tokens
from services.gateway.jwks import KeySet
from services.gateway.keys import Keys
from services.gateway.policy import Policy
from services.gateway.tokens import Unauthenticated, Verified

MAX_REMEMBERED_TOKENS = 10_000  # one per shopper of the last minutes; with some 300 bytes for each it stays at 3 MB


class TokenUsers:
    """Returns the user of a request's token."""

    def __init__(self, policy: Policy, keys: Keys, metrics: Metrics, clock: Clock = time.time) -> None:
        self._policy = policy
        self._keys = keys
        self._clock = clock
        self._verified: dict[bytes, Verified] = {}
        self._counted: Any = metrics.counter(
            "cartwright_tokens_total", "Tokens of requests: remembered, verified, refused.", ("outcome",)
        ).labels

    async def __call__(self, headers: MultiMapping[str]) -> int:
        """Return the user. Raises Unauthenticated that says why there is none, or Unavailable if tokens cannot be checked now."""
        try:
            token = tokens.bearer(headers)
            digest = hashlib.sha256(
                token.encode(errors="surrogateescape")
            ).digest()  # short, and worth nothing to who reads the memory
            known = self._verified.get(digest)
            if known is not None and await self._is_valid(known):
                self._counted("remembered").inc()
                return known.user_id
            self._verified.pop(digest, None)
            found = await self._verify(token)
        except Unauthenticated:
            self._counted("refused").inc()
            raise
        self._counted("verified").inc()
        self._remember(digest, found)
        return found.user_id

    async def _is_valid(self, known: Verified) -> bool:
        """Return whether a token is still valid: it has not expired, and its key is still one of the issuer's."""
        return self._clock() < known.until and known.key in await self._keys.current()

    async def _verify(self, token: str) -> Verified:
        header = tokens.unverified_header(token, self._policy)
        keys: KeySet = await self._keys.current()
        key = tokens.select_key(keys, header)
        if key is None:  # the issuer may have a new one
            key = tokens.select_key(await self._keys.fetch_newer(keys), header)
        if key is None:
            raise Unauthenticated("the token is signed with a key that its issuer does not have")
        return tokens.verify(token, key, header, self._policy)

    def _remember(self, digest: bytes, found: Verified) -> None:
        if len(self._verified) >= MAX_REMEMBERED_TOKENS:
            del self._verified[next(iter(self._verified))]  # the oldest: it is the likeliest to have expired
        self._verified[digest] = found
