"""A Checkout resource as a value, read from what the API server sends. Knows no client and no transport.

The values are structs that the garbage collector does not visit (`gc=False`): they hold no cycle, there are thousands of
them, and a collection that looked at each would hold up the event loop.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from checkout_operator.status import NOTHING_SHOWN, StatusDigest, digest

MIRROR = "mirror"
MAX_INT64 = 2**63 - 1
"""The largest user id and product id, as in the schema and in the checkout service's proto."""


class InvalidSpec(ValueError):
    """The resource does not fit the schema. `str()` says why."""


class NamespacedName(NamedTuple):
    """What names a resource in a cluster: two namespaces may each have one of the same name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class CheckoutSpec(msgspec.Struct, frozen=True, gc=False):
    """What a resource asks for. Items are (product id, quantity); without items it buys the user's cart."""

    user_id: int
    items: tuple[tuple[int, int], ...]
    key: str
    timeout_seconds: int
    ttl_seconds: int
    cancel: bool
    mirror_of: str | None
    """The id of the checkout that a mirror shows; None for a resource that starts one."""


class Resource(msgspec.Struct, frozen=True, gc=False):
    """A Checkout resource that exists."""

    name: str
    namespace: str
    uid: str
    generation: int
    created: str
    spec: CheckoutSpec
    status: StatusDigest = NOTHING_SHOWN
    """What it shows now. Users may write it, so it only tells whether a write is needed."""
    deleting: bool = False
    """Whether it is deleted, and somebody's finalizer still holds it."""

    @property
    def namespaced_name(self) -> NamespacedName:
        """Return what names it in the cluster."""
        return NamespacedName(self.namespace, self.name)

    @property
    def is_mirror(self) -> bool:
        """Return whether it only shows a checkout."""
        return self.spec.mirror_of is not None


def parse(body: Mapping[str, Any], known: Resource | None = None) -> Resource:
    """Read a resource. Raises InvalidSpec when it does not fit the schema.

    `known` is the same resource as it was read before. Its spec is used again where the generation is still the same:
    the API server raises the generation with each change of a spec.
    """
    try:
        metadata = body["metadata"]
        generation = int(metadata.get("generation", 1))
        same = known is not None and (known.uid, known.generation) == (metadata["uid"], generation)
        return Resource(
            name=metadata["name"],
            namespace=metadata["namespace"],
            uid=metadata["uid"],
            generation=generation,
            created=metadata["creationTimestamp"],
            spec=known.spec if known is not None and same else _spec(body["spec"], metadata["uid"]),
            status=digest(body.get("status") or {}),
            deleting=bool(metadata.get("deletionTimestamp")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidSpec(f"not a Checkout: {error!r}") from error


def _spec(spec: Mapping[str, Any], uid: str) -> CheckoutSpec:
    return CheckoutSpec(
        user_id=_int64(spec["userId"]),
        items=tuple((_int64(item["productId"]), int(item["quantity"])) for item in spec.get("items", ())),
        key=spec.get("idempotencyKey") or uid,
        timeout_seconds=int(spec.get("timeoutSeconds", 300)),
        ttl_seconds=int(spec.get("ttlSecondsAfterFinished", 300)),
        cancel=bool(spec.get("cancelRequested", False)),
        mirror_of=str(spec["checkoutId"]) if spec.get("managedBy") == MIRROR else None,
    )


def _int64(value: Any) -> int:
    number = int(value)
    if not 1 <= number <= MAX_INT64:
        raise ValueError(f"{number} is no positive 64-bit integer")
    return number
