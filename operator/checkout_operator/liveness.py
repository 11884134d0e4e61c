"""Which members are alive, by their Leases: those whose renewals are seen to move. Pure.

Only this process's own steady clock counts. The times that others write into their Leases come from clocks that may be an
hour off, so they are compared with what they were before, and with nothing else. client-go's leader election does the same:
https://pkg.go.dev/k8s.io/client-go/tools/leaderelection
"""

from collections.abc import Mapping
from dataclasses import dataclass

BLIND_SECONDS = 4.0
"""The most that one look adds to a silence. Who was stopped, or could not reach the API server, has seen no silence."""


@dataclass(frozen=True, slots=True)
class _Seen:
    renewal: str
    silent: float


class Liveness:
    """How long each member has been seen to renew nothing."""

    def __init__(self, expiry: float) -> None:
        """Take after how many seconds of silence a member counts as dead."""
        self._expiry = expiry
        self._seen: dict[str, _Seen] = {}
        self._looked_at = 0.0

    def look(self, renewals: Mapping[str, str], now: float) -> None:
        """Take the latest renewal of every Lease there is, by member. `now` is in seconds of a steady clock.

        A member that is seen for the first time counts as alive: it may just have begun.
        """
        passed = min(now - self._looked_at, BLIND_SECONDS)
        self._looked_at = now
        self._seen = {member: self._look_at(member, renewal, passed) for member, renewal in renewals.items()}

    def alive(self) -> frozenset[str]:
        """Return the live members."""
        return frozenset(member for member, seen in self._seen.items() if seen.silent < self._expiry)

    def dead(self) -> frozenset[str]:
        """Return the members whose Leases are there and have run out."""
        return frozenset(self._seen) - self.alive()

    def _look_at(self, member: str, renewal: str, passed: float) -> _Seen:
        known = self._seen.get(member)
        still = known is not None and known.renewal == renewal
        return _Seen(renewal, known.silent + passed if known and still else 0.0)
