"""Who asks and how long the answer is of use: the request id, trace and deadline that follow one request through a process.

Deadlines are kept on the monotonic clock and travel as the time that is left, so that no two clocks need agree.
"""

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar, Token
from typing import Any

import msgspec

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context, version 00. Ids of zeros only are no ids."""
_SAMPLED = frozenset("13579bdf")  # the last digit of the flags; W3C gives their lowest bit this meaning


SAMPLED: list[Any] = []
"""The `spans` of a request whose trace is sampled: what is recorded of it is exported at once, so nothing waits and this stays empty.
To compare with it costs a tenth of a look into the traceparent, and every request does so several times."""


class Call(msgspec.Struct, frozen=True):
    """One request as this process sees it."""

    request_id: str
    traceparent: str = ""
    deadline: float | None = None
    """On the monotonic clock, in seconds; None: no deadline."""
    spans: list[Any] | None = None
    """What this process has recorded of it so far (services/chassis/tracing); SAMPLED: it is sampled; None: nothing is recorded."""

    @property
    def trace_id(self) -> str:
        """The trace that it belongs to, in 32 hexadecimal digits; empty for a bare call."""
        return trace_id(self.traceparent)

    @property
    def span_id(self) -> str:
        """The span under which it runs, in 16 hexadecimal digits; empty for a bare call."""
        return span_id(self.traceparent)

    @property
    def is_sampled(self) -> bool:
        """Whether the traceparent says that every process exports its part of the trace."""
        return is_sampled(self.traceparent)

    def remaining(self) -> float | None:
        """Give the seconds left, which may be negative; None without a deadline."""
        return None if self.deadline is None else self.deadline - time.monotonic()


def last_deadline(calls: Sequence[Call]) -> float | None:
    """Return when the time of all calls is over, on the monotonic clock; None where one has no deadline."""
    deadlines = [one.deadline for one in calls if one.deadline is not None]
    return max(deadlines) if len(deadlines) == len(calls) else None


def trace_id(traceparent: str) -> str:
    """Return the trace that a traceparent names, in 32 hexadecimal digits; empty for an empty one."""
    return traceparent[3:35]


def span_id(traceparent: str) -> str:
    """Return the span that a traceparent names, in 16 hexadecimal digits; empty for an empty one."""
    return traceparent[36:52]


def is_sampled(traceparent: str) -> bool:
    """Return whether a traceparent says that every process exports its part of the trace."""
    return traceparent[-1:] in _SAMPLED


def is_traceparent(text: str) -> bool:
    """Return whether W3C Trace Context, version 00, calls a text valid."""
    return bool(text) and _TRACEPARENT.fullmatch(text) is not None


def _random_ids() -> Iterator[str]:
    """Give 64 random bits in 16 hexadecimal digits, again and again. They tell requests apart and are no secret."""
    while True:
        digits = os.urandom(1024).hex()
        for start in range(0, len(digits), 16):
            yield digits[start : start + 16]


_ids = _random_ids()


def new_id() -> str:
    """Return a new id of a span: 16 hexadecimal digits."""
    return next(_ids)


_current: ContextVar[Call | None] = ContextVar("call", default=None)


def current() -> Call:
    """Give the request under way; a bare one with an empty id where there is none."""
    return _current.get() or Call(request_id="")


def begin(call: Call) -> "Token[Call | None]":
    """Make `call` the request under way; `end` with the token makes it again the one that was before."""
    return _current.set(call)


def end(token: "Token[Call | None]") -> None:
    """End what `begin` began."""
    _current.reset(token)


class within:  # noqa: N801 - used as a function; a generator would cost each request several times as much
    """A context in which `call` is the request under way."""

    __slots__ = ("_call", "_token")

    def __init__(self, call: Call) -> None:
        self._call = call

    def __enter__(self) -> Call:
        self._token: Token[Call | None] = _current.set(self._call)
        return self._call

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


def incoming(request_id: str, traceparent: str, *, seconds: float | None, spans: list[Any] | None = None) -> Call:
    """Give the request as its caller described it. An id that is not well formed is replaced, and never logged."""
    own = next(_ids)
    return Call(
        request_id if request_id and _REQUEST_ID.fullmatch(request_id) else own,
        traceparent if is_traceparent(traceparent) else _traceparent(own),
        None if seconds is None else time.monotonic() + seconds,
        spans,
    )


def _traceparent(span_id: str) -> str:
    """Make a W3C traceparent that is not sampled."""
    return f"00-{next(_ids)}{next(_ids)}-{span_id}-00"
