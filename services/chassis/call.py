"""Who asks and how long the answer is of use: the request id, trace and deadline that follow one request through a process.

Deadlines are kept on the monotonic clock and travel as the time that is left, so that no two clocks need agree.
"""

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context, version 00


@dataclass(frozen=True, slots=True)
class Call:
    """One request as this process sees it."""

    request_id: str
    traceparent: str = ""
    deadline: float | None = None
    """On the monotonic clock, in seconds; None: no deadline."""

    def remaining(self) -> float | None:
        """Give the seconds left, which may be negative; None without a deadline."""
        return None if self.deadline is None else self.deadline - time.monotonic()


_current: ContextVar[Call | None] = ContextVar("call", default=None)


def current() -> Call:
    """Give the request under way; a bare one with an empty id where there is none."""
    return _current.get() or Call(request_id="")


@contextmanager
def within(call: Call) -> Iterator[Call]:
    """Make `call` the request under way."""
    token = _current.set(call)
    try:
        yield call
    finally:
        _current.reset(token)


def incoming(request_id: str, traceparent: str, *, seconds: float | None) -> Call:
    """Give the request as its caller described it. An id that is not well formed is replaced, and never logged."""
    return Call(
        request_id=request_id if _REQUEST_ID.fullmatch(request_id) else new_request_id(),
        traceparent=traceparent if _TRACEPARENT.fullmatch(traceparent) else new_traceparent(),
        deadline=None if seconds is None else time.monotonic() + seconds,
    )


def new_request_id() -> str:
    """Make a request id."""
    return secrets.token_hex(8)


def new_traceparent() -> str:
    """Make a W3C traceparent that is not sampled."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"
