"""Carts over gRPC. The items of a batch are read or changed together."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from services.cart.domain import Purchase
from services.cart.usecases import CartService, CartView, Edit, adding, removing, setting
from services.chassis.batched_request import batch
from services.errors import Invalid
from services.pb import cart_pb2 as pb
from services.pb import cart_pb2_grpc
from services.users import checked_user

SERVICE = "cartwright.cart.CartService"
MOST_KEPT = 4096
"""How many messages are kept, a few hundred bytes each."""

V = TypeVar("V")
Claim = list[Purchase]


class CartApi(cart_pb2_grpc.CartServiceServicer):
    """Message ↔ domain."""

    def __init__(self, service: CartService) -> None:
        self._service = service
        self._results = Results()

    async def GetCarts(self, request: pb.GetCartsRequest, context: Any) -> pb.CartsResponse:
        """Return carts as shoppers see them, or with for_claim the documents themselves."""
        return await self._answer(request.items, _asked, self._get)

    async def AddItems(self, request: pb.AddItemsRequest, context: Any) -> pb.CartsResponse:
        """Add to carts."""
        return await self._edit(request.items, lambda item: adding(item.product_id, item.quantity))

    async def SetQuantities(self, request: pb.SetQuantitiesRequest, context: Any) -> pb.CartsResponse:
        """Set the quantities of lines."""
        return await self._edit(request.items, lambda item: setting(item.product_id, item.quantity))

    async def RemoveItems(self, request: pb.RemoveItemsRequest, context: Any) -> pb.CartsResponse:
        """Remove lines."""
        return await self._edit(request.items, lambda item: removing(item.product_id))

    async def ClearCarts(self, request: pb.ClearCartsRequest, context: Any) -> pb.CartsResponse:
        """Remove every line."""
        return await self._answer(request.items, lambda item: checked_user(item.user_id), self._service.clear)

    async def _edit(self, items: Any, edit: Callable[[Any], Edit]) -> pb.CartsResponse:
        return await self._answer(items, lambda item: (checked_user(item.user_id), edit(item)), self._service.edit)

    async def _get(self, asked: Sequence[tuple[int, Claim | None]]) -> list[CartView | Exception]:
        """Read carts, and those for a claim past the cache."""
        shown = [user_id for user_id, claim in asked if claim is None]
        claimed = [(user_id, claim) for user_id, claim in asked if claim is not None]
        views = iter(await self._service.read(shown) if shown else ())
        documents = iter(await self._service.for_claim(claimed) if claimed else ())
        return [next(views) if claim is None else next(documents) for _, claim in asked]

    async def _answer(
        self,
        items: Any,
        parse: Callable[[Any], V],
        act: Callable[[Sequence[V]], Awaitable[Sequence[CartView | Exception]]],
    ) -> pb.CartsResponse:
        results = await batch(items, parse=parse, act=act, render=self._results.of, refused=pb.CartResult)
        return pb.CartsResponse(results=results)


class Results:
    """Makes the messages of carts, and keeps those that it made last: a page asks for the same cart again and again."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[CartView, pb.CartResult]] = {}

    def of(self, view: CartView) -> pb.CartResult:
        """Return the message of a cart. It is shared: whoever changes it copies it first, as a repeated field does."""
        kept = self._kept.get(view.cart.user_id)
        if kept is not None and kept[0].cart is view.cart and kept[0].products is view.products:
            return kept[1]
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        result = _result(view)
        self._kept[view.cart.user_id] = view, result
        return result


def _asked(item: pb.GetCart) -> tuple[int, Claim | None]:
    """Return the user, and with for_claim what was bought."""
    if item.for_claim:
        return checked_user(item.user_id), [
            Purchase(one.checkout_id, tuple((line.line_id, line.quantity) for line in one.lines)) for one in item.bought
        ]
    if item.bought:
        raise Invalid("bought goes with for_claim")
    return checked_user(item.user_id), None


def _result(view: CartView) -> pb.CartResult:
    """Make the message of a cart. It is filled in place: made of parts, each part would be copied into the one around it."""
    cart, products = view.cart, view.products
    result = pb.CartResult()
    message = result.cart
    message.user_id, message.version = cart.user_id, cart.version
    if not cart.lines:
        return result
    message.cart_id = cart.cart_id
    if cart.updated_at:
        message.updated_at_ms = int(cart.updated_at.timestamp() * 1000)
    add = message.lines.add
    for line in cart.lines:
        line_id, product_id, quantity = line.line_id, line.product_id, line.quantity
        if products is None:
            add(line_id=line_id, product_id=product_id, quantity=quantity, product_name=line.name or "")
        elif (product := products.get(product_id)) is not None:
            name, price = product.name, product.price_minor
            add(line_id=line_id, product_id=product_id, quantity=quantity, product_name=name, unit_price_minor=price)
        else:  # the product is gone: its name is the one that was kept
            name = line.name or f"product {product_id}"
            add(line_id=line_id, product_id=product_id, quantity=quantity, product_name=name, unavailable=True)
    return result
