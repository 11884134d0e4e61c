"""Verifies tokens. Pure, but for the time of day. PyJWT does the checks of RFC 7519."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from multidict import MultiMapping

from services.chassis.oidc.jwks import Key, KeySet
from services.chassis.oidc.policy import Policy
from services.error_codes import ErrorCode
from services.errors import Invalid

LEEWAY = 60  # seconds by which two clocks may differ

# The compact form of RFC 7515, which knows no padding. A header ends at 16 KiB (services/chassis/malformed.py), and so does
# any part of a token.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,16384}\.[A-Za-z0-9_-]{1,16384}\.[A-Za-z0-9_-]{1,16384}")

_WHY: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "the token has expired"),  # a client gets a new one for this: it has a code of its own
    (jwt.ImmatureSignatureError, "the token is not valid yet"),
    (jwt.InvalidAudienceError, "the token is for another audience"),
    (jwt.InvalidIssuerError, "the token is of another issuer"),
    (jwt.MissingRequiredClaimError, "the token lacks a claim: exp, iss and aud are needed"),
    (jwt.PyJWTError, "the token is not valid"),
)


class Unauthenticated(Invalid):
    """The request has no valid token; the code TOKEN_REQUIRED says that it has none at all."""

    default_code = ErrorCode.TOKEN_INVALID

    @property
    def challenge(self) -> str:
        """The WWW-Authenticate header (RFC 6750). It names no error if there was no token."""
        realm = 'Bearer realm="cartwright"'
        return (
            realm
            if self.code is ErrorCode.TOKEN_REQUIRED
            else f'{realm}, error="invalid_token", error_description="{self}"'
        )


@dataclass(frozen=True, slots=True)
class Verified:
    """A valid token. It is valid until `until` (seconds since the epoch), as long as its key is one of the issuer's."""

    claims: Mapping[str, Any]
    until: int
    key: Key


def bearer(headers: MultiMapping[str]) -> str:
    """Return the token of a request. Raises Unauthenticated if there is none, or if two differ."""
    given = set(headers.getall("Authorization", []))
    if len(given) > 1:
        raise Unauthenticated("there are Authorization headers that differ")
    scheme, _, token = (given.pop() if given else "").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("a token is needed: Authorization: Bearer <token>", code=ErrorCode.TOKEN_REQUIRED)
    return token.strip(" ")


def unverified_header(token: str, policy: Policy) -> Mapping[str, Any]:
    """Return the header of a token, which is not verified yet. Raises Unauthenticated if no key could verify it."""
    if not _TOKEN.fullmatch(token):
        raise Unauthenticated("the token is not a JSON Web Token")
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise Unauthenticated("the token is not a JSON Web Token") from error
    if not isinstance(header.get("alg"), str) or header["alg"] not in policy.algorithms:
        raise Unauthenticated("the token is signed with an algorithm that does not count here")
    return header


def select_key(keys: KeySet, header: Mapping[str, Any]) -> Key | None:
    """Return the key that a token names, or None if it is missing. A token without a key's name needs an issuer with one key."""
    kid = header.get("kid")
    if kid is None:
        if len(keys) > 1:
            raise Unauthenticated("the token does not say which of the issuer's keys signed it (kid)")
        return keys[0]
    named = [key for key in keys if key.kid == kid]
    fitting = [key for key in named if header["alg"] in key.bound]
    if named and not fitting:
        raise Unauthenticated("the token's algorithm is not that of its key")
    return fitting[0] if fitting else None


def verify(token: str, key: Key, header: Mapping[str, Any], policy: Policy) -> Verified:
    """Return the claims of a token, by the clock of this machine. Raises Unauthenticated that says why it is not valid."""
    bound = key.bound.get(header["alg"])
    if bound is None:
        raise Unauthenticated("the token's algorithm is not that of its key")
    try:
        claims = jwt.decode(
            token,
            bound,
            algorithms=[bound.algorithm_name],
            audience=policy.audience,
            issuer=policy.issuer,
            leeway=LEEWAY,
            options={"require": ["exp", "iss", "aud"], "verify_sub": False},  # a subject may be a number here
        )
    except jwt.PyJWTError as error:
        expired = isinstance(error, jwt.ExpiredSignatureError)
        why = next(text for kind, text in _WHY if isinstance(error, kind))
        raise Unauthenticated(why, code=ErrorCode.TOKEN_EXPIRED if expired else None) from error
    return Verified(claims, int(claims["exp"]) + LEEWAY, key)
