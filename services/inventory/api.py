"""Stock over gRPC."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from services.chassis import tracing
from services.chassis.batched_request import batch
from services.chassis.resilience import Retrier
from services.errors import Fault, Invalid
from services.inventory.domain import Delivery, Reservation, ReservationRecord, Stock, checked_id, checked_request
from services.inventory.usecases import Warehouse
from services.pb import inventory_pb2 as pb
from services.pb import inventory_pb2_grpc

SERVICE = "cartwright.inventory.InventoryService"
MAX_DELIVERY = 10**12
Act = Callable[[Sequence[str]], Awaitable[list[Reservation | Fault]]]


class InventoryApi(inventory_pb2_grpc.InventoryServiceServicer):
    """Message ↔ domain; a deadlock or a lock timeout is retried here."""

    def __init__(self, warehouse: Warehouse, retry: Retrier) -> None:
        self._warehouse = warehouse
        self._retry = retry

    async def Reserve(self, request: pb.ReserveRequest, context: Any) -> pb.ReservationsResponse:
        """Hold stock."""
        results = await batch(
            request.items,
            parse=lambda item: checked_request(
                item.checkout_id,
                [(line.product_id, line.quantity) for line in item.lines],
                pin=item.pin,
                traceparent="" if item.pin else tracing.stored(item.call.traceparent),
            ),
            act=lambda requests: self._retry(lambda: self._warehouse.reserve(requests)),
            render=_result,
            refused=pb.ReservationResult,
        )
        return pb.ReservationsResponse(results=results)

    async def Pin(self, request: pb.ReservationsRequest, context: Any) -> pb.ReservationsResponse:
        """Remove the expiry of reservations."""
        return await self._by_id(request, self._warehouse.pin)

    async def Confirm(self, request: pb.ReservationsRequest, context: Any) -> pb.ReservationsResponse:
        """Sell what is held."""
        return await self._by_id(request, self._warehouse.confirm)

    async def Release(self, request: pb.ReservationsRequest, context: Any) -> pb.ReservationsResponse:
        """Release what is held."""
        return await self._by_id(request, self._warehouse.release)

    async def Restock(self, request: pb.RestockRequest, context: Any) -> pb.RestockResponse:
        """Add received stock."""
        results = await batch(
            request.items, parse=_delivery, act=self._warehouse.restock, render=_stock, refused=pb.RestockResult
        )
        return pb.RestockResponse(results=results)

    async def Get(self, request: pb.ReservationsRequest, context: Any) -> pb.GetReservationsResponse:
        """Return reservations as they are stored."""
        results = await batch(
            request.items,
            parse=lambda item: checked_id(item.checkout_id),
            act=self._warehouse.records,
            render=_record,
            refused=pb.GetReservationResult,
        )
        return pb.GetReservationsResponse(results=results)

    async def ListStock(self, request: pb.ListStockRequest, context: Any) -> pb.ListStockResponse:
        """Return the stock of every product."""
        return pb.ListStockResponse(stock=map(_stock_message, await self._warehouse.list_stock()))

    async def _by_id(self, request: pb.ReservationsRequest, act: Act) -> pb.ReservationsResponse:
        results = await batch(
            request.items,
            parse=lambda item: checked_id(item.checkout_id),
            act=lambda ids: self._retry(lambda: act(ids)),
            render=_result,
            refused=pb.ReservationResult,
        )
        return pb.ReservationsResponse(results=results)


def _result(reservation: Reservation) -> pb.ReservationResult:
    return pb.ReservationResult(
        reservation=pb.Reservation(
            checkout_id=reservation.checkout_id,
            state=reservation.state.value,
            product_id=reservation.short_product_id or 0,
        )
    )


def _delivery(item: pb.Restock) -> Delivery:
    if item.product_id < 1 or not 1 <= item.quantity <= MAX_DELIVERY:
        raise Invalid(f"product_id must be positive, quantity 1 to {MAX_DELIVERY}")
    return Delivery(checked_id(item.restock_id), item.product_id, item.quantity)


def _stock(stock: Stock) -> pb.RestockResult:
    return pb.RestockResult(stock=_stock_message(stock))


def _stock_message(stock: Stock) -> pb.Stock:
    return pb.Stock(product_id=stock.product_id, available=stock.available, reserved=stock.reserved, sold=stock.sold)


def _record(record: ReservationRecord) -> pb.GetReservationResult:
    return pb.GetReservationResult(
        reservation=pb.ReservationRecord(
            checkout_id=record.checkout_id,
            state=record.state.value,
            lines=[pb.ReservationLine(product_id=product, quantity=quantity) for product, quantity in record.lines],
            created_at_ms=_ms(record.created_at),
            changed_at_ms=_ms(record.changed_at),
            expires_at_ms=_ms(record.expires_at),
        )
    )


def _ms(when: datetime | None) -> int:
    return int(when.timestamp() * 1000) if when else 0
