"""Runs schedules on one platform that stays up: a fault is switched on in the running processes, and only what it kills starts again.

The next schedule begins as soon as the fault of the last has struck and its part serves again. Whoever still waits then, for a
lease to end or for a recovery, goes on beside it, and is judged when nothing of theirs is under way any more.
"""

import asyncio
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from devstack.client import Stack
from devstack.table import PARTS, STORES
from tests.torture.customers import CASTS, Customer, Violated
from tests.torture.journal import Entry, Verdict
from tests.torture.orders import Desk, Order
from tests.torture.plan import FOUND, NOBODY, Schedule, struck_parts
from tests.torture.points import STORE_OF, Fault, Kind, Point
from tests.torture.shop import Shop
from tests.torture.verify import check

AT_ONCE = 10
"""How many schedules may wait for their end at the same time."""
STRIKE_SECONDS = 2.0
"""How long a fault may still strike after the customers have ended: offsets and resources follow a purchase."""
ROUND_SECONDS = {"inventory-sweeper": 6.0, "operator": 6.0}
"""The same for parts that do by themselves what passes a point: the sweeper and the comparison come every 5 s."""
QUIET_SECONDS = 1.0
SERVES_SECONDS = 90.0
PAUSES = {
    "checkout": 11.0,  # a saga's lease is 10 s
    "checkout-recovery": 11.0,
    "checkout-relay": 6.0,  # the relay's lease is 5 s
    "cart": 6.0,  # a writer's token lives 5 s
    "cart-consumer": 7.0,  # a session of the group is 6 s
    "orders-consumer": 7.0,
}
ANSWERING = frozenset({"gateway", "cart", "product", "inventory", "payment", "bank", "checkout", "operator"})
"""The parts that customers wait for: while one of them is struck, the next schedule waits. Workers are struck beside it."""
BEHIND = {"cart-consumer": "checkout-relay", "orders-consumer": "checkout-relay"}
"""Which parts pass their points only while another works."""
LATE_ADDS = frozenset({Fault.LATE, Fault.DUPLICATED})


