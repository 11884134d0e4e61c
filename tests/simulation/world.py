"""A whole platform for one schedule: processes, stores and shoppers, from the first fault to rest."""

import asyncio
import contextvars
from collections import Counter
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from services.cart.cache import FRESH_MS, TOKEN_MS
from services.product.domain import Product
from tests.services.bank.memory import MemoryLedger
from tests.services.cart.memory import MemoryCarts
from tests.services.checkout.memory_tables import Tables
from tests.services.inventory.memory import MemoryWarehouse
from tests.services.orders.memory import MemoryOrders
from tests.services.payment.memory import MemoryPayments
from tests.simulation.apiserver import ApiServer
from tests.simulation.cart_user import CART_SECONDS
from tests.simulation.faults import CALLER_DIES, Draws, Fault, FaultPlan, Kind
from tests.simulation.invariants import Invariants, Violation
from tests.simulation.kafka import Broker
from tests.simulation.loop import Process, SimLoop, Stuck, running
from tests.simulation.network import Network
from tests.simulation.plan import PRODUCTS, SETTLE_SECONDS, Plan, plan_of
from tests.simulation.processes import ROLES, TOPIC, Runtime
from tests.simulation.redis import Keys
from tests.simulation.shoppers import Shopper
from tests.simulation.stores import Outage
from tests.simulation.virtual import virtual

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
PARTITIONS = 2
REPLICATED = frozenset({"checkout", "recovery", "relay", "payment", "cart", "cart-consumer", "orders-consumer"})
LOOK_EVERY = 0.7
STALE_SECONDS = (TOKEN_MS + FRESH_MS) / 1000 + 2 * CART_SECONDS
"""For how long a cart may be read without a write of which Redis did not know: the write may take as long as its token lives, a
reader of before it then stores what it has read, which is trusted for so long, and the last who reads it needs time too."""


class MemoryProducts:
    """Fits the port Products of the catalogue."""

    def __init__(self) -> None:
        self._products = [
            Product(number, f"product {number}", "", 100 * number, "USD", "", EPOCH) for number in PRODUCTS
        ]

    async def all(self) -> list[Product]:
        """Return every product."""
        return list(self._products)

    async def by_ids(self, ids: Collection[int]) -> list[Product]:
        """Return those of them that exist."""
        return [one for one in self._products if one.id in ids]


