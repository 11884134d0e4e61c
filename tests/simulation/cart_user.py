"""What a shopper does to its cart: it puts in, takes out, sets, clears and looks, and keeps books of it.

What it puts in may be applied twice if it repeats it.
"""

import asyncio
from collections import Counter
from typing import Any

from services.chassis import call
from services.chassis.client import outcomes
from services.errors import Fault, InternalError, NotFound, OutcomeUnknown, Unavailable
from services.pb import cart_pb2, cart_pb2_grpc
from tests.simulation.books import Books, Removal
from tests.simulation.loop import Process
from tests.simulation.network import SimEndpoint
from tests.simulation.plan import PRODUCTS
from tests.simulation.quiet import QuietMetrics

UNKNOWN_PRODUCT = 99
CART_SECONDS = 2.0
NEW_QUANTITY, SET = 3, "quantity set"


class CartUser:
    """The user of a cart, or one of two windows of the same user."""

    def __init__(self, world: Any, number: int) -> None:
        self.world = world
        self.number = number
        draws = world.draws
        # The last of several shoppers may be a second window of the first one.
        same = number > 0 and draws.fraction("same user", number) < 0.35
        self.user_id = 1 if same else number + 1
        self.process = Process(f"shopper-{number + 1}")
        self.books = Books()
        self._draws = 0
        self._draws_apart: Counter[str] = Counter()
        self._carts = self._endpoint("cart")
        self._cart_stub = cart_pb2_grpc.CartServiceStub(self._carts.channel)

    def _endpoint(self, service: str) -> SimEndpoint:
        with self.world.loop.as_process(self.process):
            return SimEndpoint(self.world.network, self.process, service, QuietMetrics(self.world.reached))

    def draw(self, most: int) -> int:
        """Draw a whole number below `most`."""
        self._draws += 1
        number: int = self.world.draws.whole(most, f"shopper {self.number}", self._draws)
        return number

    def _draw_apart(self, what: str, most: int) -> int:
        """Draw as `draw` does, for `what` alone: whatever it decides, the other draws stay as they are."""
        self._draws_apart[what] += 1
        number: int = self.world.draws.whole(most, f"shopper {self.number} {what}", self._draws_apart[what])
        return number

    async def _fill(self) -> None:
        if self._draw_apart("puts in what there is not", 10) == 0:
            await self._put_in_what_there_is_not()
        for _ in range(1 + self.draw(2)):
            product_id, quantity = PRODUCTS[self.draw(len(PRODUCTS))], 1 + self.draw(2)
            item = cart_pb2.AddItem(user_id=self.user_id, product_id=product_id, quantity=quantity)
            for _ in range(8):
                asked_at = self.world.loop.now
                outcome = await self._cart(self._cart_stub.AddItems, cart_pb2.AddItemsRequest(items=[item]))
                if not isinstance(outcome, Fault):
                    self.books.added.append((product_id, quantity, asked_at))
                    self._acknowledged(outcome.version)
                    break
                if not isinstance(outcome, Unavailable):
                    self.books.maybe_added[product_id] += quantity
                await asyncio.sleep(0.2 + 0.1 * self.draw(5))

    async def _put_in_what_there_is_not(self) -> None:
        item = cart_pb2.AddItem(user_id=self.user_id, product_id=UNKNOWN_PRODUCT, quantity=1)
        outcome = await self._cart(self._cart_stub.AddItems, cart_pb2.AddItemsRequest(items=[item]))
        if isinstance(outcome, NotFound):
            self.world.reached(f"refused: {outcome}")
        elif not isinstance(outcome, Fault):
            self.world.invariants.broken("I3 orders", f"user {self.user_id} put in a product that there is not")

    async def _take_out(self) -> None:
        """Take a product out, set its quantity, or clear the cart."""
        product_id = PRODUCTS[self.draw(len(PRODUCTS))]
        await asyncio.sleep(0.01 * self.draw(10))
        stub, user_id, products = self._cart_stub, self.user_id, (product_id,)
        match self._draw_apart("takes out", 4):
            case 0:
                done, products = "cleared", PRODUCTS
                clear = cart_pb2.ClearCart(user_id=user_id)
                method, request = stub.ClearCarts, cart_pb2.ClearCartsRequest(items=[clear])
            case 1:  # to the books it is a removal of all, and perhaps an addition; but a purchase of before is of the same line
                done = SET
                self.books.maybe_added[product_id] += NEW_QUANTITY
                setting = cart_pb2.SetQuantity(user_id=user_id, product_id=product_id, quantity=NEW_QUANTITY)
                method, request = stub.SetQuantities, cart_pb2.SetQuantitiesRequest(items=[setting])
            case _:
                done = "line removed"
                removal = cart_pb2.RemoveItem(user_id=user_id, product_id=product_id)
                method, request = stub.RemoveItems, cart_pb2.RemoveItemsRequest(items=[removal])
        removals = [Removal(one) for one in products]
        self.books.removals += removals
        outcome = await self._cart(method, request)
        if not isinstance(outcome, Fault):
            self.world.reached(f"cart changed: {done}")
            self._acknowledged(outcome.version)
        if not isinstance(outcome, OutcomeUnknown | InternalError):
            rows = self.world.tables.rows.values()
            claimed = frozenset(row.session.id for row in rows if row.session.lines and done != SET)
            for one in removals:
                one.until, one.claimed = self.world.loop.now, claimed

    async def _watch(self) -> None:
        for _ in range(6):
            await self._look()
            await asyncio.sleep(0.001 * self.draw(30))

    async def _look(self) -> None:
        """Read the cart: it is never older than the last acknowledged write."""
        since = self.world.acknowledged.get(self.user_id, 0)
        request = cart_pb2.GetCartsRequest(items=[cart_pb2.GetCart(user_id=self.user_id)])
        outcome = await self._cart(self._cart_stub.GetCarts, request)
        if isinstance(outcome, Fault):
            return
        self.world.reached("cart read")
        if outcome.version < since and not self.world.may_be_stale(self.user_id):
            self.world.invariants.broken(
                "I9 cart reads", f"user {self.user_id} read version {outcome.version} after {since} was acknowledged"
            )

    def _acknowledged(self, version: int) -> None:
        known = self.world.acknowledged
        known[self.user_id] = max(known.get(self.user_id, 0), version)

    async def _cart(self, method: Any, request: Any) -> Any:
        """Return the cart, or the fault that the request ended with."""
        with call.within(call.incoming("", "", seconds=CART_SECONDS)):
            try:
                reply = await self._carts.send(method, request, within=CART_SECONDS)
            except Fault as fault:
                return fault
        return outcomes(reply.results, lambda result: result.cart, expected=1)[0]
