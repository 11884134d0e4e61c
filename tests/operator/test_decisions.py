"""What a resource is, what is done for it, what is shown under which name, and what has had its time."""

import asyncio
from dataclasses import replace

import pytest

from checkout_operator.backlog import Backlog
from checkout_operator.config import Config
from checkout_operator.live import Live
from checkout_operator.reconcile import Action, decide
from checkout_operator.spec import InvalidSpec, parse
from checkout_operator.status import SagaView
from checkout_operator.sweeper import due

BODY = {
    "metadata": {"name": "first", "namespace": "default", "uid": "u1", "creationTimestamp": "2026-01-01T00:00:00Z"},
    "spec": {"userId": 7, "managedBy": "operator"},
}
MIRROR = {
    "metadata": BODY["metadata"] | {"name": "co-c1", "uid": "u2"},
    "spec": {"userId": 7, "managedBy": "mirror", "checkoutId": "c1", "ttlSecondsAfterFinished": 30},
}
VIEW = SagaView("c1", 7, "u1", True, "first", "PAYING", "", "", 1, "USD", "o", 1, 1, 0, ())


def with_spec(**spec):
    """Give the resource with more in its spec."""
    return parse(BODY | {"spec": BODY["spec"] | spec})


def test_a_resource_is_read():
    """Its key is its uid where it has none, and its items are pairs."""
    resource = with_spec(items=[{"productId": 1, "quantity": 2}], timeoutSeconds=9)
    assert (resource.spec.key, resource.spec.items, resource.spec.timeout_seconds) == ("u1", ((1, 2),), 9)
    assert with_spec(idempotencyKey="mine").spec.key == "mine"


@pytest.mark.parametrize(
    "body", [{}, {"metadata": {}, "spec": {}}, BODY | {"spec": {"userId": "x"}}, BODY | {"spec": None}]
)
def test_what_is_no_resource(body):
    """What the schema would not let through is refused, not guessed at."""
    with pytest.raises(InvalidSpec):
        parse(body)


def test_decisions():
    """It is started once, cancelled once, and a mirror is never started."""
    resource, cancelled, mirror = parse(BODY), with_spec(cancelRequested=True), parse(MIRROR)
    assert decide(resource, None) is Action.START
    assert decide(resource, Action.START) is Action.NOTHING
    assert decide(cancelled, Action.START) is Action.CANCEL
    assert decide(cancelled, None) is Action.CANCEL
    assert decide(cancelled, Action.CANCEL) is Action.NOTHING
    assert decide(mirror, None) is Action.NOTHING


def test_under_which_names():
    """A checkout is shown by the resources that are known to be about it; one of REST by its mirror."""
    live = Live()
    first, other = parse(BODY), with_spec(idempotencyKey="u1")
    other = replace(other, name="other", uid="u3")
    live.put(first)
    live.put(other)
    assert live.showing(VIEW) == ()
    live.confirm(first)
    assert live.showing(VIEW) == ("first",)
    live.drop("first")
    assert live.showing(VIEW) == ()
    assert live.was_deleted("first")
    assert live.showing(replace(VIEW, from_resource=False)) == ("co-c1",)


def test_what_has_had_its_time():
    """Each resource has its own time; of the mirrors of failed checkouts the newest stay."""
    ended = {"finishedAt": "2026-01-01T00:00:00Z", "phase": "Failed"}
    start = 1_767_225_600.0
    mirrors = [
        replace(parse(MIRROR), name=f"co-{n}", uid=f"m{n}", status=ended | {"finishedAt": f"2026-01-01T00:00:{n:02}Z"})
        for n in range(5)
    ]
    own = replace(parse(BODY), status=ended)
    settings = Config(mirror_max_failures=3)
    assert [one.name for one in due([own, *mirrors], settings, start + 5)] == ["co-0", "co-1"]
    assert {one.name for one in due([own, *mirrors], settings, start + 299)} == {one.name for one in mirrors}
    assert own in due([own], settings, start + 300)
    assert due([parse(BODY)], settings, start + 10**6) == []


def test_an_old_purchase_is_shown_for_its_time():
    """A resource under the key of a purchase made long ago stays for its time to live, counted from its creation."""
    ended = {"finishedAt": "2025-01-01T00:00:00Z", "phase": "Completed"}
    shown = replace(parse(BODY), status=ended)
    start = 1_767_225_600.0
    assert due([shown], Config(), start + 299) == []
    assert due([shown], Config(), start + 300) == [shown]


async def test_the_backlog():
    """A name waits once, in its turn; one that failed comes again by itself."""
    backlog = Backlog()
    for name in ("a", "b", "a"):
        backlog.add(name)
    assert [await backlog.take(), await backlog.take()] == ["a", "b"]
    assert len(backlog) == 0
    backlog.failed("a")
    assert await asyncio.wait_for(backlog.take(), 5) == "a"
