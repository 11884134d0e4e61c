"""What is to be done for a resource. Pure, and level-based: it looks at what is wanted and what was done, at no event.

A resource's status is never read to decide: the saga in PostgreSQL is the truth.
"""

from enum import Enum

from checkout_operator.spec import Resource


class Action(Enum):
    """A call to the checkout service; both are idempotent by the resource's key."""

    START = "start"
    CANCEL = "cancel"
    NOTHING = "nothing"


def decide(resource: Resource, done: Action | None) -> Action:
    """Say what to do for a resource for which `done` was the last that this process did."""
    if resource.is_mirror:
        return Action.NOTHING
    wanted = Action.CANCEL if resource.spec.cancel else Action.START
    return Action.NOTHING if done is wanted else wanted
