"""Which checkouts of REST get a mirror, and the budget that mirrors live within.

Mirrors cost objects in etcd and writes to the API server. Both are bounded; PostgreSQL and REST have the full list.
"""

import time
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from checkout_operator.cache import ResourceCache
from checkout_operator.cluster import GROUP, VERSION
from checkout_operator.config import Config
from checkout_operator.status import SagaView

NO_NAMESPACE_SECONDS = 60.0
"""How long no mirror is tried after one that could not be created since the namespace of mirrors is gone."""
MIRROR_WITHIN_SECONDS = 30.0
"""How long after its end a checkout may still get a mirror."""
SLOW_SECONDS = 0.05
"""A write that takes longer says that the API server is busy. An idle one answers within 2 to 20 ms."""
DECREASE, INCREASE = 0.9, 0.5
"""What becomes of the rate with a slow write, and what is added with a quick one."""


class Decision(Enum):
    """Whether a checkout gets a mirror, and why not. The text of what the budget refuses is its label in the metric."""

    CREATE = "create"
    NOT_WANTED = "not wanted"
    TOO_MANY_OBJECTS = "objects"
    TOO_MANY_WRITES = "rate"
    NO_NAMESPACE = "namespace"


LEFT_OUT = (Decision.TOO_MANY_OBJECTS, Decision.TOO_MANY_WRITES, Decision.NO_NAMESPACE)
"""Why a checkout that should have a mirror has none."""


class WriteBudget:
    """A token bucket: so many writes a second, and no more than one second's worth at once.

    The rate gives way while the API server is slow, and comes back as it recovers (additive increase, multiplicative decrease,
    as TCP has it): a cluster that is busy with purchases makes fewer mirrors of them.
    """

    def __init__(self, per_second: float, least: float, fraction: Callable[[], float] = lambda: 1.0) -> None:
        """Take the rate, and the one below which it does not fall: somebody who looks sees mirrors on a busy cluster too.

        Both are of all operators that share the work; `fraction` gives the part that this one may use.
        """
        self._most = per_second
        self._least = min(per_second, least)
        self._fraction = fraction
        self.per_second = per_second
        """The rate of all operators as it is now."""
        self._tokens = per_second
        self._filled_at = time.monotonic()

    @property
    def rate(self) -> float:
        """How many writes a second this operator may make now."""
        return self.per_second * self._fraction()

    @property
    def wanted(self) -> float:
        """Return the rate of this operator while the API server is quick, in writes a second."""
        return self._most * self._fraction()

    def spend(self) -> bool:
        """Spend one write. Returns False when the budget is spent."""
        now = time.monotonic()
        most = max(1.0, self.rate)  # of a rate below one a second, a write must be possible from time to time
        self._tokens = min(most, self._tokens + (now - self._filled_at) * self.rate)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def wrote(self, seconds: float) -> None:
        """Adjust the rate to how long a write to the API server took."""
        if seconds > SLOW_SECONDS:
            self.per_second = max(self._least, self.per_second * DECREASE)
        else:
            self.per_second = min(self._most, self.per_second + INCREASE)


class MirrorPolicy:
    """Decides which checkouts get a mirror."""

    def __init__(self, cache: ResourceCache, config: Config, *, clock: Callable[[], float] = time.time) -> None:
        self._cache = cache
        self._labels = config.scope().mirror_labels
        self._clock = clock
        self._config = config
        self.writes = WriteBudget(
            config.mirror_max_writes_per_second,
            config.mirror_min_writes_per_second,
            lambda: cache.shard.fraction,
        )
        self.creating = 0
        """Mirrors whose creation is under way; they count as objects too."""
        self._no_namespace_until = float("-inf")
        """The time on the monotonic clock."""

    def decide(self, view: SagaView) -> Decision:
        """Decide about a checkout that has no mirror. CREATE has spent one write of the budget."""
        mode = self._config.mirror_mode
        if mode == "None" or (mode == "Failures" and not view.failed) or not self._cache.owns(view.id):
            return Decision.NOT_WANTED
        if view.ended:
            late = self._clock() - view.finished_ms / 1000 > MIRROR_WITHIN_SECONDS
            if late or self._cache.was_deleted(self._cache.mirror_name(view.id)):
                return Decision.NOT_WANTED
        if time.monotonic() < self._no_namespace_until:
            return Decision.NO_NAMESPACE
        if self._cache.count_mirrors() + self.creating >= self._cache.shard.quota(self._config.mirror_max_objects):
            return Decision.TOO_MANY_OBJECTS
        return Decision.CREATE if self.writes.spend() else Decision.TOO_MANY_WRITES

    def namespace_gone(self) -> None:
        """Record that the namespace of mirrors takes no new objects, so that it is not asked for each checkout."""
        self._no_namespace_until = time.monotonic() + NO_NAMESPACE_SECONDS

    def body(self, view: SagaView) -> Mapping[str, Any]:
        """Return the mirror of a checkout, as it is created."""
        ttl = self._config.mirror_failure_ttl if view.reason else self._config.mirror_success_ttl
        return {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "Checkout",
            "metadata": {**self._cache.mirror_name(view.id)._asdict(), "labels": dict(self._labels)},
            "spec": {
                "userId": view.user_id,
                "managedBy": "mirror",
                "checkoutId": view.id,
                "ttlSecondsAfterFinished": int(ttl),
            },
        }
