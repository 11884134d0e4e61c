"""Orders over gRPC."""

from typing import Any

from services.chassis.rpc import batch
from services.errors import Invalid
from services.orders.domain import MAX_PAGE, Ask, BadPage, Order, Page, checked_id
from services.orders.usecases import OrderBook
from services.pb import orders_pb2 as pb
from services.pb import orders_pb2_grpc

SERVICE = "cartwright.orders.OrdersService"


class OrdersApi(orders_pb2_grpc.OrdersServiceServicer):
    """Message ↔ domain."""

    def __init__(self, book: OrderBook) -> None:
        self._book = book

    async def ListOrders(self, request: pb.ListOrdersRequest, context: Any) -> pb.ListOrdersResponse:
        """Give pages of orders."""
        results = await batch(
            request.items, parse=_ask, act=self._book.list_orders, render=_page, refused=pb.ListOrdersResult
        )
        return pb.ListOrdersResponse(results=results)

    async def GetOrders(self, request: pb.GetOrdersRequest, context: Any) -> pb.GetOrdersResponse:
        """Give orders of their users."""
        results = await batch(
            request.items,
            parse=lambda item: (_user(item.user_id), checked_id(item.order_id)),
            act=self._book.get_orders,
            render=lambda order: pb.GetOrderResult(order=_message(order)),
            refused=pb.GetOrderResult,
        )
        return pb.GetOrdersResponse(results=results)


def _user(user_id: int) -> int:
    if user_id < 1:
        raise Invalid("user_id must be a positive integer")
    return user_id


def _ask(item: pb.ListOrders) -> Ask:
    if not 1 <= item.limit <= MAX_PAGE:
        raise BadPage(f"limit must be between 1 and {MAX_PAGE}")
    return Ask(_user(item.user_id), item.limit, item.cursor)


def _page(page: Page) -> pb.ListOrdersResult:
    orders = [_message(order) for order in page.orders]
    return pb.ListOrdersResult(page=pb.OrderPage(orders=orders, next_cursor=page.next_cursor))


def _message(order: Order) -> pb.Order:
    return pb.Order(
        id=order.id,
        checkout_id=order.checkout_id,
        user_id=order.user_id,
        total_minor=order.total_minor,
        currency=order.currency,
        status=order.status,
        lines=[
            pb.OrderLine(
                product_id=line.product_id,
                product_name=line.name,
                quantity=line.quantity,
                unit_price_minor=line.unit_price_minor,
            )
            for line in order.lines
        ],
        created_at_ms=int(order.created_at.timestamp() * 1000),
    )
