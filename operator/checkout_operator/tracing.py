"""Traces: what the operator does about a checkout is a part of that checkout's trace (docs/operations.md, "Traces").

While no collector is set, nothing is recorded and OpenTelemetry is not imported. The trace id of what is under way is on every log
line all the same.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Protocol


class Tracer(Protocol):
    """Records spans."""

    def child(self, name: str, traceparent: str, facts: Mapping[str, str]) -> AbstractContextManager[str]:
        """Return a span below the one that a traceparent names; the context gives its own traceparent."""

    def root(self, name: str, facts: Mapping[str, str]) -> AbstractContextManager[str]:
        """Return the first span of a new trace; the context gives its traceparent."""


_tracer: Tracer | None = None
_under_way: ContextVar[str] = ContextVar("traceparent", default="")


def use(tracer: Tracer | None) -> None:
    """Record with `tracer` from now on; None: record nothing."""
    global _tracer  # noqa: PLW0603 - one for a process, as its log is
    _tracer = tracer


@contextmanager
def within(traceparent: str) -> Iterator[None]:
    """Do what belongs to the trace of a checkout. An empty traceparent is no trace."""
    token = _under_way.set(traceparent)
    try:
        yield
    finally:
        _under_way.reset(token)


def trace_id() -> str:
    """Return the id of the trace of what is under way; empty where there is none."""
    return _under_way.get()[3:35]


def span(name: str, **facts: str) -> AbstractContextManager[object]:
    """Return the span of a piece of work that belongs to the checkout under way."""
    traceparent = _under_way.get()
    return nullcontext() if _tracer is None or not traceparent else _tracer.child(name, traceparent, facts)


def root(name: str, **facts: str) -> AbstractContextManager[str]:
    """Return the span with which the trace of a new checkout begins. The context gives its traceparent, or an empty one."""
    return nullcontext("") if _tracer is None else _tracer.root(name, facts)
