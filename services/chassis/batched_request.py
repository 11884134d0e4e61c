"""Answers a request that holds many items: each gets its own result, as if it had come alone."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar, cast

import structlog

from services.chassis import call
from services.chassis.faults import RefusalMessage, refuse
from services.errors import Fault, InternalError, Invalid

MAX_BATCH = 256


class CallMessage(Protocol):
    """The generated `Call`, known here by its shape alone."""

    request_id: str
    traceparent: str
    timeout_ms: int


class Item(Protocol):
    """An item of a batch."""

    @property
    def call(self) -> Any:
        """Who asks."""


class Result(Protocol):
    """The result of an item, which can be a refusal."""

    @property
    def refusal(self) -> Any:
        """Why it was not done."""


def _report_without_a_server(error: Exception) -> None:
    structlog.get_logger().error("unexpected failure", exc_info=error)


REPORT: ContextVar[Callable[[Exception], None]] = ContextVar("report", default=_report_without_a_server)
"""Logs and counts an unexpected failure. The server sets it for each call."""

I = TypeVar("I", bound=Item)  # noqa: E741 - an item
V = TypeVar("V")
O = TypeVar("O")  # noqa: E741 - an outcome
R = TypeVar("R", bound=Result)


async def batch(
    items: Iterable[I],
    *,
    parse: Callable[[I], V],
    act: Callable[[Sequence[V]], Awaitable[Sequence[O | Exception]]],
    render: Callable[[O], R],
    refused: Callable[[], R],
) -> list[R]:
    """Answer a batch: each item gets its own result, and what is wrong with one item is the refusal of that item alone.

    `parse` gives the value of an item or raises a Fault. `act` does all good ones at once and gives an outcome or an error
    for each, in their order. Where it fails unexpectedly as a whole it is called again with each value alone, so it must be
    safe to repeat or give its errors as outcomes. `render` makes an outcome a result; `refused` makes an empty result,
    which is then filled in. An error that is no Fault is reported, and the item is refused with an InternalError.
    """
    asked = list(items)
    if len(asked) > MAX_BATCH:
        raise Invalid(f"a batch holds at most {MAX_BATCH} items")
    results: list[R | None] = [None] * len(asked)
    good: list[tuple[int, V]] = []
    for position, item in enumerate(asked):
        try:
            good.append((position, parse(item)))
        except Exception as error:  # noqa: BLE001 - the refusal of this item, reported there
            results[position] = _refusal(refused(), error)
    if good:
        with call.within(_shared([asked[position].call for position, _ in good])):
            outcomes = await _outcomes(act, [value for _, value in good])
        for (position, _), outcome in zip(good, outcomes, strict=True):
            results[position] = _result(outcome, render, refused)
    return cast("list[R]", results)


async def _outcomes(
    act: Callable[[Sequence[V]], Awaitable[Sequence[O | Exception]]], values: Sequence[V]
) -> Sequence[O | Exception]:
    """Give the outcome of each value; an unexpected failure of all at once is narrowed down to the values it is about."""
    try:
        outcomes = await act(values)
    except Fault:
        raise
    except Exception as error:  # noqa: BLE001 - the outcomes of these values, reported there
        if len(values) == 1:
            return [error]
        alone = [await _alone(act, value) for value in values]
        if not any(isinstance(outcome, Exception) for outcome in alone):
            REPORT.get()(error)
        return alone
    if len(outcomes) != len(values):
        raise AssertionError(f"{len(values)} items in, {len(outcomes)} outcomes out")
    return outcomes


async def _alone(act: Callable[[Sequence[V]], Awaitable[Sequence[O | Exception]]], value: V) -> O | Exception:
    try:
        return (await act([value]))[0]
    except Exception as error:  # noqa: BLE001 - the outcome of this value
        return error


def _result(outcome: O | Exception, render: Callable[[O], R], refused: Callable[[], R]) -> R:
    if isinstance(outcome, Exception):
        return _refusal(refused(), outcome)
    try:
        return render(outcome)
    except Exception as error:  # noqa: BLE001 - the refusal of this item, reported there
        return _refusal(refused(), error)


def _refusal(result: R, error: Exception) -> R:
    fault = error if isinstance(error, Fault) else InternalError()
    if fault is not error:
        REPORT.get()(error)
    refuse(cast("RefusalMessage", result.refusal), fault)
    return result


def _shared(calls: Sequence[CallMessage]) -> call.Call:
    """Return one call for items that are done together, within the span of the RPC where there is one."""
    one, outer = call_of(calls), call.current()
    return one if outer.spans is None else call.Call(one.request_id, outer.traceparent, one.deadline, outer.spans)


def call_of(calls: Sequence[CallMessage]) -> call.Call:
    """Return one call for items that are done together: the first one's ids, and the longest time that any item has, within the RPC's own."""
    outer = call.current()
    first = calls[0]
    left = [message.timeout_ms / 1000 for message in calls]
    longest = max(left) if all(left) else None
    limits = [limit for limit in (longest, outer.remaining()) if limit is not None]
    return call.incoming(
        first.request_id or outer.request_id,
        first.traceparent or outer.traceparent,
        seconds=min(limits) if limits else None,
    )
