"""The traces of reservations that the sweeper takes back, on both stores."""

import pytest

from services.chassis import tracing
from services.chassis.telemetry import Metrics
from services.inventory.domain import checked_request
from services.inventory.sweeper import Sweeper

TRACE, STEP = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"


@pytest.mark.parametrize("flags", ["00", "01"])
async def test_what_expires_belongs_to_the_trace_of_its_purchase(exported, short, flags):
    """A reservation that is taken back is a span below the request for it, sampled or not, with a link to it."""
    traceparent = f"00-{TRACE}-{STEP}-{flags}"
    await short.reserve([
        checked_request("a", [(1, 3)], traceparent=traceparent),
        checked_request("b", [(2, 1)]),
        checked_request("c", [(2, 1)], pin=True, traceparent=traceparent),
    ])  # fmt: skip
    sweeper = Sweeper(short, Metrics())
    assert await sweeper.run_once() == 2
    [found] = exported
    assert (found.name, found.trace_id, found.parent_id) == ("reservation.expire", TRACE, STEP)
    assert list(found.links) == [traceparent]
    assert found.attributes == {"cartwright.checkout_id": "a"}


async def test_a_sweeper_that_finds_nothing_makes_no_span(exported, short):
    """To look for what has expired is in no trace, however long it takes."""
    tracing.use(tracing.Recorder(exported.append, ratio=1, slow_seconds=0.0))
    assert await Sweeper(short, Metrics()).run_once() == 0
    assert exported == []
