"""The gRPC API of orders: messages to domain types and back."""

from typing import Any

from services.chassis.batched_request import batch
from services.orders.domain import MAX_PAGE, InvalidPage, Order, Page, PageRequest, parse_order_id
from services.orders.usecases import OrderQueries
from services.pb import orders_pb2 as pb
from services.pb import orders_pb2_grpc
from services.users import checked_user

SERVICE = "cartwright.orders.OrdersService"


class OrdersApi(orders_pb2_grpc.OrdersServiceServicer):
    """Implements OrdersService."""

    def __init__(self, orders: OrderQueries) -> None:
        self._orders = orders

    async def ListOrders(self, request: pb.ListOrdersRequest, context: Any) -> pb.ListOrdersResponse:
        """Return pages of orders."""
        results = await batch(
            request.items, parse=_page_request, act=self._orders.list_orders, render=_page, refused=pb.ListOrdersResult
        )
        return pb.ListOrdersResponse(results=results)

    async def GetOrders(self, request: pb.GetOrdersRequest, context: Any) -> pb.GetOrdersResponse:
        """Return single orders."""
        results = await batch(
            request.items,
            parse=lambda item: (checked_user(item.user_id), parse_order_id(item.order_id)),
            act=self._orders.get_orders,
            render=lambda order: pb.GetOrderResult(order=_message(order)),
            refused=pb.GetOrderResult,
        )
        return pb.GetOrdersResponse(results=results)


def _page_request(item: pb.ListOrders) -> PageRequest:
    if not 1 <= item.limit <= MAX_PAGE:
        raise InvalidPage(f"limit must be between 1 and {MAX_PAGE}")
    return PageRequest(checked_user(item.user_id), item.limit, item.cursor or None)


def _page(page: Page) -> pb.ListOrdersResult:
    orders = [_message(order) for order in page.orders]
    return pb.ListOrdersResult(page=pb.OrderPage(orders=orders, next_cursor=page.next_cursor or ""))


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
