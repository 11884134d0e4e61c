"""Finds the user of a token. Verified tokens are cached, since verifying one costs more than a cached read of a cart."""

import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from multidict import MultiMapping

from services.chassis.oidc import tokens
from services.chassis.oidc.jwks import Key
from services.chassis.oidc.keys import Keys
from services.chassis.oidc.policy import Policy
from services.chassis.oidc.tokens import Unauthenticated
from services.chassis.oidc.verification import verify
from services.chassis.resilience import Clock
from services.chassis.telemetry import Metrics
from services.error_codes import ErrorCode
from services.gateway import ids

_CLAIM = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # what may stand in an error_description (RFC 6750)
MAX_REMEMBERED_TOKENS = 10_000  # one per shopper of the last minutes; with some 300 bytes for each it stays at 3 MB


@dataclass(frozen=True, slots=True)
class _Known:
    """The user of a valid token. It is valid until `until` (seconds since the epoch), as long as its key is one of the issuer's."""

    user_id: int
    until: int
    key: Key


def claim_problems(claim: str) -> Iterator[str]:
    """Yield what is wrong with AUTH_USER_CLAIM, if anything is."""
    if not _CLAIM.fullmatch(claim):
        yield "AUTH_USER_CLAIM: must be the name of a claim, in ASCII without blanks and quotes"


def user_of(claims: Mapping[str, Any], claim: str) -> int:
    """Return the user that a claim holds. Raises Unauthenticated where that is no user id."""
    user = ids.positive(str(claims.get(claim)))  # no boolean, fraction or list reads as digits
    if user is None:
        raise Unauthenticated(
            f"the token's claim {claim} must hold the user id, a positive 64-bit integer",
            code=ErrorCode.TOKEN_USER_INVALID,
        )
    return user


class TokenUsers:
    """Returns the user of a request's token."""

    def __init__(self, policy: Policy, claim: str, keys: Keys, metrics: Metrics, clock: Clock = time.time) -> None:
        """Take the claim that holds the user id."""
        self._policy = policy
        self._claim = claim
        self._keys = keys
        self._clock = clock
        self._verified: dict[bytes, _Known] = {}
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

    async def _is_valid(self, known: _Known) -> bool:
        """Return whether a token is still valid: it has not expired, and its key is still one of the issuer's."""
        return self._clock() < known.until and known.key in await self._keys.current()

    async def _verify(self, token: str) -> _Known:
        valid = await verify(token, self._policy, self._keys)
        return _Known(user_of(valid.claims, self._claim), valid.until, valid.key)

    def _remember(self, digest: bytes, found: _Known) -> None:
        if len(self._verified) >= MAX_REMEMBERED_TOKENS:
            del self._verified[next(iter(self._verified))]  # the oldest: it is the likeliest to have expired
        self._verified[digest] = found
