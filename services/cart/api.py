"""Carts over gRPC."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from services.cart.domain import Cart, Line, Purchase
from services.cart.usecases import CartService, CartView, ListedProduct, each
from services.chassis.rpc import batch
from services.errors import Invalid
from services.pb import cart_pb2 as pb
from services.pb import cart_pb2_grpc

SERVICE = "cartwright.cart.CartService"


class CartApi(cart_pb2_grpc.CartServiceServicer):
    """Message ↔ domain."""

    def __init__(self, service: CartService) -> None:
        self._service = service

    async def GetCarts(self, request: pb.GetCartsRequest, context: Any) -> pb.CartsResponse:
        """Return carts as shoppers see them, or with for_claim the documents themselves."""

        async def one(item: pb.GetCart) -> CartView | Cart:
            if item.for_claim:
                bought = [
                    Purchase(one.checkout_id, tuple((line.line_id, line.quantity) for line in one.lines))
                    for one in item.bought
                ]
                return await self._service.for_claim(item.user_id, bought)
            return await self._service.read(item.user_id)

        return await self._each(request.items, one)

    async def AddItems(self, request: pb.AddItemsRequest, context: Any) -> pb.CartsResponse:
        """Add to carts."""
        return await self._each(
            request.items, lambda item: self._service.add(item.user_id, item.product_id, item.quantity)
        )

    async def SetQuantities(self, request: pb.SetQuantitiesRequest, context: Any) -> pb.CartsResponse:
        """Set the quantities of lines."""
        return await self._each(
            request.items, lambda item: self._service.set_quantity(item.user_id, item.product_id, item.quantity)
        )

    async def RemoveItems(self, request: pb.RemoveItemsRequest, context: Any) -> pb.CartsResponse:
        """Remove lines."""
        return await self._each(request.items, lambda item: self._service.remove(item.user_id, item.product_id))

    async def ClearCarts(self, request: pb.ClearCartsRequest, context: Any) -> pb.CartsResponse:
        """Remove every line."""
        return await self._each(request.items, lambda item: self._service.clear(item.user_id))

    async def _each(self, items: Any, do: Callable[[Any], Awaitable[CartView | Cart]]) -> pb.CartsResponse:
        async def one(item: Any) -> pb.CartResult:
            return _result(await do(item))

        async def act(good: Sequence[Any]) -> list[pb.CartResult | Exception]:
            return await each([one(item) for item in good])

        results = await batch(items, parse=_checked, act=act, render=lambda made: made, refused=pb.CartResult)
        return pb.CartsResponse(results=results)


def _checked(item: Any) -> Any:
    if item.user_id < 1:
        raise Invalid("user_id must be a positive integer")
    if isinstance(item, pb.GetCart) and item.bought and not item.for_claim:
        raise Invalid("bought goes with for_claim")
    return item


def _result(given: CartView | Cart) -> pb.CartResult:
    """Return a cart as a shopper sees it, or the document itself, which a claim asks for."""
    if isinstance(given, CartView):
        cart = given.cart
        lines = [_shown(line, given.products.get(line.product_id)) for line in cart.lines]
    else:
        cart = given
        lines = [_kept(line) for line in cart.lines]
    updated = int(cart.updated_at.timestamp() * 1000) if cart.updated_at and cart.lines else 0
    return pb.CartResult(
        cart=pb.Cart(
            cart_id=cart.cart_id, user_id=cart.user_id, lines=lines, version=cart.version, updated_at_ms=updated
        )
    )


def _kept(line: Line) -> pb.CartLine:
    return pb.CartLine(
        line_id=line.line_id, product_id=line.product_id, product_name=line.name or "", quantity=line.quantity
    )


def _shown(line: Line, listed: ListedProduct | None) -> pb.CartLine:
    """Return a line with the product's name and price; once the product is gone, with the name that was kept."""
    shown = _kept(line)
    if listed:
        shown.product_name, shown.unit_price_minor = listed.name, listed.price_minor
    else:
        shown.product_name = line.name or f"product {line.product_id}"
        shown.unavailable = True
    return shown
