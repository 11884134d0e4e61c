"""Records spans, and decides at the end of each local root which of them are exported (docs/decisions/0009-traces.md).

A local root is the first span of a trace in this process: a request at the gateway, a call that a service answers, a saga
that is driven, a batch of messages. A sampled trace is exported span by span. Of any other, the spans wait in a list until their
local root ends: if it failed or was slow they are exported, and else they are forgotten.
"""

from collections.abc import Callable, Sequence
from typing import Any

from services.chassis import call
from services.chassis.tracing.sampling import Allowance, RatioSampler
from services.chassis.tracing.span import Kind, Span, waiting_list

MOST_WAITING = 256
"""Spans of one local root that wait for its end; those that end later are dropped. A purchase has about 20."""
KEPT_PER_SECOND = 5.0
"""Local roots of one name and one failure that a process keeps late at most: an outage fails every request, and must not cost
more than a few traces, nor may declined cards keep those of a fault from being seen."""
MOST_KINDS = 200
"""Kinds of failures that are told apart. Names and failures come from the code, of which there are fewer."""


class Recorder:
    """The recorder of this process."""

    def __init__(
        self,
        export: Callable[[Span], None],
        *,
        ratio: float,
        slow_seconds: float,
        obeys_client: bool = False,
        kept_per_second: float = KEPT_PER_SECOND,
    ) -> None:
        """Take what exports a span.

        `ratio`: the share of requests whose whole trace is exported. `slow_seconds`: a local root that takes longer is kept.
        `obeys_client`: whether a client's traceparent decides if its request is sampled.
        """
        self._export = export
        self._samples = RatioSampler(ratio)
        self._obeys_client = obeys_client
        self._slow_seconds = slow_seconds
        self._kept_per_second = kept_per_second
        self._allowances: dict[tuple[str, str | None], Allowance] = {}

    def enter(self, now: call.Call, *, from_client: bool) -> call.Call:
        """Return a request from outside with its root span's id, and with the decision whether it is sampled.

        `now` has an empty list of spans. `from_client`: its traceparent is the client's, whose span is then the root's parent.
        """
        text = now.traceparent
        sampled = now.is_sampled if from_client and self._obeys_client else self._samples(text)
        if not sampled and not from_client:  # the usual case: what it has made for itself says so already
            return now
        span_id = call.new_id() if from_client else call.span_id(text)
        flags, spans = ("01", call.SAMPLED) if sampled else ("00", now.spans)
        return call.Call(now.request_id, f"{text[:36]}{span_id}-{flags}", now.deadline, spans)

    def is_wanted(self, now: call.Call, error: str | None, seconds: float) -> bool:
        """Return whether `leave` is to be called for a request that `enter` began: it is sampled, failed or was slow."""
        return error is not None or seconds >= self._slow_seconds or now.spans is call.SAMPLED

    def leave(
        self,
        now: call.Call,
        *,
        name: str,
        parent_id: str,
        seconds: float,
        error: str | None,
        attributes: dict[str, Any],
    ) -> None:
        """End a request that `enter` began. Its span is made only here, since most requests that come in need none."""
        if now.spans is not call.SAMPLED and not self._may_keep(name, error):
            return
        root = Span(name, Kind.SERVER, now, None, spans=now.spans, is_root=True, attributes=attributes)
        root.traceparent, root.parent_id, root.error = now.traceparent, parent_id, error
        root.end_ns = root.start_ns
        root.start_ns -= round(seconds * 1e9)
        self._keep(root)

    def ended(self, span: Span) -> None:
        """Export a span, keep it until its local root ends, or drop it."""
        riders, span.riders = span.riders, ()
        if span.spans is call.SAMPLED:
            self._export_once(span)
        elif span.is_root:
            worth_it = span.is_kept or span.error is not None or span.seconds >= self._slow_seconds
            if worth_it and self._may_keep(span.name, span.error):
                self._keep(span)
        elif not span.is_batch:
            waiting, span.spans = span.spans, None
            self._put_by(waiting, span)
        for rider in riders:  # as _put_by, without a call for each: every request rides
            waiting = rider.spans
            if not waiting and waiting is not None and waiting is not call.SAMPLED:
                waiting.append(span)
            else:
                self._put_by(waiting, span)

    def _may_keep(self, name: str, error: str | None) -> bool:
        allowance = self._allowances.get((name, error))
        if allowance is None:
            if len(self._allowances) >= MOST_KINDS:
                return False
            allowance = self._allowances[name, error] = Allowance(self._kept_per_second)
        return allowance.spend()

    def _keep(self, root: Span) -> None:
        """Export a local root, and what has waited for it."""
        self._export_once(root)
        waiting = root.spans
        if waiting is None or waiting is call.SAMPLED:
            return  # nothing has waited
        for span in waiting:
            self._export_below(root, span)
        waiting[:] = [root]  # what ends later, since nobody waits for it any more, is exported then

    def _put_by(self, waiting: list[Any] | None, span: Span) -> None:
        """Have a span wait for the end of its local root, or export it where that root was kept already."""
        if waiting is None or waiting is call.SAMPLED:
            return
        if waiting and waiting[0].is_root:
            self._export_below(waiting[0], span)
        elif len(waiting) < MOST_WAITING:
            waiting.append(span)

    def _export_below(self, root: Span, span: Span) -> None:
        """Export a span that waited, with a link to it where it is of another trace."""
        if span.is_batch and span.trace_id != root.trace_id:
            self._export(_ride(span, root))
        if not span.is_exported:
            self._export_once(span)
            if span.is_batch:  # it has a list of its own, which its riders share
                for inner in span.spans or ():
                    self._export_once(inner)

    def _export_once(self, span: Span) -> None:
        if not span.is_exported:
            span.is_exported = True
            self._export(span)


def _ride(batch: Span, root: Span) -> Span:
    """Return a child of `root` that shows when it rode in a batch of another trace, and links there."""
    above = call.Call(root.request_id, root.traceparent)
    ride = Span(batch.name, Kind.INTERNAL, above, None, spans=None, links=(batch.traceparent,))
    ride.start_ns, ride.end_ns, ride.error = batch.start_ns, batch.end_ns, batch.error
    return ride


def batch_span(name: str, asked: Sequence[call.Call], shared: call.Call, recorder: Recorder) -> Span:
    """Return the span of a batch: a child of the request whose ids `shared` has, with links to the other sampled ones."""
    own = shared.traceparent
    spans = waiting_list(shared)
    links = (
        [one.traceparent for one in asked if one.is_sampled and one.traceparent != own] if spans is call.SAMPLED else ()
    )
    return Span(
        name,
        Kind.INTERNAL,
        shared,
        recorder,
        spans=spans,
        attributes={"cartwright.batch.size": len(asked)},
        links=links,
        riders=asked,
    )
