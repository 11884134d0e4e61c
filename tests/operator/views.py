"""Checkouts as the checkout service shows them."""

import time
from dataclasses import replace

from checkout_operator.spec import NamespacedName


def over(view, **more):
    """The checkout once it has failed, just now."""
    now = int(time.time() * 1000)
    return replace(view, saga_step="FAILED", reason="PaymentDeclined", finished_ms=now, version=9, **more)


def rest(view, number=1):
    """A checkout of REST."""
    return replace(view, id=f"c{number}", from_resource=False)


def at(name):
    """Give what names a resource of the namespace `default`."""
    return NamespacedName("default", name)
