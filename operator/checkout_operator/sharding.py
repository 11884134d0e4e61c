"""Which of several operators works on what: rendezvous hashing. Pure.

Every member computes the owner of a key from the names of the live members, so they need to agree on nothing else. When a
member is lost its keys spread over the others, and no other key moves. What two members work on for a moment, since one has
learned of a change before the other, is done twice without harm: starts are idempotent, and a status shows what is.

https://en.wikipedia.org/wiki/Rendezvous_hashing
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

from checkout_operator.spec import MIRROR


@dataclass(frozen=True)
class Shard:
    """What one operator works on: its share of all keys among the members that are alive."""

    member: str
    members: frozenset[str]
    """The live members. One that is not among them, since its Lease has run out, works on nothing."""

    @property
    def is_member(self) -> bool:
        """Return whether this operator is one of the live members."""
        return self.member in self.members

    def owns(self, key: str) -> bool:
        """Return whether a key is this operator's."""
        if len(self.members) <= 1:
            return self.is_member
        return self.is_member and owner(key, self.members) == self.member

    def quota(self, limit: int) -> int:
        """Return this operator's part of a limit of all members. The parts of all add up to the limit."""
        return (limit + len(self.members) - 1 - self._rank) // len(self.members) if self.is_member else 0

    @cached_property
    def fraction(self) -> float:
        """The part of a rate that this operator may use; 0.0 for one that works on nothing."""
        return 1 / len(self.members) if self.is_member else 0.0

    def may_gain(self, before: "Shard") -> bool:
        """Return whether keys may have become this operator's that were not its own before."""
        return self.is_member and not (before.is_member and before.members <= self.members)

    @cached_property
    def _rank(self) -> int:
        return sorted(self.members).index(self.member)


WHOLE = Shard("operator", frozenset({"operator"}))
"""The shard of an operator that has no others beside it."""


def owner(key: str, members: Collection[str]) -> str:
    """Return the member that a key belongs to. `members` must not be empty."""
    return max(members, key=lambda member: (_weight(member, key), member))


def key_of(body: Mapping[str, Any]) -> str:
    """Return the key of a Checkout as the API server sends it, valid or not.

    It is the uid, and for a mirror the id of its checkout: it is made, shown and counted by the same member.
    """
    spec = body.get("spec") or {}
    shown = spec.get("checkoutId") if spec.get("managedBy") == MIRROR else None
    return str(shown or body["metadata"].get("uid", ""))


def _weight(member: str, key: str) -> bytes:
    """Return the weight of a member for a key. It must be the same in every process and every version."""
    return blake2b(f"{member}/{key}".encode(), digest_size=8).digest()
