"""Those who use the platform: they fill carts, buy, repeat, cancel, restock, and note what they were told.

A shopper cannot be killed. It repeats a checkout with the same key until it has an answer, as the gateway's callers do.
"""

import asyncio
from collections import defaultdict
from typing import Any

from services.chassis import call
from services.errors import Fault, InternalError, OutcomeUnknown, Transient, Unavailable
from services.pb import checkout_pb2, checkout_pb2_grpc, inventory_pb2, inventory_pb2_grpc
from tests.simulation.cart_user import CART_SECONDS, UNKNOWN_PRODUCT, CartUser
from tests.simulation.plan import PRODUCTS

PATIENCE = 4.8
"""How long a shopper waits for an answer of a checkout; the gateway gives as much."""


class Shopper(CartUser):
    """One who buys what is in a cart, and more."""

    def __init__(self, world: Any, number: int) -> None:
        super().__init__(world, number)
        self.told: dict[str, list[tuple[str, str, bytes]]] = defaultdict(list)
        self.done = False
        self._keys = 0
        self._checkouts, self._inventory = self._endpoint("checkout"), self._endpoint("inventory")
        self._checkout_stub = checkout_pb2_grpc.CheckoutServiceStub(self._checkouts.channel)
        self._inventory_stub = inventory_pb2_grpc.InventoryServiceStub(self._inventory.channel)

    async def live(self) -> None:
        """Do a few things, and note when all of them have an answer."""
        try:
            await asyncio.sleep(0.02 * self.draw(20))
            self._tell_bank()
            for _ in range(1 + self.draw(3)):
                await self._one_thing()
        except Exception as error:  # noqa: BLE001 - a mistake of the shopper, or an answer that nobody may get
            self.world.unexpected(self.process, "shopper", {"exc_info": error})
        self.done = True

    def _tell_bank(self) -> None:
        """Have the bank treat this user as it may treat anybody."""
        from services.bank.domain import Behaviour, Scope  # noqa: PLC0415

        choice = self.draw(8)
        behaviours = {0: Behaviour.DECLINE, 1: Behaviour.HANG, 2: Behaviour.CHARGE_AND_DROP}
        if behaviour := behaviours.get(choice):
            self.world.reached(f"bank: {behaviour}")
            self.world.ledger.behaviours[Scope.user(self.user_id)] = (behaviour, 1 + self.draw(3))

    async def _one_thing(self) -> None:
        choice = self.draw(10)
        if choice < 4:
            await self._fill()
            await self.buy(self._new_key())
        elif choice < 5:  # the same key twice at once
            await self._fill()
            key = self._new_key()
            await asyncio.gather(self.buy(key), self.buy(key))
        elif choice < 6:  # two keys at once, and something that is put into the cart meanwhile
            await self._fill()
            await asyncio.gather(self.buy(self._new_key()), self.buy(self._new_key()), self._fill(), self._watch())
        elif choice < 7:
            await asyncio.gather(self._fill(), self._watch())
            await asyncio.gather(self.buy(self._new_key()), self._take_out())
        elif choice < 8:
            await self._restock()
            await self.apply(items=True)
        elif choice < 9:
            await self._fill()
            await self.apply(items=False)
        else:
            await self._look()
            await asyncio.gather(self.apply(items=True, cancel=True), self._look())

    def _new_key(self) -> str:
        self._keys += 1
        return f"key-{self.number}-{self._keys}"

    # Checkouts.

    async def buy(self, key: str) -> None:
        """Buy the cart, with the same key until there is an answer."""
        item = checkout_pb2.StartCheckout(user_id=self.user_id, origin=checkout_pb2.REST, idempotency_key=key)
        item.wait_ms = 300 if self.draw(3) == 0 else 0
        for _ in range(60):
            result = await self._start(item)
            if isinstance(result, Fault):
                if not isinstance(result, Transient | InternalError):
                    self.world.reached(f"refused: {type(result).__name__}")
                    return
            elif result.WhichOneof("outcome") == "refusal":
                if result.refusal.code not in {4, 8, 13, 14}:  # deadline, exhausted, internal, unavailable
                    self._refused(result)
                    return
            elif result.WhichOneof("outcome") == "answer" and self._note(key, result.answer):
                return
            if self.draw(12) == 0 and not self.world.healed:
                self.world.reached("shopper gave up")
                return
            await asyncio.sleep(0.1 + 0.1 * self.draw(10))
        self.world.invariants.broken("I10 progress", f"user {self.user_id} has no answer for {key} after 60 requests")

    def _refused(self, result: Any) -> None:
        text = result.refusal.message
        self.world.reached(f"refused: {text}")

    def _note(self, key: str, answer: Any) -> bool:
        """Note an answer; return whether the checkout has ended."""
        status = checkout_pb2.Status.Name(answer.status)
        if status == "PROCESSING":
            self.world.reached("answered: processing")
            return False
        self.world.reached(f"answered: {status}{' (replayed)' if answer.replayed else ''}")
        self.told[key].append((answer.checkout_id, status, answer.body))
        return True

    async def _start(self, item: Any) -> Any:
        with call.within(call.incoming("", "", seconds=PATIENCE)):
            try:
                reply = await self._checkouts.send(
                    self._checkout_stub.StartCheckouts,
                    checkout_pb2.StartCheckoutsRequest(items=[item]),
                    within=PATIENCE,
                )
            except Fault as fault:
                return fault
        return reply.results[0]

    async def apply(self, *, items: bool, cancel: bool = False) -> None:
        """Apply a resource, until it has ended; perhaps cancel it. Without an operator do what it does."""
        if self.world.plan.operator:
            await self._apply_at_the_server(items=items, cancel=cancel)
        else:
            await self._apply_as_the_operator(items=items, cancel=cancel)

    async def _apply_at_the_server(self, *, items: bool, cancel: bool) -> None:
        server, name = self.world.apiserver, f"resource-{self.number}-{self._new_key()}"
        spec: dict[str, Any] = {"userId": self.user_id, "managedBy": "operator"}
        if items:
            spec["items"] = [{"productId": self._wanted(), "quantity": 1 + self.draw(3)}]
        if self.draw(3) == 0:
            spec["timeoutSeconds"] = 3
        server.apply(name, spec)
        if cancel:
            await asyncio.sleep(0.02 * self.draw(40))
            server.cancel(name)
            self.world.reached("operator: cancel requested")
        for look in range(200):
            phase = (server.objects[name].get("status") or {}).get("phase")
            if phase in {"Completed", "Failed"}:
                self.world.reached(f"operator: resource {phase}")
                return
            await asyncio.sleep(min(1.5, 0.2 * 1.5**look))
        self.world.invariants.broken("I10 progress", f"resource {name} has not ended after 200 looks")

    async def _apply_as_the_operator(self, *, items: bool, cancel: bool) -> None:
        uid = f"uid-{self.number}-{self._new_key()}"
        resource = checkout_pb2.ResourceRef(uid=uid, namespace="default", name=uid)
        wanted = [checkout_pb2.WantedItem(product_id=self._wanted(), quantity=1 + self.draw(3))] if items else []
        item = checkout_pb2.StartCheckout(
            user_id=self.user_id, origin=checkout_pb2.RESOURCE, idempotency_key=uid, items=wanted, resource=resource
        )
        if self.draw(3) == 0:
            item.timeout_seconds = 3
        if cancel and self.draw(2) == 0:
            await self._cancel(item)
        started = False
        for look in range(200):
            result = await self._start(item)
            if not isinstance(result, Fault) and result.WhichOneof("outcome") == "answer":
                if self._note(uid, result.answer):
                    if items and self._draw_apart("reuses a key", 2) == 0:
                        await self._reuse_the_key(item)
                    return
                if cancel and not started:
                    await asyncio.sleep(0.005 * self.draw(20))
                    await self._cancel(item)
                started = True
            await asyncio.sleep(min(1.5, 0.2 * 1.5**look))
        self.world.invariants.broken("I10 progress", f"resource {uid} has not ended after 200 looks")

    def _wanted(self) -> int:
        """Draw the product of a resource; some ask for one that there is not."""
        wanted = PRODUCTS[self.draw(len(PRODUCTS))]
        return UNKNOWN_PRODUCT if self._draw_apart("wants what there is not", 10) == 0 else wanted

    async def _reuse_the_key(self, item: Any) -> None:
        """Ask for other items by the key of a checkout: it is refused."""
        other = checkout_pb2.StartCheckout()
        other.CopyFrom(item)
        other.items[0].quantity += 1
        result = await self._start(other)
        if isinstance(result, Fault):
            return
        if result.WhichOneof("outcome") == "refusal":
            self._refused(result)
        else:
            self.world.invariants.broken("I6 answers", f"{item.idempotency_key} is good for other items too")

    async def _cancel(self, item: Any) -> None:
        one = checkout_pb2.CancelCheckout(
            user_id=item.user_id,
            origin=item.origin,
            idempotency_key=item.idempotency_key,
            items=item.items,
            resource=item.resource,
        )
        request = checkout_pb2.CancelCheckoutsRequest(items=[one])
        with call.within(call.incoming("", "", seconds=PATIENCE)):
            try:
                await self._checkouts.send(self._checkout_stub.CancelCheckouts, request, within=PATIENCE)
            except Fault:
                return
        self.world.reached("cancel acknowledged")

    # Stock.

    async def _restock(self) -> None:
        restock_id, product_id = f"restock-{self.number}-{self._new_key()}", PRODUCTS[self.draw(len(PRODUCTS))]
        item = inventory_pb2.Restock(restock_id=restock_id, product_id=product_id, quantity=1)
        self.world.restocked[restock_id] = (product_id, 1)
        for _ in range(5):
            with call.within(call.incoming("", "", seconds=CART_SECONDS)):
                try:
                    await self._inventory.send(
                        self._inventory_stub.Restock, inventory_pb2.RestockRequest(items=[item]), within=CART_SECONDS
                    )
                except (OutcomeUnknown, Unavailable, InternalError):
                    await asyncio.sleep(0.3)
                    continue
            self.world.restocks_acknowledged.add(restock_id)
            return

    # The end.

    async def audit(self) -> None:
        """Ask once more for the cart and for every answer: it is the same, and is a replay."""
        await self._look()
        for key in list(self.told):
            if not key.startswith("key-"):
                continue
            item = checkout_pb2.StartCheckout(user_id=self.user_id, origin=checkout_pb2.REST, idempotency_key=key)
            for _ in range(8):
                result = await self._start(item)
                if not isinstance(result, Fault) and result.WhichOneof("outcome") == "answer":
                    break
                await asyncio.sleep(1.0)  # a breaker may be open still
            else:
                self.world.invariants.broken("I6 answers", f"{key} has an answer, and replays got {result}")
                return
            if not self._note(key, result.answer):
                self.world.invariants.broken("I6 answers", f"{key} has ended, and a replay says that it runs")
