"""Decides what to do for a resource. Pure and level-based: it compares what is wanted with what was done.

It never reads a resource's status: the saga in PostgreSQL is the truth.
"""

from enum import Enum

from checkout_operator.spec import Resource


class Action(Enum):
    """A call to the checkout service. Both calls are idempotent by the resource's key."""

    START = "start"
    CANCEL = "cancel"
    NOTHING = "nothing"


def decide(resource: Resource, done: Action | None) -> Action:
    """Return what to do for a resource. `done` is the last action of this process for it."""
    if resource.is_mirror:
        return Action.NOTHING
    wanted = Action.CANCEL if resource.spec.cancel else Action.START
    return Action.NOTHING if done is wanted else wanted
