"""The measurements of the last hour, which the console keeps itself: it needs no other store. Pure."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

SAMPLE_SECONDS = 15
SAMPLES = 3600 // SAMPLE_SECONDS


@dataclass(frozen=True, slots=True)
class Breaker:
    """An open breaker: `part` refuses calls to `dependency`."""

    part: str
    dependency: str


@dataclass(frozen=True, slots=True)
class Audit:
    """The auditor's verdict. `oldest_seconds` is the age of the oldest difference, 0 where there is none."""

    differences: Mapping[str, int]
    """How many differences count, by kind, of the kinds that have some."""
    oldest_seconds: float
    compared: int
    """How many books are compared."""
    left_out: tuple[str, ...]
    """The books that are not."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the parts of the platform measured at one time. None: the part that measures it did not answer."""

    at_ms: int
    outbox_oldest_seconds: float | None = None
    outbox_waiting: float | None = None
    lag: Mapping[str, float | None] = field(default_factory=dict)
    """Messages that a consumer has not applied yet, by part; None: it does not know, since its broker is away."""
    breakers: tuple[Breaker, ...] = ()
    dead_messages: float = 0
    away: tuple[str, ...] = ()
    """The parts that did not answer."""
    running: int | None = None
    """Checkouts that ran."""
    audit: Audit | None = None
    """None: no auditor answered."""

    @property
    def behind(self) -> float | None:
        """The messages that all consumers together have not applied yet; None while that is not known of each."""
        known = [value for value in self.lag.values() if value is not None]
        return sum(known) if known and len(known) == len(self.lag) else None


class History:
    """The samples of the last hour, the oldest first."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=SAMPLES)

    def add(self, sample: Sample) -> None:
        """Keep a sample, and forget one that is older than an hour."""
        self._samples.append(sample)

    @property
    def latest(self) -> Sample | None:
        """The last sample; None before the first."""
        return self._samples[-1] if self._samples else None

    def series(self, value: Callable[[Sample], float | None]) -> Sequence[float | None]:
        """Return a value of each sample of the last hour; None for the time before the first."""
        found = [value(sample) for sample in self._samples]
        return [None] * (SAMPLES - len(found)) + found
