"""Which fault strikes where: a function of the seed and of the point's own name, and of nothing else.

A point is the n-th call of one process to one method of another part. Its fault does not depend on what was drawn at other
points, so that a fault can be taken out of a schedule and the others stay where they are.
"""

import zlib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """What can go wrong with one call, or with one of the processes at its ends."""

    REFUSED = "refused"
    REQUEST_LOST = "request lost"
    REPLY_LOST = "executed, reply lost"
    LATE = "executed late, after its caller has given up"
    TWICE = "executed twice"
    SLOW = "slow"
    KILLED_BEFORE = "caller killed before it is sent"
    KILLED_AFTER = "executed, caller killed before the reply"
    SERVER_KILLED_BEFORE = "server killed before it is executed"
    SERVER_KILLED_AFTER = "executed, server killed before the reply"
    PAUSED = "caller paused past its lease while the call is under way"
    SERVER_PAUSED = "server paused with the call"
    OTHER = "happens"


CALLS = tuple(kind for kind in Kind if kind is not Kind.OTHER)
"""What a call between services can meet."""
STATEMENTS = (
    Kind.REFUSED,
    Kind.REQUEST_LOST,
    Kind.REPLY_LOST,
    Kind.LATE,
    Kind.SLOW,
    Kind.KILLED_BEFORE,
    Kind.KILLED_AFTER,
    Kind.PAUSED,
)
"""What a statement can meet: a connection delivers it at most once, and the store itself has its own outages."""
MESSAGES = (
    Kind.REFUSED,
    Kind.REPLY_LOST,
    Kind.TWICE,
    Kind.SLOW,
    Kind.KILLED_BEFORE,
    Kind.KILLED_AFTER,
    Kind.PAUSED,
)
"""What a message to Kafka, or a request of a consumer, can meet."""
CALLER_DIES = frozenset({Kind.KILLED_BEFORE, Kind.KILLED_AFTER, Kind.PAUSED})

_SPREAD = 0x9E3779B97F4A7C15  # the golden ratio of 64 bits: neighbouring hashes end far apart
_MASK = 2**64 - 1
THERE, BACK = 6, 7
"""The salts of the two ways of a message."""
_SCALE = float(2**64)


class Draws:
    """Numbers that depend on the seed and on a name, and on no other draw. Python's hash of integers is no secret and has no salt."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._names: dict[str, int] = {}

    def fraction(self, name: str, number: int = 0, salt: int = 0) -> float:
        """Return a number from 0 to 1."""
        code = self._names.get(name)
        if code is None:
            code = self._names[name] = zlib.crc32(name.encode())
        return (hash((self._seed, code, number, salt)) * _SPREAD & _MASK) / _SCALE

    def whole(self, most: int, name: str, number: int = 0, salt: int = 0) -> int:
        """Return a whole number from 0 to `most` - 1."""
        return int(self.fraction(name, number, salt) * most)

    def between(self, least: float, most: float, name: str, number: int = 0, salt: int = 0) -> float:
        """Return a number between two."""
        return least + (most - least) * self.fraction(name, number, salt)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault at a point. `after` is how many seconds a late or second execution waits, or a pause lasts."""

    kind: Kind
    point: str
    after: float
    coin: float
    """A number from 0 to 1 for what else is open about it."""

    def delay(self, *, back: bool) -> float:
        """Return how many seconds a slow call loses on its way there, or on its way back: one of the two is slow."""
        return self.after if self.kind is Kind.SLOW and back == (self.coin < 0.5) else 0.0


@dataclass(slots=True, kw_only=True)
class FaultPlan:
    """The faults of one schedule. `removed` are points whose fault is left out."""

    draws: Draws
    rate: float
    kinds: Collection[Kind]
    until: float
    hot: str = ""
    """The part whose calls meet `hot_rate`; empty: none."""
    hot_rate: float = 0.0
    removed: Collection[str] = ()
    number: int = 0
    """The number of the point that was asked for last: its latencies are drawn by it too."""
    struck: list[Fault] = field(default_factory=list)
    points: Counter[str] = field(default_factory=Counter)

    def at(self, name: str, now: float, possible: Collection[Kind]) -> Fault | None:
        """Return what strikes the next call of this name, or None."""
        number = self.number = self.points[name] = self.points[name] + 1
        if now >= self.until:
            return None
        rate = self.hot_rate if self.hot and self.hot in name else self.rate
        if not rate or self.draws.fraction(name, number, 1) >= rate:
            return None
        kinds = [kind for kind in possible if kind in self.kinds]
        point = f"{name} #{number}"
        if not kinds or point in self.removed:
            return None
        kind = kinds[self.draws.whole(len(kinds), name, number, 2)]
        fault = Fault(
            kind, point, _seconds(kind, self.draws.fraction(name, number, 3)), self.draws.fraction(name, number, 4)
        )
        self.struck.append(fault)
        return fault

    def latency(self, name: str, number: int, salt: int) -> float:
        """Return how long a message of a point takes, in seconds; the way there and the way back have salts of their own."""
        fraction = self.draws.fraction(name, number, salt)
        return 0.0003 + 0.004 * fraction * fraction

    def custom(self, name: str) -> bool:
        """Return whether a fault of another sort strikes: a restart of a store, a jump of a clock."""
        if name in self.removed:
            return False
        self.struck.append(Fault(Kind.OTHER, name, 0.0, 0.0))
        return True


def _seconds(kind: Kind, fraction: float) -> float:
    """Return how long it lasts: past the lease of a driver for a pause, past every deadline for a late call."""
    least, most = {
        Kind.PAUSED: (5.0, 16.0),
        Kind.SERVER_PAUSED: (0.5, 8.0),
        Kind.SLOW: (0.1, 2.5),
        Kind.LATE: (0.05, 12.0),
        Kind.TWICE: (0.01, 12.0),
    }.get(kind, (0.0, 0.0))
    return least + (most - least) * fraction
