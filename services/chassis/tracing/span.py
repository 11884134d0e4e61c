"""A span as this process records it: light, since most are dropped. Only those that are exported become OpenTelemetry's."""

import time
from collections.abc import Mapping, Sequence
from contextvars import Token
from enum import IntEnum
from types import TracebackType
from typing import Any, Protocol, Self

from services.chassis import call

Attributes = Mapping[str, str | int | float | bool]


class Kind(IntEnum):
    """OpenTelemetry's kinds, by their numbers in its Python API."""

    INTERNAL = 0
    SERVER = 1
    CLIENT = 2
    PRODUCER = 3
    CONSUMER = 4


def waiting_list(parent: call.Call) -> list[Any]:
    """Return where the spans of a new local root, or of a batch, wait for its end: nowhere in a sampled trace."""
    return call.SAMPLED if parent.is_sampled else []


class Ending(Protocol):
    """Decides what becomes of spans."""

    def ended(self, span: "Span") -> None:
        """Export a span, keep it until its local root ends, or drop it."""


class Span:
    """One piece of work. As a context manager it is what the work inside belongs to; an error that leaves it is its failure.

    `spans` is where its local root keeps what has ended. `riders` are the requests that ride together in it; none for what serves
    one request. What has ended refers to neither, but for a batch to what happened within it: that would be a cycle, and most
    spans are garbage soon, which should go without the garbage collector.
    """

    __slots__ = (
        "_ending",
        "_token",
        "attributes",
        "call",
        "end_ns",
        "error",
        "is_batch",
        "is_exported",
        "is_kept",
        "is_root",
        "kind",
        "links",
        "name",
        "parent_id",
        "request_id",
        "riders",
        "spans",
        "start_ns",
        "traceparent",
    )

    def __init__(
        self,
        name: str,
        kind: Kind,
        parent: call.Call,
        ending: Ending | None,
        *,
        spans: list[Any] | None,
        is_root: bool = False,
        is_kept: bool = False,
        attributes: dict[str, Any] | None = None,
        links: Sequence[str] = (),
        riders: Sequence[call.Call] = (),
    ) -> None:
        """Begin a child of `parent`. `links` are traceparents.

        `is_kept`: export this local root however it ends.
        """
        text = parent.traceparent
        self.name = name
        self.kind = kind
        self.parent_id = call.span_id(text)
        self.traceparent = f"{text[:36]}{call.new_id()}{text[52:]}"
        self.request_id = parent.request_id
        self.spans = spans
        self.call: call.Call | None = call.Call(parent.request_id, self.traceparent, parent.deadline, spans)
        """What the work within belongs to; None once it has ended."""
        self.is_root = is_root
        self.is_kept = is_kept
        self.attributes = attributes
        self.links = links
        self.riders = riders
        self.is_batch = bool(riders)
        self.error: str | None = None
        """What failed, in a word or two; None: nothing did."""
        self.is_exported = False
        self.start_ns = time.time_ns()
        self.end_ns = 0
        self._ending = ending

    def __enter__(self) -> Self:
        if self.call is None:
            raise AssertionError(f"{self.name} has ended")
        self._token: Token[call.Call | None] = call.begin(self.call)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        call.end(self._token)
        del self._token  # it refers to the call that was before
        self.call = None
        if error is not None and self.error is None:
            self.error = type(error).__name__
        self.end_ns = time.time_ns()
        if self._ending is not None:
            self._ending.ended(self)

    @property
    def trace_id(self) -> str:
        """Its trace."""
        return call.trace_id(self.traceparent)

    @property
    def span_id(self) -> str:
        """Its own id."""
        return call.span_id(self.traceparent)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.end_ns - self.start_ns) / 1e9

    def set(self, name: str, value: str | float) -> None:
        """Note a fact."""
        if self.attributes is None:
            self.attributes = {}
        self.attributes[name] = value

    def fail(self, error: str) -> None:
        """Note a failure that raises nothing."""
        self.error = error


class NoSpan:
    """Stands for the span of what is not recorded."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    def set(self, name: str, value: str | float) -> None:
        """Note nothing."""

    def fail(self, error: str) -> None:
        """Note nothing."""


NO_SPAN = NoSpan()
