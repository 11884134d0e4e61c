"""The promises I1 to I10, held against the stores themselves: after every change where they hold at every moment, and at rest.

The stores are read directly, never through the services. What shoppers were told is held against them too.
"""

import json
import traceback
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from services.bank.domain import State as BankState
from services.checkout.domain import Origin, Session, Source, Status
from services.checkout.saga import TRANSITIONS
from services.inventory.domain import State as StockState
from services.payment.domain import State as PaymentState
from tests.simulation.books import Bought, wrong
from tests.simulation.plan import PRODUCTS

ENDED = frozenset({"Completed", "Failed"})
HELD = frozenset({StockState.HELD, StockState.PINNED})


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept, and by what."""

    promise: str
    what: str
    trace: str = ""

    def __str__(self) -> str:
        return f"{self.promise}: {self.what}"


class Invariants:
    """Watches one world."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self.first: Violation | None = None
        self._ended: dict[str, Session] = {}
        """Sessions as they were when they ended."""
        self._by_key: dict[tuple[int, Origin, str], str] = {}

    def broken(self, promise: str, what: str, error: BaseException | None = None) -> None:
        """Note a violation and end the schedule; the first one counts."""
        if self.first is None:
            trace = "".join(traceback.format_exception(error)) if error else ""
            self.first = Violation(promise, what, trace)
            self._world.tell(f"** VIOLATION {promise}: {what}")
            self._world.loop.stop()

    # At every change.

    def wrote(self, before: Session | None, after: Session) -> None:
        """Check a row of a checkout that was inserted or has changed."""
        world = self._world
        key = (after.user_id, after.origin, after.key)
        if before is None:
            world.reached(f"step: new -> {after.step}")
            if key in self._by_key:
                self.broken("I6 one checkout per key", f"{key} has {self._by_key[key]} and {after.id}")
            self._by_key[key] = after.id
        else:
            world.reached(f"step: {before.step} -> {after.step}")
            allowed = after.step in TRANSITIONS[before.step] or after.step in {
                later for step in TRANSITIONS[before.step] for later in TRANSITIONS[step]
            }
            if not allowed:
                self.broken("saga", f"{after.id} went from {before.step} to {after.step}")
            if before.status is not Status.PROCESSING:
                self.broken("I6 ended is ended", f"{after.id} was {before.status} and is {after.status}")
        if after.status is not Status.PROCESSING:
            world.reached(f"ended: {after.status} {after.reason or ''}".rstrip())
            self._ended[after.id] = after
            self._money_of(after)
        running = [
            row.session.id
            for row in world.tables.rows.values()
            if row.session.user_id == after.user_id
            and row.session.status is Status.PROCESSING
            and row.session.source is Source.CART
            and row.session.step != "ACCEPTED"
        ]
        if len(running) > 1:
            self.broken("one running checkout per cart", f"{running} run at once")

    def _money_of(self, session: Session) -> None:
        there = self._world.ledger.kept.get(session.id)
        captured = there is not None and there.state is BankState.CAPTURED
        if session.status is Status.FAILED and captured:
            self.broken("I1 money", f"{session.id} has failed ({session.reason}), and its money is captured")
        if session.status is Status.COMPLETED and not captured:
            self.broken("I1 money", f"{session.id} is completed, and no money is captured")

    def stored(self, store: str, method: str) -> None:
        """Check after a change of a store."""
        if store == "bank-database":
            self._money()
        elif store == "redis":
            if method == "fill":
                self._cache()
        elif method in {"reserve", "pin", "confirm", "release", "expire", "restock"}:
            self._stock()
        elif method == "add":
            self._orders()

    def _money(self) -> None:
        """Every capture belongs to a checkout that has not failed, and is of its amount. One key is one capture."""
        world = self._world
        for key, transaction in world.ledger.kept.items():
            if transaction.state is not BankState.CAPTURED:
                continue
            row = world.tables.rows.get(key)
            if row is None:
                self.broken("I1 money", f"{transaction.amount_minor} were captured for {key}, which is no checkout")
            elif row.session.status is Status.FAILED:
                self.broken("I1 money", f"{key} has failed, and its money is captured afterwards")
            elif row.session.total_minor != transaction.amount_minor:
                self.broken("I1 money", f"{key} costs {row.session.total_minor}, captured {transaction.amount_minor}")

    def _stock(self) -> None:
        """Nothing appears or vanishes: received = available + reserved + sold, each as the reservations say."""
        world = self._world
        reserved: Counter[int] = Counter()
        sold: Counter[int] = Counter()
        for state, lines, _ in world.warehouse.heads.values():
            books = reserved if state in HELD else sold if state is StockState.CONFIRMED else None
            if books is not None:
                for product_id, quantity in lines:
                    books[product_id] += quantity
        received = world.received()
        for product_id, figures in world.warehouse.stock.items():
            available, held, gone = figures
            wanted = [
                received[product_id] - reserved[product_id] - sold[product_id],
                reserved[product_id],
                sold[product_id],
            ]
            if figures != wanted or min(figures) < 0:
                self.broken(
                    "I2 stock",
                    f"product {product_id}: available {available}, reserved {held}, sold {gone};"
                    f" the reservations say {wanted}",
                )

    def _cache(self) -> None:
        """No reader is shown a cart from before a write that was acknowledged."""
        world = self._world
        for user_id, acknowledged in world.acknowledged.items():
            shown = world.redis.shown(user_id, int(world.loop.now * 1000))
            if shown is not None and shown < acknowledged and not world.may_be_stale(user_id):
                self.broken(
                    "I9 cart reads",
                    f"the cache shows version {shown} to user {user_id}, {acknowledged} was acknowledged",
                )

    def _orders(self) -> None:
        """An order is that of a completed checkout, once, with its lines and its total."""
        world = self._world
        seen: set[str] = set()
        for order in world.orders.kept.values():
            row = world.tables.rows.get(order.checkout_id)
            if order.checkout_id in seen:
                self.broken("I3 orders", f"{order.checkout_id} has two orders")
            seen.add(order.checkout_id)
            if row is None or row.session.status is not Status.COMPLETED:
                self.broken("I3 orders", f"an order of {order.checkout_id}, which is not completed")
                continue
            session = row.session
            lines = [(line.product_id, line.quantity, line.unit_price_minor) for line in session.lines]
            paid = (session.order_id, session.user_id, session.total_minor)
            ordered = [(line.product_id, line.quantity, line.unit_price_minor) for line in order.lines]
            if (order.id, order.user_id, order.total_minor) != paid or ordered != lines:
                self.broken("I3 orders", f"the order of {order.checkout_id} is not what was bought")

    def shown(self, body: dict[str, Any]) -> None:
        """A resource is never ahead of its checkout, and shows the end of none that runs."""
        status, row = body.get("status") or {}, self._row_of(body)
        version = int(status.get("sagaVersion") or 0)
        if not version:
            return
        if row is None or version > row.session.version:
            self.broken("I7 resources", f"{body['metadata']['name']} shows version {version} of {row and row.session}")
        elif status["phase"] in ENDED and status["phase"].upper() != row.session.status:
            self.broken("I7 resources", f"{body['metadata']['name']} shows {status['phase']} of {row.session}")

    def _row_of(self, body: dict[str, Any]) -> Any:
        """Return the row of the checkout that a resource is about; None where it has none."""
        rows, spec = self._world.tables.rows, body["spec"]
        if spec.get("managedBy") == "mirror":
            return rows.get(spec["checkoutId"])
        key = (spec["userId"], Origin.RESOURCE, spec.get("idempotencyKey") or body["metadata"]["uid"])
        return rows.get(self._by_key.get(key, ""))

    def _lagging(self) -> list[str]:
        """Return the resources that do not show their checkout as it is."""
        lagging = []
        for name, body in self._world.apiserver.objects.items():
            status, row = body.get("status") or {}, self._row_of(body)
            if row is None or (status.get("sagaVersion"), str(status.get("phase")).upper()) != (
                row.session.version,
                row.session.status,
            ):
                lagging.append(name)
        return lagging

    # At rest.

    def unrest(self) -> str:
        """Return what is still under way, or nothing."""
        world = self._world
        busy: list[str] = []
        if not all(shopper.done for shopper in world.shoppers):
            busy.append(f"shoppers {[one.user_id for one in world.shoppers if not one.done]} wait")
        busy += [
            f"{row.session.id} is {row.session.step} ({row.error})"
            for row in world.tables.rows.values()
            if row.session.status is Status.PROCESSING
        ]
        waiting = sum(not row.processed and not row.dead for row in world.tables.events)
        if waiting:
            busy.append(f"{waiting} events wait in the outbox")
        if lag := world.kafka.lag():
            busy.append(f"consumers lag by {lag}")
        held = [name for name, (state, _, _) in world.warehouse.heads.items() if state in HELD]
        if held:
            busy.append(f"stock of {held} is held")
        if lagging := self._lagging():
            busy.append(f"I7: {lagging} do not show their checkouts")
        if world.lives_to_come():
            busy.append("a process is down or paused")
        return "; ".join(busy)

    def at_rest(self) -> None:
        """Check what must hold once nothing is under way."""
        world = self._world
        self._money()
        self._stock()
        self._orders()
        sessions = [row.session for row in world.tables.rows.values()]
        completed = {one.id for one in sessions if one.status is Status.COMPLETED}
        captured = {key for key, one in world.ledger.kept.items() if one.state is BankState.CAPTURED}
        ordered = {order.checkout_id for order in world.orders.kept.values()}
        confirmed = {name for name, (state, _, _) in world.warehouse.heads.items() if state is StockState.CONFIRMED}
        for what, those in (("captured", captured), ("ordered", ordered), ("sold", confirmed)):
            if those != completed:
                promise = {"captured": "I1 money", "ordered": "I3 orders", "sold": "I2 stock"}[what]
                self.broken(promise, f"completed {sorted(completed)}, {what} {sorted(those)}")
        for name, payment in world.payments.kept.items():
            if payment.state is PaymentState.CAPTURED and name not in completed:
                self.broken("I1 money", f"{name} is captured in payment, and not completed")
        self._answers(sessions)
        for shopper in world.shoppers:
            self._told(shopper)
            self._cart(shopper.user_id)
            self._cached(shopper.user_id)
        if world.restocks_acknowledged - world.warehouse.deliveries:
            self.broken("I8 acknowledged", "a delivery was acknowledged and is not counted")
        strange = [
            record.value for log in world.kafka.dead_letters() for record in log if record.value != world.STRANGE
        ]
        if strange:
            self.broken("no event is set aside", f"{strange} are dead letters")
        dead = sum(row.dead for row in world.tables.events)
        if dead:
            self.broken("I10 progress", f"{dead} events were given up")

    def _answers(self, sessions: Collection[Session]) -> None:
        """The stored answer of a checkout says how it has ended, and has not changed since."""
        for session in sessions:
            ended = self._ended.get(session.id)
            if ended is not None and (ended.status, ended.response_body) != (session.status, session.response_body):
                self.broken("I6 ended is ended", f"{session.id} has another answer than when it ended")
            body = json.loads(session.response_body)
            if body["checkout_id"] != session.id or body["status"] != session.status:
                self.broken("I6 answers", f"the stored answer of {session.id} is {body}")

    def _told(self, shopper: Any) -> None:
        """What a shopper was told holds, whoever asks and however often."""
        rows = self._world.tables.rows
        for key, told in shopper.told.items():
            if len({(checkout_id, body) for checkout_id, _, body in told}) > 1:
                self.broken("I6 answers", f"user {shopper.user_id} was told of {key}: {told}")
            for checkout_id, status, _ in told:
                row = rows.get(checkout_id)
                if row is None or (row.session.status, row.session.key) != (status, key):
                    self.broken("I8 acknowledged", f"user {shopper.user_id} was told that {checkout_id} is {status}")

    def _cached(self, user_id: int) -> None:
        """What the cache shows is the document."""
        world = self._world
        shown = world.redis.shown(user_id, int(world.loop.now * 1000))
        cart = world.carts.kept.get(user_id)
        version = cart.version if cart else 0
        if shown is not None and not world.may_be_stale(user_id) and shown != version:
            self.broken("I9 cart reads", f"the cache shows version {shown} to user {user_id}, at rest it is {version}")

    def _cart(self, user_id: int) -> None:
        """What was put into a cart is there, or was bought, once."""
        world = self._world
        books = [one.books for one in world.shoppers if one.user_id == user_id]
        cart = world.carts.kept.get(user_id)
        there = Counter({line.product_id: line.quantity for line in cart.lines}) if cart else Counter()
        bought = [
            Bought(one.id, line.product_id, line.quantity)
            for one in (row.session for row in world.tables.rows.values())
            if one.user_id == user_id and one.status is Status.COMPLETED and one.source is Source.CART
            for line in one.lines
        ]
        for product_id in PRODUCTS:
            if what := wrong(books, product_id, there[product_id], bought):
                self.broken("I4 cart", f"user {user_id}, product {product_id}: {what}")