class World:
    """The platform and its shoppers."""

    STRANGE = b"no event"
    """What somebody publishes who has nothing to say."""

    def __init__(self, seed: int, *, removed: Collection[str] = (), tell: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.loop = SimLoop(seed)
        self.loop.unexpected = lambda process, told: self.unexpected(
            process, told["message"], {"exc_info": told.get("exception")}
        )
        self.draws = Draws(seed)
        self.plan: Plan = plan_of(self.draws)
        plan = self.plan
        self.faults = FaultPlan(
            draws=self.draws,
            rate=plan.rate,
            kinds=plan.kinds,
            until=plan.heals_at,
            hot=plan.hot,
            hot_rate=plan.hot_rate,
            removed=removed,
        )
        self.coverage: Counter[str] = Counter()
        self.telling = tell is not None
        self._tell = tell
        self._latencies: Counter[str] = Counter()
        self._lives: Counter[str] = Counter()
        self._processes: dict[str, Process] = {}
        self._serving: dict[Process, list[Any]] = {}
        self._offsets: dict[str, float] = {}
        self.database_offset = 0.0
        self.healed = False
        self.checkout_timeout = self.plan.checkout_timeout
        self.success_rate = self.plan.success_rate
        self._make_stores()
        self.network = Network(self)
        self.invariants = Invariants(self)
        self.shoppers: list[Shopper] = []
        self.restocked: dict[str, tuple[int, int]] = {}
        """Every delivery that was sent: (product, quantity)."""
        self.restocks_acknowledged: set[str] = set()
        self.acknowledged: dict[int, int] = {}
        """The newest version of each user's cart that a shopper was told of as written."""
        self._stale_until: dict[int, float] = {}
        """By user, for a write in whose middle Redis has lost its data."""
        self._unseen_until = 0.0
        """For any write that was made while Redis did not answer."""

    def _make_stores(self) -> None:
        loop, plan = self.loop, self.plan
        self.database, self.bank_database = Outage("database"), Outage("bank-database")
        self.mongo, self.redis_outage = Outage("mongo"), Outage("redis")
        self.api_outage, self.apiserver = Outage("apiserver"), ApiServer(self)
        self.tables = Tables(
            now=self.database_time,
            clock=lambda: EPOCH + timedelta(seconds=self.database_time()),
            new_id=self._new_id,
            dice=lambda: self.draws.fraction("dice", loop.next_serial()),
            wrote=self._wrote,
        )
        self.warehouse = MemoryWarehouse(plan.reservation_ttl, self.database_time)
        self.warehouse.stock = {product_id: [plan.stock, 0, 0] for product_id in PRODUCTS}
        self.payments = MemoryPayments(resolve_after=4.0, now=self.database_time)
        self.ledger = MemoryLedger()
        self.orders = MemoryOrders()
        self.carts = MemoryCarts()
        self.products = MemoryProducts()
        self.redis = Keys()
        self.kafka = Broker(self, {TOPIC: PARTITIONS, f"{TOPIC}.dlq": 1}, dict.fromkeys(("cart", "orders"), TOPIC))

    def _new_id(self) -> str:
        return f"00000000-0000-4000-8000-{self.loop.next_serial():012x}"

    # Time and chance.

    def database_time(self) -> float:
        """Return the time of the database's clock, in seconds."""
        return self.loop.now + self.database_offset

    def clock(self, process: Process) -> datetime:
        """Return the wall clock of a process, in whole milliseconds."""
        return EPOCH + timedelta(milliseconds=int((self.loop.now + self._offsets.get(process.name, 0.0)) * 1000))

    def latency(self, point: str) -> float:
        """Return how long a message takes, in seconds."""
        number = self._latencies[point] = self._latencies[point] + 1
        fraction = self.draws.fraction(point, number, 6)
        return 0.0003 + 0.004 * fraction * fraction

    # What happens to processes.

    def mortal(self, process: Process) -> bool:
        """Return whether a process can be killed; shoppers cannot."""
        return process.name in self._processes

    def strike(self, client: Process, point: str, possible: Collection[Kind]) -> Fault | None:
        """Return the fault of the next call of a point, and let it act on the caller at once where it is about the caller."""
        fault = self.faults.at(point, self.loop.now, possible)
        if fault and fault.kind in CALLER_DIES and not self.mortal(client):
            fault = None
        if self.telling:
            self.tell(f"{point}{f'   !! {fault.kind.value}' if fault else ''}")
        if fault:
            self.reached(f"fault: {fault.kind.value}")
            if fault.kind is Kind.KILLED_BEFORE:
                self.kill(client)
            elif fault.kind is Kind.PAUSED:
                self.pause(client, fault.after)
        return fault

    def kill(self, process: Process) -> None:
        """Kill a process where it is; another life begins a little later."""
        if not process.alive:
            return
        self.tell(f"## {process.name} is killed")
        self.loop.kill(process)
        for call in self._serving.pop(process, ()):
            call.lost()
        delay = self.draws.between(0.1, 3.0, process.name, self._lives[process.name], 7)
        self.loop.at(self.loop.world, delay, self.start, process.name)

    def pause(self, process: Process, seconds: float) -> None:
        """Pause a process for so many seconds."""
        if process.alive and not process.paused:
            self.tell(f"## {process.name} is paused for {seconds:.1f} s")
            self.loop.pause(process)
            self.loop.at(self.loop.world, seconds, self._resume, process)

    def _resume(self, process: Process) -> None:
        if process.paused and process.alive:
            self.tell(f"## {process.name} goes on")
        self.loop.resume(process)

    def start(self, name: str) -> None:
        """Begin a life of a process."""
        process = self._processes[name] = Process(name)
        self._lives[name] += 1
        if self._lives[name] > 1:
            self.tell(f"## {name} starts again")
            self.reached(f"restarted: {name.rstrip('-12')}")
        with self.loop.as_process(process):
            runtime = Runtime(self, process, self._lives[name])
            task = self.loop.create_task(ROLES[name.rstrip("-12")](runtime), context=contextvars.Context())
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Report what has ended a process, or the audit, by itself."""
        if error := task.exception():
            told = {"message": "it has ended", "task": task, "exception": error}
            self.loop.call_exception_handler(told)

    def serving(self, process: Process, call: Any) -> None:
        """Note that a process answers a call."""
        self._serving.setdefault(process, []).append(call)

    def served(self, process: Process, call: Any) -> None:
        """Note that it has."""
        calls = self._serving.get(process)
        if calls and call in calls:
            calls.remove(call)

    # What is watched.

    def reached(self, what: str) -> None:
        """Count that something was reached."""
        self.coverage[what] += 1
        if what == "cart_cache{write_unseen}":
            self._unseen_until = self.loop.now + STALE_SECONDS

    def tell(self, what: str) -> None:
        """Add a line to the story."""
        if self._tell:
            self._tell(f"{self.loop.now:9.4f}  {what}")

    def silence(self) -> None:
        """Tell nothing more: the schedule is over."""
        self.telling, self._tell = False, None
        self.loop.unexpected = lambda *_: None

    def unexpected(self, process: Process, what: str, facts: Any) -> None:
        """Report a failure that the services did not foresee: it is one of the model or one of theirs."""
        error = facts.get("exc_info")
        self.invariants.broken("no unexpected failure", f"{process.name}: {what}: {error!r}", error)

    def stored(self, store: str, method: str) -> None:
        """Check what must hold after every change of a store."""
        self.invariants.stored(store, method)

    def _wrote(self, before: Any, after: Any) -> None:
        self.invariants.wrote(before, after)

    def received(self) -> Counter[int]:
        """Return how many pieces of each product were ever received."""
        received = Counter(dict.fromkeys(PRODUCTS, self.plan.stock))
        for restock_id in self.warehouse.deliveries:
            product_id, quantity = self.restocked[restock_id]
            received[product_id] += quantity
        return received

    def lives_to_come(self) -> bool:
        """Return whether a process is down or paused at this moment."""
        return any(not process.alive or process.paused for process in self._processes.values())

    def may_be_stale(self, user_id: int) -> bool:
        """Return whether a user may be shown an old cart: Redis lost its data in the middle of a write, or did not answer to it."""
        return self.loop.now < max(self._unseen_until, self._stale_until.get(user_id, 0.0))

    def lose_cache(self) -> None:
        """Have Redis lose its data."""
        for user_id in self.redis.flush(int(self.loop.now * 1000)):
            self.reached("cache lost in the middle of a write")
            self._stale_until[user_id] = self.loop.now + STALE_SECONDS

    # The schedule.

    def run(self) -> Violation | None:
        """Run the schedule, and return what was violated first; None where every promise was kept."""
        with running(self.loop), virtual(self):
            roles = [role for role in ROLES if role != "operator" or self.plan.operator]
            names = [name for role in roles for name in self._replicas(role)]
            for name in names:
                self.start(name)
            for number in range(self.plan.shoppers):
                self.shoppers.append(Shopper(self, number))
            for shopper in self.shoppers:
                self.loop.spawn(shopper.process, shopper.live())
            self._plan_events()
            self.loop.at(self.loop.world, self.plan.heals_at, self._heal)
            self.loop.at(self.loop.world, LOOK_EVERY, self._look)
            self.kafka.watch()
            try:
                self.loop.run()
            except Stuck:
                self.invariants.broken("progress", "nothing is left to run")
            self.loop.tell_failed()
        return self.invariants.first

    def _replicas(self, role: str) -> list[str]:
        count = self.plan.replicas if role in REPLICATED else 1
        return [f"{role}-{number}" for number in range(1, count + 1)] if role in REPLICATED else [role]

    def _plan_events(self) -> None:
        plan = self.plan
        events: list[tuple[str, float, Callable[..., None], tuple[Any, ...]]] = [
            *((f"outage {n}", when, self._outage, (what, span)) for n, (what, when, span) in enumerate(plan.restarts)),
            *((f"flush {n}", when, self._flush, ()) for n, when in enumerate(plan.flushes)),
            *((f"rebalance {n}", when, self._rebalance, ()) for n, when in enumerate(plan.rebalances)),
            *((f"clock jump {n}", when, self._jump, (n, by)) for n, (when, by) in enumerate(plan.clock_jumps)),
        ]
        if plan.operator:
            events += [(f"silent watch {n}", when, self._silence, ()) for n, when in enumerate(plan.silences)]
            events += [
                (f"overwritten status {n}", when, self._overwrite_statuses, ())
                for n, when in enumerate(plan.overwrites)
            ]
        if plan.strangers:
            events.append(("a stranger's message", 0.4, self.kafka.append, (TOPIC, self.STRANGE, b"1", ())))
        for name, when, act, args in events:
            if self.faults.custom(name):
                self.loop.at(self.loop.world, when, act, *args)

    def _outage(self, what: str, seconds: float) -> None:
        self.tell(f"## {what} goes away for {seconds:.1f} s")
        self.reached(f"outage: {what}")
        if what == "kafka":
            self.kafka.down = True
        else:
            for store in self._outages(what):
                store.down, store.restarts = True, store.restarts + 1
        if what == "redis":
            self.lose_cache()
        self.loop.at(self.loop.world, seconds, self._back, what)

    def _outages(self, what: str) -> list[Outage]:
        return {
            "database": [self.database],
            "bank": [self.bank_database],
            "mongo": [self.mongo],
            "apiserver": [self.api_outage],
            "redis": [self.redis_outage],
        }[what]

    def _back(self, what: str) -> None:
        self.tell(f"## {what} is back")
        if what == "kafka":
            self.kafka.down = False
            return
        for store in self._outages(what):
            store.down = False

    def _flush(self) -> None:
        self.tell("## redis is flushed")
        self.reached("cache flushed")
        self.lose_cache()

    def _silence(self) -> None:
        self.tell("## the watches fall silent")
        self.reached("operator: watch fell silent")
        self.apiserver.fall_silent()

    def _overwrite_statuses(self) -> None:
        self.tell("## somebody overwrites every status")
        self.reached("operator: status overwritten")
        self.apiserver.overwrite_statuses()

    def _rebalance(self) -> None:
        self.tell("## the consumer groups rebalance")
        for group in self.kafka.groups.values():
            self.kafka.rebalance(group)

    def _jump(self, number: int, seconds: float) -> None:
        names = sorted(self._processes)
        choice = self.draws.whole(len(names) + 3, "jumps", number)
        if choice >= len(names):
            self.tell(f"## the clock of the database jumps by {abs(seconds):.0f} s")
            self.reached("clock jumped: database")
            self.database_offset += abs(seconds)
        else:
            self.tell(f"## the clock of {names[choice]} jumps by {seconds:.0f} s")
            self.reached("clock jumped: process")
            self._offsets[names[choice]] = seconds

    def _heal(self) -> None:
        self.tell("## everything heals")
        self.healed = True
        for process in self._processes.values():
            self._resume(process)
        for store in (self.database, self.bank_database, self.mongo, self.redis_outage, self.api_outage):
            store.down = False
        self.kafka.down = False
        self.ledger.behaviours.clear()

    def _look(self) -> None:
        """End the schedule once everything is at rest, or has had its time."""
        busy = self.invariants.unrest()
        if not busy and any(self.may_be_stale(one.user_id) for one in self.shoppers):
            busy = "a cart may be old for a while"
        if busy:
            self._hurry(busy)
            self.loop.at(self.loop.world, LOOK_EVERY, self._look)
            return
        self.tell("## everything is at rest")
        self.invariants.at_rest()
        self.loop.spawn(self.loop.world, self._audit()).add_done_callback(self._ended)

    def _hurry(self, busy: str) -> None:
        """Report what is still under way once it has had its time."""
        if self.loop.now > self.plan.heals_at + SETTLE_SECONDS:
            self.invariants.broken("I10 progress", f"{SETTLE_SECONDS:.0f} s after the last fault: {busy}")

    async def _audit(self) -> None:
        """Let every shopper ask once more, and stop."""
        self.faults.until = 0.0
        self._heal()
        with self.loop.as_process(Process("auditor")):
            work = [self.loop.create_task(shopper.audit()) for shopper in self.shoppers]
        await asyncio.wait(work, timeout=60)
        for task in work:
            if not task.done():
                self.invariants.broken("I10 progress", "a replay got no answer in 60 s")
            elif task.exception() is not None:
                raise task.exception()
        while busy := self.invariants.unrest():  # a statement that came late has begun a checkout
            self._hurry(busy)
            await asyncio.sleep(LOOK_EVERY)
        self.invariants.at_rest()
        self.loop.stop()
