"""Stock in memory: the same promises as the real store."""

import time
from datetime import UTC, datetime

from services.errors import Invalid
from services.inventory.domain import (
    Ages,
    ExpiredReservation,
    NotHeld,
    OtherLines,
    Pieces,
    Reservation,
    ReservationRecord,
    State,
    Stock,
    UnknownReservation,
)


class MemoryWarehouse:
    """Fits the ports Warehouse and Expiring."""

    def __init__(self, ttl, now=time.monotonic):
        self.ttl, self.now, self.heads, self.deliveries = ttl, now, {}, set()
        self.traceparents = {}
        self.stock = {product_id: [10, 0, 0] for product_id in (1, 2, 3)}  # available, reserved, sold

    async def reserve(self, requests):
        return [self._reserve(request) for request in requests]

    def _reserve(self, request):
        if there := self.heads.get(request.checkout_id):
            state, lines, until = there
            if lines not in {request.lines, ()}:
                return OtherLines()
            if request.pin and state is State.HELD:
                state = State.PINNED if until > self.now() else State.EXPIRED
                if state is State.PINNED:
                    self.heads[request.checkout_id] = (state, lines, until)
            return Reservation(request.checkout_id, state)
        for product_id, quantity in request.lines:
            if self.stock.get(product_id, [0])[0] < quantity:
                return Reservation(request.checkout_id, State.INSUFFICIENT, product_id)
        self._book(request.lines, 0, 1)
        state = State.PINNED if request.pin else State.HELD
        self.heads[request.checkout_id] = (state, request.lines, self.now() + self.ttl)
        self.traceparents[request.checkout_id] = "" if request.pin else request.traceparent
        return Reservation(request.checkout_id, state)

    def _book(self, lines, came, went):
        for product_id, quantity in lines:
            self.stock[product_id][came] -= quantity
            self.stock[product_id][went] += quantity

    async def pin(self, checkout_ids):
        for checkout_id in checkout_ids:
            state, lines, until = self.heads.get(checkout_id, ("", (), 0))
            if state is State.HELD and until > self.now():
                self.heads[checkout_id] = (State.PINNED, lines, until)
        return self._answers(checkout_ids, {State.PINNED, State.CONFIRMED})

    async def confirm(self, checkout_ids):
        self._settle(checkout_ids, State.CONFIRMED, 2)
        return self._answers(checkout_ids, {State.CONFIRMED})

    async def release(self, checkout_ids):
        for checkout_id in checkout_ids:
            self.heads.setdefault(checkout_id, (State.RELEASED, (), 0))
        self._settle(checkout_ids, State.RELEASED, 0)
        return self._answers(checkout_ids, {State.RELEASED, State.EXPIRED})

    async def expire(self, limit):
        now = self.now()
        over = [name for name, (state, _, until) in self.heads.items() if state is State.HELD and until <= now][:limit]
        self._settle(over, State.EXPIRED, 0)
        return [ExpiredReservation(name, self.traceparents[name]) for name in over]

    async def ages(self):
        waits = [self.now() - until for state, _, until in self.heads.values() if state is State.HELD]
        return Ages(held=0.0, pinned=0.0, overdue=max([0.0, *waits]))

    async def pieces(self):
        return Pieces(*map(sum, zip(*self.stock.values(), strict=True)))

    async def records(self, checkout_ids):
        now = datetime.now(UTC)
        return [
            ReservationRecord(name, *self.heads[name][:2], now, now, now if self.heads[name][0] is State.HELD else None)
            if name in self.heads
            else UnknownReservation()
            for name in checkout_ids
        ]

    async def list_stock(self):
        return [Stock(product_id, *pieces) for product_id, pieces in sorted(self.stock.items())]

    def _settle(self, checkout_ids, state, went):
        for checkout_id in checkout_ids:
            there, lines, until = self.heads.get(checkout_id, ("", (), 0))
            if there in {State.HELD, State.PINNED}:
                self._book(lines, 1, went)
                self.heads[checkout_id] = (state, lines, until)

    def _answers(self, checkout_ids, good):
        states = [(name, self.heads.get(name, ("",))[0]) for name in checkout_ids]
        return [Reservation(name, state) if state in good else NotHeld(name, state) for name, state in states]

    async def restock(self, deliveries):
        for one in deliveries:
            if one.product_id in self.stock and one.restock_id not in self.deliveries:
                self.deliveries.add(one.restock_id)
                self.stock[one.product_id][0] += one.quantity
        return [
            Stock(one.product_id, *self.stock[one.product_id])
            if one.product_id in self.stock
            else Invalid("product not found")
            for one in deliveries
        ]
