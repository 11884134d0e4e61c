"""What was asked for and what was answered, with the times of both."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Content = Mapping[int, int]
"""What is in a cart: product → quantity."""


@dataclass(slots=True)
class Operation:
    """One request. Times are in nanoseconds of the monotonic clock."""

    object: str
    client: int
    kind: str
    call: int
    returned: int | None = None
    """None: there was no answer. It may take effect at any time after the call, or never."""
    facts: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return it as the checker reads it."""
        times = {"call": self.call} | ({} if self.returned is None else {"return": self.returned})
        return {"object": self.object, "client": self.client, "kind": self.kind, **times, **self.facts}


class History:
    """The operations of all clients. A list that grows at its end may be shared by threads."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def begin(self, name: str, client: int, kind: str, **facts: Any) -> Operation:
        """Note that a request is sent."""
        operation = Operation(name, client, kind, time.monotonic_ns(), facts=facts)
        self.operations.append(operation)
        return operation

    def end(self, operation: Operation, cart: Content | None = None, **facts: Any) -> None:
        """Note the answer to a request, and the cart that it shows."""
        if cart is not None:
            facts["cart"] = {str(product): quantity for product, quantity in cart.items()}
        operation.facts |= facts
        operation.returned = time.monotonic_ns()

    def drop(self, operation: Operation) -> None:
        """Forget a request that did nothing and says nothing."""
        self.operations.remove(operation)
