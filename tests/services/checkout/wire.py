"""What the operator sends to the checkout service, and the codes that come back."""

import grpc

from services.pb import checkout_pb2 as pb

REF = pb.ResourceRef(uid="u", namespace="default", name="first")
MOUSE = (pb.WantedItem(product_id=2, quantity=1),)
INVALID, NOT_FOUND, PRECONDITION = (
    code.value[0]
    for code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION)
)


def start(user, key="k", items=MOUSE, **more):
    """What the operator asks for when a resource is applied."""
    return pb.StartCheckout(
        **{"origin": pb.RESOURCE, "resource": REF} | more, user_id=user, idempotency_key=key, items=items
    )


def cancel(user, key="k", items=MOUSE, **more):
    """What the operator asks for when a resource is cancelled."""
    return pb.CancelCheckout(
        **{"origin": pb.RESOURCE, "resource": REF} | more, user_id=user, idempotency_key=key, items=items
    )


def line(product=2, quantity=1):
    """A line of what to buy."""
    return pb.WantedItem(product_id=product, quantity=quantity)


def spoilt(message, change):
    """Give the message with something wrong in it."""
    given = {field.name: value for field, value in message.ListFields()} | change
    return type(message)(**{name: value for name, value in given.items() if value is not None})
