"""Mistakes that real shops have made, each planted in the code or in a store, to show that the simulation notices them.

A store's promise is what its SQL does; a mistake in it is planted in the store in memory that stands for it.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import services.cart.domain
import services.checkout.driver
from checkout_operator.workqueue import WorkQueue
from services.cart.domain import Line
from services.chassis.batch import Batcher
from services.chassis.partition import PartitionWorker
from services.checkout.clients import PaymentClient
from services.checkout.domain import Origin, Session, Status, Step
from services.checkout.domain import Payment as PaymentAnswer
from services.checkout.driver import Driver
from services.checkout.relay import BATCH, Relay
from services.checkout.saga import Move, decide
from services.errors import OutcomeUnknown
from services.inventory.domain import State as StockState
from services.payment.clients import BankClient
from services.payment.domain import Payment, State
from services.payment.usecases import PaymentProcessor
from services.pb import bank_pb2
from tests.services.checkout.memory import MemorySessions
from tests.services.inventory.memory import MemoryWarehouse
from tests.services.orders.memory import MemoryOrders
from tests.services.payment.memory import MemoryPayments
from tests.simulation.redis import Keys

MISTAKES: dict[str, Callable[[], Any]] = {}
"""Name → what plants the mistake for as long as its context lasts."""


def mistake(plant: Callable[[], Iterator[None]]) -> Callable[[], Iterator[None]]:
    """Add a mistake to MISTAKES, under the name of what it does."""
    MISTAKES[plant.__name__] = contextmanager(plant)
    return plant


@mistake
def charge_without_a_key() -> Iterator[None]:
    """Each attempt to charge is a new charge to the bank."""
    numbers = itertools.count()

    async def charge(self: Any, payment: Payment) -> tuple[State, str]:
        key = payment.checkout_id if next(numbers) % 2 == 0 else f"{payment.checkout_id}/{next(numbers)}"
        request = bank_pb2.ChargeRequest(
            key=key, user_id=payment.user_id, amount_minor=payment.amount_minor, currency=payment.currency
        )
        reply = await self._ask(self._stub.Charge, request)
        return State(bank_pb2.TransactionState.Name(reply.state)), reply.reference

    with patch.object(BankClient, "charge", charge):
        yield


@mistake
def a_timeout_is_a_decline() -> Iterator[None]:
    """A charge without an answer is taken for a refused one."""
    charge = PaymentClient.charge

    async def declined(self: Any, session: Session) -> PaymentAnswer:
        try:
            return await charge(self, session)
        except OutcomeUnknown:
            return PaymentAnswer.DECLINED

    with patch.object(PaymentClient, "charge", declined):
        yield


@mistake
def steps_without_a_fence() -> Iterator[None]:
    """A driver writes its step whatever the row says by now."""
    with (
        patch.object(MemorySessions, "_fenced", lambda self, session, _: self.rows[session.id]),
        patch.object(MemorySessions, "move", _unfenced_move(MemorySessions.move)),
    ):
        yield


def _unfenced_move(move: Any) -> Any:
    async def moved(self: Any, before: Session, after: Session) -> Session:
        return await move(self, self.rows[before.id].session, after)

    return moved


@mistake
def event_outside_the_transaction() -> Iterator[None]:
    """The event is written by a statement of its own, after the one that completes the checkout."""
    add_event, write = MemorySessions._add_event, Driver._write_step

    async def add_later(self: Any, session: Session) -> None:
        add_event(self, session)

    async def write_both(self: Any, before: Session, after: Session) -> Session:
        written = await write(self, before, after)
        if written.status is Status.COMPLETED:
            await self._sessions.add_later(written)
        return written

    with (
        patch.object(MemorySessions, "_add_event", lambda *_: None),
        patch.object(MemorySessions, "add_later", add_later, create=True),
        patch.object(Driver, "_write_step", write_both),
    ):
        yield


@mistake
def offset_before_the_work() -> Iterator[None]:
    """A consumer commits a message before it has applied it."""
    apply = PartitionWorker._apply

    async def commit_first(self: Any, records: Any) -> None:
        await self._commit(records[-1].offset + 1)
        await apply(self, records)

    with patch.object(PartitionWorker, "_apply", commit_first):
        yield


@mistake
def published_before_it_is() -> Iterator[None]:
    """The relay marks events as published before it publishes them."""

    async def run_once(self: Any) -> int:
        if not await self._leads():
            return 0
        events, *_ = await self._outbox.waiting(BATCH)
        await self._outbox.mark([event.id for event in events])
        if events:
            await self._publisher.publish(events)
        return len(events)

    with patch.object(Relay, "run_once", run_once):
        yield


@mistake
def stock_released_twice() -> Iterator[None]:
    """A repeated release returns the stock again."""

    def settle(self: Any, checkout_ids: Any, state: StockState, went: int) -> None:
        for checkout_id in checkout_ids:
            there, lines, until = self.heads.get(checkout_id, ("", (), 0))
            if there in {StockState.HELD, StockState.PINNED} or (there is state and went == 0):
                self._book(lines, 1, went)
                self.heads[checkout_id] = (state, lines, until)

    with patch.object(MemoryWarehouse, "_settle", settle):
        yield


@mistake
def pinned_stock_expires() -> Iterator[None]:
    """The sweeper returns reservations to stock that a payment has pinned."""

    async def expire(self: Any, limit: int) -> int:
        now = self.now()
        over = [
            name
            for name, (state, _, until) in self.heads.items()
            if state in {StockState.HELD, StockState.PINNED} and until <= now
        ][:limit]
        self._settle(over, StockState.EXPIRED, 0)
        return len(over)

    with patch.object(MemoryWarehouse, "expire", expire):
        yield


@mistake
def release_without_a_tombstone() -> Iterator[None]:
    """Releasing what was never reserved leaves nothing that bars a late reservation."""
    release = MemoryWarehouse.release

    async def without(self: Any, checkout_ids: Any) -> Any:
        unknown = [name for name in checkout_ids if name not in self.heads]
        answers = await release(self, checkout_ids)
        for name in unknown:
            del self.heads[name]
        return answers

    with patch.object(MemoryWarehouse, "release", without):
        yield


@mistake
def cancel_without_a_tombstone() -> Iterator[None]:
    """Cancelling a payment that has not arrived leaves nothing that bars a late charge."""
    insert = MemoryPayments.insert_tombstones

    async def without(self: Any, checkout_ids: Any) -> Any:
        unknown = [name for name in checkout_ids if name not in self.kept]
        answers = await insert(self, checkout_ids)
        for name in unknown:
            del self.kept[name]
        return answers

    with patch.object(MemoryPayments, "insert_tombstones", without):
        yield


@mistake
def cancel_after_the_charge_was_sent() -> Iterator[None]:
    """A saga that is to stop while it pays releases its stock and fails, without asking whether it was paid."""

    def decided(step: Step, cancel: Any) -> Any:
        return Move(Step.RELEASING, cancel) if step is Step.PAYING and cancel else decide(step, cancel)

    with patch.object(services.checkout.driver, "decide", decided):
        yield


@mistake
def one_running_checkout_is_rule_enough() -> Iterator[None]:
    """A claim looks only for checkouts that run, not for purchases that are still in the cart."""

    async def conflicting(self: Any, user_id: int, _: int) -> Any:
        return self._where(
            lambda one, __: (
                one.user_id == user_id
                and one.source == "cart"
                and one.step is not Step.ACCEPTED
                and one.status is Status.PROCESSING
            )
        )

    async def none(self: Any, user_id: int) -> Any:
        return []

    with (
        patch.object(MemorySessions, "conflicting", conflicting),
        patch.object(MemorySessions, "uncleared_purchases", none),
    ):
        yield


@mistake
def purchases_removed_again() -> Iterator[None]:
    """An event that comes twice takes twice as much out of the cart."""

    def after(line: Line, _: str, quantity: int) -> Line | None:
        if not quantity:
            return line
        return None if line.quantity <= quantity else replace(line, quantity=line.quantity - quantity)

    with patch.object(services.cart.domain, "_after", after):
        yield


@mistake
def an_order_for_each_event() -> Iterator[None]:
    """An event that comes twice makes two orders."""

    async def add(self: Any, orders: Any) -> int:
        for order in orders:
            self.kept[len(self.kept)] = order
        return len(orders)

    with patch.object(MemoryOrders, "add", add):
        yield


@mistake
def an_order_of_somebody_else() -> Iterator[None]:
    """The order goes to another user than the one who paid."""
    add = MemoryOrders.add

    async def add_to_another(self: Any, orders: Any) -> Any:
        return await add(self, [replace(order, user_id=order.user_id + 1) for order in orders])

    with patch.object(MemoryOrders, "add", add_to_another):
        yield


@mistake
def a_key_is_good_for_other_items() -> Iterator[None]:
    """A key that comes again with other items is answered with the checkout that has it."""

    async def find(self: Any, request: Any) -> Any:
        row = self._row_of(request.user_id, Origin.RESOURCE, request.key)
        return row.session if row else None

    with patch.object(MemorySessions, "find_accepted", find):
        yield


@mistake
def a_failed_key_starts_anew() -> Iterator[None]:
    """A key whose checkout has failed is free again."""
    row_of = MemorySessions._row_of

    def running_or_bought(self: Any, *key: Any) -> Any:
        row = row_of(self, *key)
        return None if row is not None and row.session.status is Status.FAILED else row

    with patch.object(MemorySessions, "_row_of", running_or_bought):
        yield


@mistake
def delivery_counted_twice() -> Iterator[None]:
    """A delivery that is reported again is counted again."""
    restock = MemoryWarehouse.restock

    async def again(self: Any, deliveries: Any) -> Any:
        for one in deliveries:
            if one.restock_id in self.deliveries:
                self.stock[one.product_id][0] += one.quantity
        return await restock(self, deliveries)

    with patch.object(MemoryWarehouse, "restock", again):
        yield


@mistake
def charged_before_it_is_written() -> Iterator[None]:
    """The bank is asked before the intent is stored, so that a cancel meanwhile finds nothing to cancel there."""

    async def charge(self: Any, request: Any) -> Any:
        try:
            intent = Payment(request.checkout_id, request.user_id, request.amount_minor, request.currency, State.INTENT)
            state, reference = await self._provider.charge(intent)
            await self._payments.insert_intent(request)
            return await self._payments.decide(request.checkout_id, state, reference)
        except Exception as error:  # noqa: BLE001 - as the real one
            return error

    with patch.object(PaymentProcessor, "_charge", charge):
        yield


@mistake
def outcomes_in_the_wrong_order() -> Iterator[None]:
    """The outcomes of a batch go to the wrong callers."""
    init = Batcher.__init__

    def with_reversed(self: Any, name: str, send: Any, *args: Any, **options: Any) -> None:
        async def reversed_send(items: Any) -> Any:
            return list(reversed(await send(items)))

        init(self, name, reversed_send, *args, **options)

    with patch.object(Batcher, "__init__", with_reversed):
        yield


@mistake
def no_second_look() -> Iterator[None]:
    """A driver whose write had no reply takes it for not done, and writes a failure instead."""

    async def write(self: Any, before: Session, after: Session) -> Session:
        try:
            return await self._sessions.move(before, after)
        except OutcomeUnknown:
            if before.step is not Step.PAYING:
                raise
            return await self._sessions.move(before, replace(after, step=Step.RELEASING, status=Status.PROCESSING))

    with patch.object(Driver, "_write_step", write):
        yield


@mistake
def a_worker_of_the_operator_dies() -> Iterator[None]:
    """A worker meets an error outside the work for one resource, and ends."""
    retry = WorkQueue.retry

    def without_a_handle(self: Any, name: Any) -> None:
        retry(self, name)
        raise KeyError(name)

    with patch.object(WorkQueue, "retry", without_a_handle):
        yield


@mistake
def cache_filled_across_a_write() -> Iterator[None]:
    """A reader stores what it has read although a write came by meanwhile."""
    script = Keys._script

    def without_a_lease(self: Any, value: bytes, writers: bytes, lease: bytes, operation: bytes, *more: Any) -> Any:
        if operation == b"fill":
            _, arguments, now = more  # it may be older than what is there, and a write may be under way
            self.values[value] = (arguments[1], now + int(arguments[3]))
            return [b"fill", b"", 0]
        return script(self, value, writers, lease, operation, *more)

    with patch.object(Keys, "_script", without_a_lease):
        yield