class Campaign:
    """Schedules on a running platform."""

    def __init__(self, shop: Shop, stack: Stack, desk: Desk, done: Callable[[Entry], None]) -> None:
        """`done` gets the entry of each schedule that has ended."""
        self._shop = shop
        self._stack = stack
        self._desk = desk
        self._done = done
        self._users = itertools.count(secrets.randbelow(10**9) + 2 * 10**9)
        self._settling: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._struck: dict[str, asyncio.Task[None]] = {}
        """The parts that do not serve yet, and who waits for each."""
        self._ports = {row["name"]: row["ports"] for row in stack.rows()}
        self.answers: dict[str, str] = {}
        """What customers were told: checkout → status."""

    async def record(self, cast: str) -> Mapping[Point, int]:
        """Let a customer of a cast shop without a fault, and return how often each point was passed meanwhile."""
        recording = cast.replace(" ", "-")
        self._desk.give([], recording=recording, stores={}, pauses=PAUSES)
        if cast != NOBODY:
            customer = self._customer(cast)
            await customer.run(self._shop)
            await check(self._shop, [customer], self._all_serve)
            self.answers |= {customer.checkout_id: customer.status} if customer.status else {}
        before, since = self._desk.seen(recording), time.monotonic()
        while time.monotonic() - since < QUIET_SECONDS:
            await asyncio.sleep(0.1)
            if (now := self._desk.seen(recording)).keys() != before.keys():
                before, since = now, time.monotonic()
        self._desk.clear()
        return before

    def found(self, known: Collection[Point]) -> Mapping[Point, int]:
        """Return the points that were passed while faults struck, and that are not known."""
        return {point: 1 for point in self._desk.seen(FOUND) if point not in known}

    async def run(self, schedule: Schedule) -> None:
        """Run a schedule until its faults have struck and what they hit serves again; its end is awaited beside the next."""
        await self._room.acquire()
        started = time.monotonic()
        await self._needed(schedule)
        rows = await asyncio.to_thread(self._stack.rows) if _kills_store(schedule) else []
        stores = {row["name"]: row["pid"] for row in rows if row["name"] in STORES and row["pid"]}
        number = self._desk.give(schedule.orders, recording=FOUND, stores=stores, pauses=PAUSES)
        customers = [self._customer(cast) for cast in schedule.casts]
        late = sum(one.fault in LATE_ADDS and _is_cart_write(one.point) for one in schedule.orders)
        for one in customers:
            one.late = late
        shopping = [asyncio.create_task(one.run(self._shop)) for one in customers]
        await self._until_struck(schedule, number, shopping)
        struck = self._desk.struck(number, schedule.orders)
        done = [one for one, is_struck in zip(schedule.orders, struck, strict=True) if is_struck]
        self._desk.take_back()
        self._await_serving(schedule, done)
        took = time.monotonic() - started
        settling = self._settle(schedule, customers, shopping, tuple(one.fault for one in done), took)
        task = asyncio.create_task(settling)
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def drain(self) -> None:
        """Wait until every schedule has ended."""
        while self._settling:
            await asyncio.wait(self._settling)
        for ready in self._struck.values():
            await ready
        self._struck.clear()
        self._desk.clear()

    async def abandon(self) -> None:
        """Let go of what has not ended, and wait until it has stopped: the shop may be closed then."""
        for task in self._settling:
            task.cancel()
        await asyncio.gather(*self._settling, return_exceptions=True)

    async def _settle(
        self,
        schedule: Schedule,
        customers: Sequence[Customer],
        shopping: Sequence[asyncio.Task[None]],
        struck: tuple[str, ...],
        took: float,
    ) -> None:
        reached = Verdict.HELD if len(struck) == len(schedule.orders) else Verdict.HELD_IN_PART
        verdict, why = reached if struck else Verdict.NOT_REACHED, ""
        try:
            await asyncio.wait(shopping)
            await asyncio.gather(*shopping)
            await check(self._shop, customers, self._all_serve)
        except Violated as error:
            verdict, why = Verdict.VIOLATED, str(error)
        except asyncio.CancelledError:
            for task in shopping:
                task.cancel()
            await asyncio.gather(*shopping, return_exceptions=True)
            raise
        except Exception as error:  # noqa: BLE001 - a customer or a check that fails in another way is no proof of anything
            verdict, why = Verdict.VIOLATED, f"unexpected: {error!r}"
        finally:
            self._room.release()
        self.answers |= {one.checkout_id: one.status for one in customers if one.status and one.checkout_id}
        self._done(Entry(schedule.name, verdict, struck, round(took, 3), why, schedule.again))

    async def _until_struck(self, schedule: Schedule, number: str, shopping: Sequence[asyncio.Task[None]]) -> None:
        """Wait until every fault has struck, or none can any more."""
        ended_at = None
        parts = [one.point.split(" ", 1)[0] for one in schedule.orders]
        patience = max(ROUND_SECONDS.get(part, STRIKE_SECONDS) for part in parts)
        while not all(self._desk.struck(number, schedule.orders)):
            if ended_at is None and all(task.done() for task in shopping):
                ended_at = time.monotonic()
            if ended_at is not None and time.monotonic() - ended_at > patience:
                return
            await asyncio.sleep(0.02)

    async def _needed(self, schedule: Schedule) -> None:
        """Wait until the parts that a schedule needs serve; Violated where one does not in time."""
        parts = {one.point.split(" ", 1)[0] for one in schedule.orders}
        parts |= {BEHIND[part] for part in parts if part in BEHIND} | ANSWERING | set(STORES)
        for part in parts & set(self._struck):
            await self._struck.pop(part)

    def _await_serving(self, schedule: Schedule, done: Sequence[Order]) -> None:
        """Begin to wait until what was struck serves again."""
        for store in {STORE_OF[Point.parse(one.point).kind] for one in done if one.fault is Fault.STORE_KILLED}:
            ready = asyncio.to_thread(self._stack.wait_ready, store, timeout=SERVES_SECONDS)
            self._struck[store] = asyncio.create_task(ready)
        for part in struck_parts(done):
            port = self._ports[part][-1]
            ready = until(lambda port=port: self._shop.ready(port), f"{part} serves again after {schedule.name}")
            self._struck[part] = asyncio.create_task(ready)

    async def _all_serve(self) -> None:
        """Wait until everything that was struck serves again."""
        for ready in tuple(self._struck.values()):
            await asyncio.shield(ready)

    def _customer(self, cast: str) -> Customer:
        assert cast in CASTS
        return Customer(next(self._users), cast)


async def until(good: Callable[[], Awaitable[bool]], what: str, seconds: float = SERVES_SECONDS) -> None:
    """Wait until something holds; Violated where it does not in time."""
    ends_at = time.monotonic() + seconds
    while not await good():
        if time.monotonic() > ends_at:
            raise Violated(f"I10: not within {seconds:.0f} s: {what}")
        await asyncio.sleep(0.1)


def _kills_store(schedule: Schedule) -> bool:
    return any(one.fault is Fault.STORE_KILLED for one in schedule.orders)


def _is_cart_write(point: str) -> bool:
    found = Point.parse(point)
    return found.part == "gateway" and found.kind is Kind.RPC and "Cart" in found.what


assert set(PAUSES) <= set(PARTS)
