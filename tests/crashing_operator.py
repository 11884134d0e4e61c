"""The operator as it is, in a process that kills itself just before or just after one of its outgoing calls.

Nothing in the product knows of this. Calls are counted from 0. Calls about resources that a test does not name do not
count, so that a number always means the same call, whatever else the platform does meanwhile.
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

from checkout_operator.cache import ResourceCache, mirror_name
from checkout_operator.cluster import Cluster
from checkout_operator.config import Config
from checkout_operator.main import operate
from checkout_operator.saga_client import SagaClient
from checkout_operator.spec import NamespacedName

WRITES = ("replace_status", "create", "delete", "create_event")
REQUESTS = ("start", "cancel", "get_for", "list_rest")


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """The number of the call at which the operator crashes, and whether it does so before the call or after its reply or error."""

    call: int
    after: bool

    def reached(self, call: int, *, after: bool) -> None:
        """Kill this process if this is the point."""
        if (call, after) == (self.call, self.after):
            os.kill(os.getpid(), signal.SIGKILL)


class Operator:
    """An operator's process. It is forked from one that has imported everything, since a test starts dozens of them.

    multiprocessing waits for all of its children in whichever thread asks, so the threads take turns.
    """

    _lock = threading.Lock()

    def __init__(
        self,
        config: Mapping[str, Any],
        log: str,
        crash: CrashPoint | None = None,
        names: frozenset[str] = frozenset(),
        *,
        silent_watch: bool = False,
    ) -> None:
        """Start it with these settings, and with KUBECONFIG as it is.

        `names` are the resources whose calls count. With a silent watch it learns of no resource.
        """
        forks = multiprocessing.get_context("forkserver")
        with self._lock:
            forks.set_forkserver_preload([__name__])
            self._process = forks.Process(target=_run, args=(dict(config), log, crash, names, silent_watch))
            self._process.start()
        self._pid = self._process.pid or 0

    def exit_code(self) -> int | None:
        """Return its exit code, negative for a signal; None while it runs."""
        with self._lock:
            return self._process.exitcode

    def terminate(self) -> None:
        """Send it SIGTERM."""
        with self._lock:
            self._process.terminate()

    def pause(self) -> None:
        """Stop it where it is (SIGSTOP)."""
        os.kill(self._pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on where it stopped."""
        os.kill(self._pid, signal.SIGCONT)

    def kill(self) -> None:
        """Send it SIGKILL if it still runs: the session would wait for it."""
        with self._lock:
            self._process.kill()


def _run(config: dict[str, Any], log: str, crash: CrashPoint | None, names: frozenset[str], silent_watch: bool) -> None:  # noqa: FBT001 - of a process
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(output, stream)
    if crash:
        _install(crash, names)
    if silent_watch:
        ResourceCache.put = lambda *_: None
    uvloop.run(operate(Config(**config)))


def _install(crash: CrashPoint, names: frozenset[str]) -> None:
    calls = itertools.count()
    for method in WRITES:
        _count(
            Cluster,
            method,
            crash,
            calls,
            lambda what: _name(what) in names,
        )
    for method in REQUESTS:
        _count(SagaClient, method, crash, calls, lambda _: True)
    follow = SagaClient.follow

    async def counted(self: SagaClient) -> Any:
        async for view in follow(self):
            if not names & {view.resource_name, mirror_name(view.id)}:
                yield view
                continue
            call = next(calls)
            crash.reached(call, after=False)
            yield view
            crash.reached(call, after=True)

    SagaClient.follow = counted


def _name(what: Any) -> str:
    """Return the name of the resource that a write is about: given by itself, in an object, or in an event about it."""
    if isinstance(what, NamespacedName):
        return what.name
    name: str = what.get("involvedObject", what["metadata"])["name"]
    return name


def _count(owner: type, method: str, crash: CrashPoint, calls: Any, counts: Any) -> None:
    original = getattr(owner, method)

    async def counted(self: Any, subject: Any, *more: Any) -> Any:
        if not counts(subject):
            return await original(self, subject, *more)
        call = next(calls)
        crash.reached(call, after=False)
        try:
            return await original(self, subject, *more)
        finally:
            crash.reached(call, after=True)

    setattr(owner, method, counted)
