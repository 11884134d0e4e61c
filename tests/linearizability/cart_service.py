"""Shoppers who share carts, on the cart service as it is: several instances of it, on the real MongoDB and Redis.

An instance is killed at any await of its calls, a caller gives up before the answer, and what goes to MongoDB or comes from it is
held up at random. What is bought is taken out late, more than once, and by another instance.
"""

import asyncio
import itertools
import random
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from services.cart.cache import RedisCache
from services.cart.changes import CartWriter
from services.cart.domain import Cart, NotInCart, Purchase
from services.cart.store import MongoCarts
from services.cart.usecases import CartService, CartView, Edit, ListedProduct, adding, removing, setting
from services.chassis.telemetry import Metrics
from services.errors import Fault, InternalError, OutcomeUnknown, Unavailable
from tests.linearizability.history import History, Operation

INSTANCES = 3
SHOPPERS = 4
"""How many shoppers use one cart."""
PRODUCTS = range(1, 6)
HELD_UP = 0.015  # seconds at most
REDIS_SECONDS = 2.0
"""How long an operation of the cache may take: what is tested is the protocol, and not a busy machine."""


class Catalogue:
    """Five products."""

    async def products(self) -> Mapping[int, ListedProduct]:
        return {product: ListedProduct(f"product {product}", 100) for product in PRODUCTS}


class HeldUp:
    """A store whose calls, and their answers, are held up now and then."""

    def __init__(self, carts: MongoCarts, draw: random.Random) -> None:
        self._carts, self._draw = carts, draw

    async def _hold_up(self) -> None:
        if self._draw.random() < 0.3:
            await asyncio.sleep(self._draw.random() * HELD_UP)

    async def read(self, user_ids: Sequence[int]) -> Sequence[Cart | Exception]:
        await self._hold_up()
        found = await self._carts.read(user_ids)
        await self._hold_up()
        return found

    async def replace(self, changes: Sequence[tuple[Cart, Cart]]) -> Sequence[bool | Exception]:
        await self._hold_up()
        done = await self._carts.replace(changes)
        await self._hold_up()
        return done


class Instance:
    """One process of the cart service, as far as a crash is concerned: its calls end where they are, and its memory is gone."""

    def __init__(self, urls: Mapping[str, str], draw: random.Random, script: bytes | None) -> None:
        self._carts = MongoCarts(urls["MONGODB_URL"])
        self._cache = RedisCache(urls["REDIS_URL"], Metrics(), within=REDIS_SECONDS)
        if script is not None:  # as a Redis that does not know it: it is sent along, and known from then on
            self._cache._script, self._cache._digest = script, secrets.token_hex(20).encode()
        carts = HeldUp(self._carts, draw)
        writer = CartWriter(carts, self._cache, clock=_now)
        self.service = CartService(carts, self._cache, Catalogue(), writer)
        self.calls: set[asyncio.Task[Any]] = set()

    def call(self, work: Awaitable[Any]) -> "asyncio.Task[Any]":
        """Begin a call, which a crash ends."""
        task = asyncio.ensure_future(work)
        self.calls.add(task)
        task.add_done_callback(self.calls.discard)
        return task

    async def crash(self) -> None:
        """End every call where it is."""
        for task in self.calls:
            task.cancel()
        await asyncio.gather(*self.calls, return_exceptions=True)
        await self._cache.close()
        self._carts.close()

    async def drain(self) -> None:
        """Wait until every call has ended, and close the connections."""
        await asyncio.gather(*self.calls, return_exceptions=True)
        await self._cache.close()
        self._carts.close()


def _now() -> datetime:
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def content(cart: Cart) -> dict[int, int]:
    """Return what a history says about a cart."""
    return {line.product_id: line.quantity for line in cart.lines}


