"""The states of checkouts that are still to be shown: for each name the latest, and when its write may begin.

A write that failed is made again after a pause that grows: an API server that has just started refuses everything for a moment.
What fails for longer is left to the full comparison.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from checkout_operator.spec import NamespacedName
from checkout_operator.status import SagaView

RETRY_SECONDS = (0.5, 1.0, 2.0, 4.0)
"""The pause before each further try. Together they last half as long as COMPARE_EVERY, after which a comparison tries again."""
MAX_RETRIES_WAITING = 1000
"""How many names may wait for a further try. Where more fail the API server is in trouble, and should not get five times the work."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A state that no write has been started for; times in seconds on the monotonic clock."""

    since: float
    not_before: float


class PendingStates:
    """States to be shown, by the name of the resource that shows them."""

    def __init__(self) -> None:
        self._views: dict[NamespacedName, SagaView] = {}
        self._waiting: dict[NamespacedName, Waiting] = {}
        """The names in `_views` that no write has been started for."""
        self._failures: dict[NamespacedName, int] = {}
        """How often the write of a name has failed, while it is tried again."""

    def __getitem__(self, name: NamespacedName) -> SagaView:
        """Return the latest state of a name."""
        return self._views[name]

    def add(self, name: NamespacedName, view: SagaView) -> None:
        """Have a state shown, unless a later one waits already. A later one does not wait for the pause of a failed one."""
        known = self._views.get(name)
        if known is None:
            self._waiting[name] = Waiting(time.monotonic(), not_before=0.0)
        elif known.version < view.version and name in self._waiting:
            self._waiting[name] = Waiting(self._waiting[name].since, not_before=0.0)
            self._failures.pop(name, None)
        self._keep_latest(name, view)

    def retry(self, name: NamespacedName, view: SagaView) -> None:
        """Have a state shown whose write failed: after a pause, or not at all where it has failed too often."""
        failures = self._failures.pop(name, 0)
        if name not in self._views:  # a state that came meanwhile is written at once
            if failures == len(RETRY_SECONDS) or len(self._failures) == MAX_RETRIES_WAITING:
                return
            self._failures[name] = failures + 1
            now = time.monotonic()
            self._waiting[name] = Waiting(now, not_before=now + RETRY_SECONDS[failures])
        self._keep_latest(name, view)

    def written(self, name: NamespacedName) -> None:
        """Record that a state needs no further try: it is shown, or no try would help."""
        self._failures.pop(name, None)

    def waiting(self) -> Iterator[tuple[NamespacedName, Waiting]]:
        """Yield the names that no write has been started for. They may be started meanwhile."""
        yield from list(self._waiting.items())

    def start(self, name: NamespacedName) -> None:
        """Record that a write of a name has been started. It takes the state with `pop` once it begins."""
        del self._waiting[name]

    def pop(self, name: NamespacedName) -> SagaView:
        """Return the latest state of a name, which is about to be written."""
        return self._views.pop(name)

    def _keep_latest(self, name: NamespacedName, view: SagaView) -> None:
        known = self._views.get(name)
        if known is None or known.version <= view.version:
            self._views[name] = view
