"""Traces: what happened to a request, in which order, in which process (docs/operations.md, "Traces").

The context of a span is the traceparent of the `call.Call` under way, so that it travels as request ids and deadlines do.
While no collector is set, nothing here makes an object, and OpenTelemetry is not imported.
"""

from collections.abc import Sequence

from services.chassis import call
from services.chassis.tracing.recorder import Recorder, batch_span
from services.chassis.tracing.span import NO_SPAN, Kind, NoSpan, Span, waiting_list

__all__ = [
    "NO_SPAN",
    "Kind",
    "NoSpan",
    "Recorder",
    "Span",
    "batch",
    "follow",
    "recorder",
    "resumed",
    "ride",
    "root",
    "span",
    "stored",
    "use",
]

_recorder: Recorder | None = None


def use(recorder: Recorder | None) -> None:
    """Record with `recorder` from now on; None: record nothing."""
    global _recorder  # noqa: PLW0603 - one for a process, as its log is
    _recorder = recorder


def recorder() -> Recorder | None:
    """Return the recorder of this process; None where nothing is recorded."""
    return _recorder


def root(name: str, kind: Kind = Kind.INTERNAL, *, links: Sequence[str] = (), is_kept: bool = False) -> Span | NoSpan:
    """Return a local root: a child of the request under way that is kept or dropped with all that happens within it.

    `is_kept`: it is worth a look however it ends.
    """
    if _recorder is None:
        return NO_SPAN
    now = call.current()
    if not now.traceparent:
        return NO_SPAN
    return Span(name, kind, now, _recorder, spans=waiting_list(now), is_root=True, is_kept=is_kept, links=links)


def resumed(name: str, traceparent: str) -> Span | NoSpan:
    """Return the local root of what a worker does later about a request whose traceparent was stored (`stored`).

    It is a child of the request under way, which continues that trace, and links to the span that left the work behind, since
    that span may have ended long ago or never have been sent. It is kept however it ends. An empty traceparent: the work belongs
    to no trace that is known, and is recorded as any other root.
    """
    links = (traceparent,) if traceparent else ()
    return root(name, links=links, is_kept=bool(links))


def stored(traceparent: str) -> str:
    """Return the traceparent to write beside work that a worker may have to finish.

    It is empty where no traces are recorded, so that their cost is paid by those who have them, and for what is no traceparent.
    """
    return traceparent if _recorder is not None and call.is_traceparent(traceparent) else ""


def follow(name: str, kind: Kind, request_id: str, traceparent: str) -> Span | NoSpan:
    """Return a local root that goes on with a trace which was stored: a child of the span of `traceparent`."""
    if _recorder is None:
        return NO_SPAN
    before = call.incoming(request_id, traceparent, seconds=None)
    return Span(name, kind, before, _recorder, spans=waiting_list(before), is_root=True)


def span(name: str, kind: Kind = Kind.INTERNAL) -> Span | NoSpan:
    """Return a child of the span under way; nothing is recorded outside of one."""
    if _recorder is None:
        return NO_SPAN
    now = call.current()
    if now.spans is None:
        return NO_SPAN
    return Span(name, kind, now, _recorder, spans=now.spans)


def ride(name: str, now: call.Call) -> Span | None:
    """Return the span of what the request `now` waits for in a batch; None where its trace is not sampled.

    Of such it is not recorded: they are many, and what they wait for is recorded once, with the batch.
    """
    if now.spans is not call.SAMPLED or _recorder is None:
        return None
    return Span(name, Kind.INTERNAL, now, _recorder, spans=now.spans)


def batch(name: str, asked: Sequence[call.Call], deadline: float | None) -> "call.within | Span":
    """Return the context in which a batch is sent: that of its one request, or a span of its own that links to its requests.

    The batch of several has the ids of the first that is sampled, or else of the first.
    """
    first = asked[0]
    if _recorder is None:
        return call.within(call.Call(first.request_id, first.traceparent, deadline))
    chosen = first
    for one in asked:  # without a generator, which would be called once for each
        if one.spans is call.SAMPLED:
            chosen = one
            break
    shared = call.Call(chosen.request_id, chosen.traceparent, deadline, chosen.spans)
    if len(asked) == 1 or all(one.spans is None for one in asked):
        return call.within(shared)
    return batch_span(name, asked, shared, _recorder)
