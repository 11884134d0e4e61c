"""The way to a store: a statement takes its time, and meets the faults of a connection to a database.

The stores themselves are the fakes that the contract suites of the services hold to the promises of the real ones. A statement
takes effect at one moment, whole; its reply is another message. Both may come after the caller has gone.
"""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from services.chassis import call
from services.errors import OutcomeUnknown, Unavailable
from tests.simulation.faults import BACK, STATEMENTS, THERE, Fault, Kind
from tests.simulation.loop import Process

STATEMENT_SECONDS = 2.0
"""How long a client waits for a statement, and how long the database works on one at most: `statement_timeout`."""

Fails = Callable[[str, tuple[Any, ...], Exception], Any]
"""Returns what a method gives where it does not raise its fault; raises it otherwise."""


class Outage:
    """Whether a store is up. A restart ends every connection: what was sent before it has no reply."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.down = False
        self.restarts = 0


def raises(_: str, __: tuple[Any, ...], fault: Exception) -> Any:
    """Raise the fault, as a store in PostgreSQL does."""
    raise fault


def for_each_item(method: str, args: tuple[Any, ...], fault: Exception) -> Any:
    """Return the fault for each item, as the store of carts does; what only reads is not done where its reply is lost."""
    if method == "read":
        fault = Unavailable("the carts are unavailable")
    return [fault] * len(args[0])


class Gate:
    """Stands before a store, for one process. Every method of the store is a method of it."""

    def __init__(self, world: Any, outage: Outage, target: Any, fails: Fails = raises) -> None:
        self._world = world
        self._outage = outage
        self._target = target
        self._fails = fails
        self._words: dict[str, str] = {}

    def __getattr__(self, method: str) -> Callable[..., Any]:
        work = getattr(self._target, method)

        def ask(*args: Any, **options: Any) -> "asyncio.Future[Any]":
            return self._ask(method, args, partial(work, *args, **options))

        self._words[method] = f" => {self._outage.name}.{method}"
        self.__dict__[method] = ask
        return ask

    def _ask(
        self, method: str, args: tuple[Any, ...], work: Callable[[], Coroutine[Any, Any, Any]]
    ) -> "asyncio.Future[Any]":
        world, outage = self._world, self._outage
        loop = world.loop
        client = loop.current
        point = f"{client.name}{self._words[method]}"
        fault: Fault | None = world.strike(client, point, STATEMENTS)
        number = world.faults.number
        answer: asyncio.Future[Any] = loop.create_future()
        one = _Statement(self, client, method, args, work, answer, fault, point, number)
        left = call.current().remaining()
        kind = fault.kind if fault else None
        if kind is Kind.KILLED_BEFORE:
            return answer
        if kind is Kind.REFUSED or outage.down or (left is not None and left <= 0):
            one.fail(Unavailable("the database is unavailable"))
            return answer
        delay = world.faults.latency(point, number, THERE)
        if fault:
            delay += fault.delay(back=False)
        if fault and kind is Kind.LATE:
            loop.at(client, delay, one.lose)
            delay += min(fault.after, STATEMENT_SECONDS)
        if kind is Kind.REQUEST_LOST:
            loop.at(client, delay, one.lose)
        else:
            loop.at(loop.world, delay, one.execute)
        patience = STATEMENT_SECONDS if left is None else min(STATEMENT_SECONDS, left)
        one.timer = loop.call_later(patience, one.lose, context=client.context)
        return answer


class _Statement:
    """One statement on its way."""

    __slots__ = (
        "_answer", "_args", "_client", "_context", "_fault", "_gate", "_method", "_number", "_point", "_restarts",
        "_work", "timer",
    )  # fmt: skip

    def __init__(
        self,
        gate: Gate,
        client: Process,
        method: str,
        args: tuple[Any, ...],
        work: Callable[[], Coroutine[Any, Any, Any]],
        answer: "asyncio.Future[Any]",
        fault: Fault | None,
        point: str,
        number: int,
    ) -> None:
        self._point = point
        self._number = number
        self._gate = gate
        self._client = client
        self._method = method
        self._args = args
        self._work = work
        self._answer = answer
        self._fault = fault
        self._restarts = gate._outage.restarts
        self._context = contextvars.copy_context()
        self.timer: Any = None

    def execute(self) -> None:
        """Take effect, in the store."""
        gate, kind = self._gate, self._fault.kind if self._fault else None
        world = gate._world
        if gate._outage.restarts != self._restarts:  # its connection ended before it was begun
            world.loop.at(self._client, 0.0, self.lose)
            return
        error, result = None, None
        try:
            self._context.run(self._work().send, None)
        except StopIteration as ended:
            result = ended.value
        except Exception as failure:  # noqa: BLE001 - the reply of the statement
            error = failure
        else:
            raise AssertionError(f"{self._method} of a store in memory must not wait")
        world.stored(gate._outage.name, self._method)
        if kind is Kind.KILLED_AFTER:
            world.kill(self._client)
        elif kind is Kind.REPLY_LOST:
            world.loop.at(self._client, 0.0, self.lose)
        elif kind is not Kind.LATE:
            delay = world.faults.latency(self._point, self._number, BACK)
            if self._fault:
                delay += self._fault.delay(back=True)
            world.loop.at(self._client, delay, self._reply, result, error)

    def _reply(self, result: Any, error: Exception | None) -> None:
        if self._gate._outage.restarts != self._restarts:
            self.lose()
            return
        if self.timer:
            self.timer.cancel()
        if self._answer.done():
            return
        if error is not None:
            self._answer.set_exception(error)
        else:
            self._answer.set_result(result)

    def lose(self) -> None:
        """Tell the caller that the connection was lost."""
        self.fail(OutcomeUnknown("the connection to the database was lost"))

    def fail(self, fault: Exception) -> None:
        """Tell the caller what it gets where the statement has no reply."""
        if self.timer:
            self.timer.cancel()
        if self._answer.done():
            return
        try:
            self._answer.set_result(self._gate._fails(self._method, self._args, fault))
        except Exception as raised:  # noqa: BLE001 - what the store's client makes of it
            self._answer.set_exception(raised)
