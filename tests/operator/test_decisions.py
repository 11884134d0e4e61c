"""What a resource is, and what is done for it."""

import pytest

from checkout_operator.reconcile import Action, decide
from checkout_operator.spec import InvalidSpec, parse

METADATA = {"name": "first", "namespace": "default", "uid": "u1", "creationTimestamp": "2026-01-01T00:00:00Z"}


def test_a_resource_is_read(make):
    """Its key is its uid where it has none, and its items are pairs."""
    resource = make("first", items=[{"productId": 1, "quantity": 2}], timeoutSeconds=9)
    assert (resource.spec.key, resource.spec.items, resource.spec.timeout_seconds) == (resource.uid, ((1, 2),), 9)
    assert make("first", idempotencyKey="mine").spec.key == "mine"
    assert not resource.deleting
    assert parse({"metadata": METADATA | {"deletionTimestamp": "x"}, "spec": {"userId": 7}}).deleting


@pytest.mark.parametrize("number", [1, 2**31, 2**53, 2**53 + 1, 2**63 - 1])
def test_large_ids(make, number):
    """User and product ids are kept to the digit, up to 64 bits."""
    spec = make("first", userId=number, items=[{"productId": number, "quantity": 1}]).spec
    assert (spec.user_id, spec.items) == (number, ((number, 1),))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"metadata": {}, "spec": {}},
        {"metadata": METADATA},
        *({"metadata": METADATA, "spec": {"userId": user}} for user in ("x", 0, 2**63, 1e19)),
        {"metadata": METADATA, "spec": {"userId": 1, "items": [{"productId": 2**63, "quantity": 1}]}},
    ],
)
def test_what_is_no_resource(body):
    """What the schema would not let through is refused, not guessed at."""
    with pytest.raises(InvalidSpec):
        parse(body)


def test_decisions(make, mirror):
    """It is started once, cancelled once, and a mirror is never started."""
    resource, cancelled, mirror = make("first"), make("first", cancelRequested=True), mirror("c1")
    assert decide(resource, None) is Action.START
    assert decide(resource, Action.START) is Action.NOTHING
    assert decide(cancelled, Action.START) is Action.CANCEL
    assert decide(cancelled, None) is Action.CANCEL
    assert decide(cancelled, Action.CANCEL) is Action.NOTHING
    assert decide(mirror, None) is Action.NOTHING