class Run:
    """A run of shoppers, and what they have seen."""

    def __init__(self, urls: Mapping[str, str], seed: int, script: bytes | None = None) -> None:
        """Take the stores, what the run is drawn by, and the cache's script where it is not to be the real one."""
        self.history = History()
        self.seen: Counter[str] = Counter()
        self._urls, self._script = urls, script
        self._draw = random.Random(seed)
        self._users = itertools.count(secrets.randbelow(10**9) + 3 * 10**9)
        self._clients = itertools.count()
        self._stop = asyncio.Event()
        self._instances: list[Instance] = []
        self._removals: set[asyncio.Task[None]] = set()

    async def round(self, users: int, seconds: float) -> None:
        """Have shoppers use the carts of new users for so many seconds, while instances crash; then read each cart."""
        self._stop.clear()
        self._instances = [self._instance() for _ in range(INSTANCES)]
        names = [next(self._users) for _ in range(users)]
        shopping = [asyncio.create_task(self._shop(user)) for user in names for _ in range(SHOPPERS)]
        crashing = asyncio.create_task(self._crash())
        await asyncio.sleep(seconds)
        self._stop.set()
        await asyncio.gather(*shopping, crashing)
        await asyncio.gather(*self._removals)
        for instance in self._instances:
            await asyncio.gather(*instance.calls, return_exceptions=True)
        for user in names:
            await self._read(user, next(self._clients))
        for instance in self._instances:
            await instance.drain()

    def _instance(self) -> Instance:
        return Instance(self._urls, self._draw, self._script)

    async def _crash(self) -> None:
        while not self._stop.is_set():
            await asyncio.sleep(0.1 + self._draw.random() * 0.4)
            number = self._draw.randrange(INSTANCES)
            crashed, self._instances[number] = self._instances[number], self._instance()
            self.seen["instances killed"] += 1
            await crashed.crash()

    async def _shop(self, user: int) -> None:
        client = next(self._clients)
        actions: list[Callable[[int, int], Awaitable[None]]] = [
            self._read,
            self._add,
            self._set,
            self._remove,
            self._clear,
            self._buy,
        ]
        while not self._stop.is_set():
            [act] = self._draw.choices(actions, [8, 6, 2, 2, 1, 2])
            await act(user, client)
            await asyncio.sleep(self._draw.random() * 0.02)

    async def _read(self, user: int, client: int) -> None:
        asked = self.history.begin(f"cart:{user}", client, "read")
        await self._ask(asked, lambda service: service.read([user]))

    async def _add(self, user: int, client: int) -> None:
        await self._edit(user, client, "add", adding)

    async def _set(self, user: int, client: int) -> None:
        await self._edit(user, client, "set", setting)

    async def _edit(self, user: int, client: int, kind: str, make: Callable[[int, int], Edit]) -> None:
        product, quantity = self._draw.choice(PRODUCTS), self._draw.randint(1, 20)
        asked = self.history.begin(f"cart:{user}", client, kind, product=product, quantity=quantity)
        await self._ask(asked, lambda service: service.edit([(user, make(product, quantity))]))

    async def _remove(self, user: int, client: int) -> None:
        product = self._draw.choice(PRODUCTS)
        asked = self.history.begin(f"cart:{user}", client, "remove", product=product)
        await self._ask(asked, lambda service: service.edit([(user, removing(product))]))

    async def _clear(self, user: int, client: int) -> None:
        asked = self.history.begin(f"cart:{user}", client, "clear")
        await self._ask(asked, lambda service: service.clear([user]))

    async def _buy(self, user: int, client: int) -> None:
        """Claim what is in the cart, and have it taken out later."""
        checkout = secrets.token_hex(4)
        asked = self.history.begin(f"cart:{user}", client, "claim", id=checkout)
        cart = await self._ask(asked, lambda service: service.for_claim([(user, [])]))
        if cart is None:
            return
        if not cart.lines:
            asked.facts["refused"] = "cart_empty"
            return
        self.seen["purchases"] += 1
        purchase = Purchase(checkout, tuple((line.line_id, line.quantity) for line in cart.lines))
        removal = self.history.begin(f"cart:{user}", client, "removal", id=checkout)
        task = asyncio.create_task(self._take_out(user, purchase, removal))
        self._removals.add(task)
        task.add_done_callback(self._removals.discard)

    async def _take_out(self, user: int, purchase: Purchase, removal: Operation) -> None:
        """Take out what was bought, until that is done; and now and then once more, as an event that comes again."""
        await asyncio.sleep(self._draw.random() * 0.05)
        while True:
            instance = self._draw.choice(self._instances)
            call = instance.call(instance.service.remove_bought([(user, [purchase])]))
            [ended] = await asyncio.gather(call, return_exceptions=True)
            if isinstance(ended, list) and not isinstance(ended[0], Exception):
                if removal.returned is None:
                    self.history.end(removal)
                elif self._draw.random() < 0.7:
                    return
                self.seen["removals"] += 1

    async def _ask(
        self, asked: Operation, work: Callable[[CartService], Awaitable[list[CartView | Exception]]]
    ) -> Cart | None:
        """Make a call for as long as the caller waits, and note its answer. Returns the cart that it shows, if there is one."""
        instance = self._draw.choice(self._instances)
        call = instance.call(work(instance.service))
        patience = self._draw.random() * 0.02 if self._draw.random() < 0.05 else None
        done, _ = await asyncio.wait({call}, timeout=patience)
        if not done:
            self.seen["callers who left"] += 1
        outcome = self._outcome(call) if done else None
        if isinstance(outcome, CartView):
            self.history.end(asked, content(outcome.cart))
            return outcome.cart
        if isinstance(outcome, NotInCart):
            self.history.end(asked, refused="cart_item_not_found")
        elif isinstance(outcome, Unavailable) or asked.kind in {"read", "claim"}:
            self.history.drop(asked)  # it was not done, or changes nothing
            self.seen["not done"] += 1
        else:
            self.seen["unknown"] += 1
        return None

    @staticmethod
    def _outcome(call: "asyncio.Task[list[CartView | Exception]]") -> CartView | Exception | None:
        """Return what a call has ended with; None where its instance was killed."""
        if call.cancelled():
            return None
        error = call.exception()
        outcome = error if isinstance(error, Exception) else call.result()[0]
        if isinstance(outcome, OutcomeUnknown | InternalError):
            return None
        if isinstance(outcome, Exception) and not isinstance(outcome, Fault):
            raise outcome
        return outcome
