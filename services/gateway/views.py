"""What the messages of the services look like as JSON."""

import functools
from datetime import UTC, datetime
from typing import Any

import msgspec

from services.money import to_json
from services.pb import cart_pb2, checkout_pb2, orders_pb2, product_pb2

MOST_CARTS = 4096
"""How many carts are kept as JSON, a few hundred bytes each."""
NEVER = "0001-01-01T00:00:00Z"  # the time of a cart without lines, as the test flow has it


@functools.lru_cache(4096)
def time(milliseconds: int) -> str | None:
    """Return RFC 3339 in UTC, or None for a time that has not come. The times of one message are shown again and again."""
    if not milliseconds:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def product(message: product_pb2.Product) -> dict[str, Any]:
    """Give a product."""
    return {
        "id": message.id,
        "name": message.name,
        "description": message.description,
        "price": to_json(message.price_minor),
        "image_url": message.image_url,
        "created_at": time(message.created_at_ms),
    }


def cart(message: cart_pb2.Cart) -> dict[str, Any]:
    """Give a cart. A line whose product has left the catalogue says so, and counts nothing in the totals."""
    items = []
    count = total = 0
    for line in message.lines:
        price, quantity = line.unit_price_minor, line.quantity
        shown = {
            "product_id": line.product_id,
            "product_name": line.product_name,
            "quantity": quantity,
            "price": to_json(price),
            "subtotal": to_json(price * quantity),
        }
        if line.unavailable:
            shown["available"] = False
        else:
            count += 1
            total += price * quantity
        items.append(shown)
    return {
        "cart_id": message.cart_id,
        "user_id": message.user_id,
        "items": items,
        "total_items": count,
        "total_price": to_json(total),
        "updated_at": time(message.updated_at_ms) or NEVER,
    }


@functools.lru_cache(MOST_CARTS)
def cart_body(message: bytes) -> bytes:
    """Return the JSON of a cart, given its serialized message. A page asks for the same cart again and again."""
    return msgspec.json.encode(cart(cart_pb2.Cart.FromString(message)))


def _lines(lines: Any) -> list[dict[str, Any]]:
    return [
        {
            "product_id": line.product_id,
            "product_name": line.product_name,
            "quantity": line.quantity,
            "price": to_json(line.unit_price_minor),
        }
        for line in lines
    ]


def conflict(message: checkout_pb2.StartCheckoutResult) -> dict[str, Any]:
    """Give what stands beside the error of a checkout that conflicts with something."""
    if message.running_checkout_id:
        return {"checkout_id": message.running_checkout_id}
    if message.unknown_products:
        return {
            "products": [
                {"product_id": one.product_id, "product_name": one.product_name or f"product {one.product_id}"}
                for one in message.unknown_products
            ]
        }
    return {}


def checkout(message: checkout_pb2.Checkout) -> dict[str, Any]:
    """Give a checkout; its order has an id to show once the checkout has completed."""
    order_id = {"order_id": message.order_id} if message.status == checkout_pb2.COMPLETED else {}
    return {
        "checkout_id": message.id,
        "status": checkout_pb2.Status.Name(message.status),
        **order_id,
        "step": message.step,
        "reason": message.reason or None,
        "total": to_json(message.total_minor),
        "currency": message.currency,
        "items": _lines(message.lines),
        "steps": [
            {
                "name": step.name,
                "state": step.state,
                "attempts": step.attempts,
                "started_at": time(step.started_at_ms),
                "finished_at": time(step.finished_at_ms),
            }
            for step in message.steps
        ],
        "created_at": time(message.created_at_ms),
        "finished_at": time(message.finished_at_ms),
    }


def order(message: orders_pb2.Order) -> dict[str, Any]:
    """Give an order."""
    return {
        "id": message.id,
        "checkout_id": message.checkout_id,
        "user_id": message.user_id,
        "total_amount": to_json(message.total_minor),
        "currency": message.currency,
        "status": message.status,
        "items": _lines(message.lines),
        "created_at": time(message.created_at_ms),
    }
