"""Who asks and how long the answer is of use: the request id, trace and deadline that follow one request through a process.

Deadlines are kept on the monotonic clock and travel as the time that is left, so that no two clocks need agree.
"""

import random
import re
import time
from contextvars import ContextVar, Token
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


_random = random.Random()  # noqa: S311 - ids are no secret; its own, so that no library's seed makes ids repeat
_PROCESS = f"{_random.getrandbits(64):016x}"
"""The left half of the trace ids that this process makes."""
_current: ContextVar[Call | None] = ContextVar("call", default=None)


def current() -> Call:
    """Give the request under way; a bare one with an empty id where there is none."""
    return _current.get() or Call(request_id="")


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


def incoming(request_id: str, traceparent: str, *, seconds: float | None) -> Call:
    """Give the request as its caller described it. An id that is not well formed is replaced, and never logged."""
    own = _random_hex()
    return Call(
        request_id if request_id and _REQUEST_ID.fullmatch(request_id) else own,
        traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else _traceparent(own),
        None if seconds is None else time.monotonic() + seconds,
    )


def _traceparent(span_id: str) -> str:
    """Make a W3C traceparent that is not sampled. The right half of the trace id is random (W3C Trace Context, level 2)."""
    return f"00-{_PROCESS}{_random_hex()}-{span_id}-00"


def _random_hex() -> str:
    """Return 64 random bits in 16 hexadecimal digits. They tell requests apart and are no secret."""
    return f"{_random.getrandbits(64):016x}"
