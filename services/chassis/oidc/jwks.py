"""Reads an issuer's JSON Web Key Set (RFC 7517). Keys that may not verify a token are left out."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
import msgspec

from services.chassis.oidc.policy import ALGORITHMS_OF


class NoUsableKey(ValueError):
    """The document is no key set, or holds no key that may verify a token."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key and the algorithms that it may be used with. Two keys are equal if they are the same key, fetched twice."""

    kid: str | None
    text: bytes
    bound: Mapping[str, jwt.PyJWK] = field(compare=False, repr=False)


KeySet = tuple[Key, ...]


def parse_key_set(document: bytes, algorithms: Collection[str]) -> KeySet:
    """Return the keys of a key set. Raises NoUsableKey if none of them can be used with one of the `algorithms`."""
    try:
        held = msgspec.json.decode(document, type=dict[str, Any]).get("keys")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NoUsableKey("the key set is not JSON") from error
    found = [_key(one, algorithms) for one in (held if isinstance(held, list) else [])]
    usable = tuple(key for key in found if key is not None)
    if not usable:
        raise NoUsableKey(f"the key set has no key for {', '.join(sorted(algorithms))}")
    return usable


def _key(held: Any, algorithms: Collection[str]) -> Key | None:
    """Return the key, or None if it is for encryption, is symmetric or private, or is not understood."""
    if not isinstance(held, dict) or held.get("use", "sig") != "sig" or "d" in held:
        return None
    operations, kid = held.get("key_ops", ["verify"]), held.get("kid")
    if not isinstance(operations, list) or "verify" not in operations or not isinstance(kid, str | None):
        return None
    kind = held.get("kty") if held.get("kty") == "RSA" else held.get("crv")
    fitting = ALGORITHMS_OF.get(kind, frozenset()) if isinstance(kind, str) else frozenset()
    own = held.get("alg")
    names = [name for name in fitting if name in algorithms and own in (None, name)]
    try:
        bound = {name: jwt.PyJWK(held, name) for name in names}
    except jwt.PyJWTError:
        return None
    if not bound or any(one.Algorithm.check_key_length(one.key) for one in bound.values()):
        return None  # unfit, or so short that it can be broken
    return Key(kid, msgspec.json.encode(held, order="sorted"), bound)
