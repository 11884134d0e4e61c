"""A Checkout resource as the API server gives it, made a value; nothing here knows Kubernetes' client or a transport."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MIRROR = "mirror"


class InvalidSpec(ValueError):
    """The resource is not one that the schema lets through."""


@dataclass(frozen=True, slots=True)
class CheckoutSpec:
    """What a resource asks for. Items are (product id, quantity); none: the user's cart."""

    user_id: int
    items: tuple[tuple[int, int], ...]
    key: str
    timeout_seconds: int
    ttl_seconds: int
    cancel: bool
    mirror_of: str
    """The checkout that it only shows; empty for one that is to be started."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A live resource."""

    name: str
    namespace: str
    uid: str
    generation: int
    created: str
    spec: CheckoutSpec
    status: Mapping[str, Any] = field(default_factory=dict)
    deleting: bool = False
    """Whether it has been deleted, and is only held by somebody's finalizer."""

    @property
    def is_mirror(self) -> bool:
        """Whether it only shows a checkout."""
        return bool(self.spec.mirror_of)


def parse(body: Mapping[str, Any]) -> Resource:
    """Read a resource; InvalidSpec where the schema was not held."""
    try:
        metadata, spec = body["metadata"], body["spec"]
        return Resource(
            name=metadata["name"],
            namespace=metadata["namespace"],
            uid=metadata["uid"],
            generation=int(metadata.get("generation", 1)),
            created=metadata["creationTimestamp"],
            spec=CheckoutSpec(
                user_id=int(spec["userId"]),
                items=tuple((int(item["productId"]), int(item["quantity"])) for item in spec.get("items", ())),
                key=spec.get("idempotencyKey") or metadata["uid"],
                timeout_seconds=int(spec.get("timeoutSeconds", 300)),
                ttl_seconds=int(spec.get("ttlSecondsAfterFinished", 300)),
                cancel=bool(spec.get("cancelRequested", False)),
                mirror_of=str(spec["checkoutId"]) if spec.get("managedBy") == MIRROR else "",
            ),
            status=dict(body.get("status") or {}),
            deleting=bool(metadata.get("deletionTimestamp")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidSpec(f"not a Checkout: {error!r}") from error
