"""Whether a token lets a person in: it counts, and it has the role. The one module of the console that decides so."""

from collections.abc import Mapping
from typing import Any

from services.chassis.oidc.keys import Keys
from services.chassis.oidc.policy import Policy
from services.chassis.oidc.tokens import Verified
from services.chassis.oidc.verification import verify


class NoRole(Exception):
    """The token counts, but has not the role; `str()` says which one is needed."""


class Staff:
    """The people who may use the console."""

    def __init__(self, policy: Policy, keys: Keys, *, claim: str, role: str) -> None:
        """Take the claim that holds a person's roles, and the role that is needed."""
        self._policy = policy
        self._keys = keys
        self._claim = claim
        self._role = role

    async def check(self, token: str) -> Verified:
        """Return a token that lets a person in.

        Raises Unauthenticated that says why it does not count, NoRole, or Unavailable if tokens cannot be checked now.
        """
        valid = await verify(token, self._policy, self._keys)
        if self._role not in roles(valid.claims, self._claim):
            raise NoRole(f"the role {self._role} is needed, in the claim {self._claim}")
        return valid


def roles(claims: Mapping[str, Any], claim: str) -> frozenset[str]:
    """Return the roles that a claim holds: a list of them, or one. Dots lead into it, unless a claim has the whole name."""
    held: Any = claims.get(claim)
    if held is None:
        held = claims
        for part in claim.split("."):
            held = held.get(part) if isinstance(held, Mapping) else None
    if isinstance(held, str):
        return frozenset({held})
    return frozenset(one for one in held if isinstance(one, str)) if isinstance(held, list) else frozenset()
