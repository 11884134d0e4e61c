"""The operator as it is, in a process that kills itself just before or just after one of the calls that leave it.

Nothing in the product knows of this. Calls are counted from 0; those about what a test does not name do not count, so
that a number means the same call again, whatever else the platform does meanwhile.
"""

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import uvloop

from checkout_operator.cluster import Cluster
from checkout_operator.config import Config
from checkout_operator.live import Live, mirror_name
from checkout_operator.main import operate
from checkout_operator.saga_client import SagaClient

WRITES = ("patch_status", "create", "delete", "warn")
SLOW_TO_IMPORT = ("kubernetes.aio.client.api.core_v1_api", "kubernetes.aio.client.api.custom_objects_api")
ASKS = ("start", "cancel", "of_resources", "by_rest")


@dataclass(frozen=True, slots=True)
class Death:
    """At which call it dies, and whether its reply has come by then, or it was not yet made."""

    at: int
    after: bool

    def strike(self, call: int, *, after: bool) -> None:
        """Die where this is the moment."""
        if (call, after) == (self.at, self.after):
            os.kill(os.getpid(), signal.SIGKILL)


class Operator:
    """An operator's process. It is forked from one that has imported everything, since a test starts dozens of them.

    multiprocessing looks after all of its children in whichever thread asks, so the threads take turns.
    """

    _turn = threading.Lock()

    def __init__(
        self,
        config: Mapping[str, Any],
        log: str,
        death: Death | None = None,
        names: frozenset[str] = frozenset(),
        *,
        deaf: bool = False,
    ) -> None:
        """Start it with these settings, and with KUBECONFIG as it is.

        `names` are the resources whose calls count; a deaf one has a watch that tells nothing.
        """
        forks = multiprocessing.get_context("forkserver")
        with self._turn:
            forks.set_forkserver_preload([__name__, *SLOW_TO_IMPORT])
            self._process = forks.Process(target=_run, args=(dict(config), log, death, names, deaf))
            self._process.start()

    def code(self) -> int | None:
        """Give its exit code, negative for a signal; None while it runs."""
        with self._turn:
            return self._process.exitcode

    def terminate(self) -> None:
        """Ask it to end."""
        with self._turn:
            self._process.terminate()

    def kill(self) -> None:
        """End it, where it still runs: the session would wait for it."""
        with self._turn:
            self._process.kill()


def _run(config: dict[str, Any], log: str, death: Death | None, names: frozenset[str], deaf: bool) -> None:  # noqa: FBT001 - of a process
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(output, stream)
    if death:
        _install(death, names)
    if deaf:
        Live.put = lambda *_: None
    uvloop.run(operate(Config(**config)))


def _install(death: Death, names: frozenset[str]) -> None:
    calls = itertools.count()
    for method in WRITES:
        _count(
            Cluster,
            method,
            death,
            calls,
            lambda what: (what if isinstance(what, str) else what["metadata"]["name"]) in names,
        )
    for method in ASKS:
        _count(SagaClient, method, death, calls, lambda _: True)
    follow = SagaClient.follow

    async def counted(self: SagaClient) -> Any:
        async for view in follow(self):
            if not names & {view.resource_name, mirror_name(view.id)}:
                yield view
                continue
            call = next(calls)
            death.strike(call, after=False)
            yield view
            death.strike(call, after=True)

    SagaClient.follow = counted


def _count(owner: type, method: str, death: Death, calls: Any, counts: Any) -> None:
    original = getattr(owner, method)

    async def counted(self: Any, what: Any, *more: Any) -> Any:
        if not counts(what):
            return await original(self, what, *more)
        call = next(calls)
        death.strike(call, after=False)
        reply = await original(self, what, *more)
        death.strike(call, after=True)
        return reply

    setattr(owner, method, counted)
