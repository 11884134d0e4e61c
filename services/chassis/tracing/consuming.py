"""The spans of a batch of messages: one for each message of a sampled trace, and one for the batch, which links to them."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from services.chassis import call, tracing
from services.chassis.tracing.recorder import batch_span
from services.chassis.tracing.span import Kind, Span, waiting_list


@contextmanager
def process(topic: str, requests: Sequence[call.Call], partition: int) -> Iterator[None]:
    """Apply messages that these requests led to: a context with the ids of the first, or of the first that is sampled."""
    recorder = tracing.recorder()
    if recorder is None:
        with call.within(requests[0]):
            yield
        return
    facts: dict[str, Any] = {
        "messaging.system": "kafka",
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": str(partition),
    }
    followed = [one for one in requests if one.is_sampled] or requests[:1]
    spans = [
        Span(
            f"process {topic}",
            Kind.CONSUMER,
            one,
            recorder,
            spans=waiting_list(one),
            is_root=True,
            attributes=dict(facts),
        )
        for one in followed
    ]
    with ExitStack() as stack:
        for span in reversed(spans):
            stack.enter_context(span)
        if len(spans) > 1:
            asked = [span.call for span in spans if span.call is not None]
            stack.enter_context(batch_span(f"batch {topic}", asked, asked[0], recorder))
        yield
