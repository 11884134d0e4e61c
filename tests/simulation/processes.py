"""The processes of the platform, wired as the `main.py` of each service does, over simulated channels and stores."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from services.bank.api import BankApi
from services.bank.usecases import Bank
from services.cart.api import CartApi
from services.cart.cache import RedisCache
from services.cart.changes import CartWriter
from services.cart.clients import ProductClient as Catalogue
from services.cart.consumer import PurchaseRemover
from services.cart.usecases import CartService
from services.chassis.brokers import Brokers
from services.chassis.consumer import Consumer
from services.chassis.longest_first import LongestFirst
from services.chassis.resilience import Retrier
from services.chassis.run import repeat, wait
from services.checkout.api import CheckoutApi
from services.checkout.changes import follow
from services.checkout.claims import Claimer
from services.checkout.clients import CartClient, InventoryClient, PaymentClient, ProductClient
from services.checkout.domain import LostLease, Session
from services.checkout.driver import Driver
from services.checkout.main import _renew
from services.checkout.recovery import Recovery
from services.checkout.relay import REST_SECONDS, KafkaPublisher, Relay
from services.checkout.usecases import Checkouts
from services.errors import InternalError, Transient
from services.inventory.api import InventoryApi
from services.inventory.sweeper import Sweeper
from services.orders.consumer import OrderCreator
from services.payment.api import PaymentApi
from services.payment.clients import BankClient
from services.payment.resolver import Resolver
from services.payment.usecases import PaymentProcessor
from services.pb import (
    bank_pb2_grpc,
    cart_pb2_grpc,
    checkout_pb2_grpc,
    inventory_pb2,
    inventory_pb2_grpc,
    payment_pb2_grpc,
    product_pb2_grpc,
)
from services.product.api import ProductApi
from services.product.usecases import Catalogue as Products
from tests.services.checkout.memory import MemorySessions
from tests.services.checkout.memory_outbox import MemoryOutbox
from tests.simulation.loop import Process
from tests.simulation.network import SimEndpoint
from tests.simulation.operator_process import operator
from tests.simulation.quiet import QuietLog, QuietMetrics
from tests.simulation.server import Registry
from tests.simulation.stores import Gate, for_each_item

TOPIC = "checkout-events"
BROKERS = Brokers("kafka:9092")
BANK_SEED = "simulation"
UNEXPECTED = frozenset({"unexpected failure", "the consumer failed unexpectedly", "an unexpected error"})
"""The words with which the services, the consumers and the operator report what they did not foresee."""


class EarlierInventoryClient(InventoryClient):
    """The client of the release before: it does not ask for the pin with the reservation."""

    async def reserve(self, session: Session) -> Any:
        """Reserve the lines, to be pinned by a call of its own."""
        lines = [
            inventory_pb2.ReservationLine(product_id=line.product_id, quantity=line.quantity) for line in session.lines
        ]
        return await self._ask(self._reserve, inventory_pb2.Reserve(checkout_id=session.id, lines=lines), session)


class Runtime:
    """What a process has of its own: its log, its metrics, its clock, and its ways to everything else."""

    def __init__(self, world: Any, process: Process, life: int) -> None:
        self.world = world
        self.process = process
        self.owner = f"{process.name}/{life}"
        self.metrics: Any = QuietMetrics(world.reached)
        self.log: Any = QuietLog(self._tell)
        self.stopping = asyncio.Event()

    def _tell(self, event: str, facts: dict[str, Any]) -> None:
        if event in UNEXPECTED:
            self.world.unexpected(self.process, event, {"exc_info": facts.get("exc_info") or sys.exc_info()[1]})
        if self.world.telling:
            shown = ", ".join(f"{name}={value}" for name, value in facts.items() if name != "exc_info")
            self.world.tell(f"{self.process.name}: {event} ({shown})")

    def endpoint(self, service: str) -> SimEndpoint:
        """Return the client of a service."""
        return SimEndpoint(self.world.network, self.process, service, self.metrics)

    def serve(self, service: str, add: Callable[..., None], servicer: Any) -> None:
        """Serve a servicer."""
        registry = Registry(self.log, self.metrics)
        add(servicer, registry)
        self.world.network.serve(service, self.process, registry)

    async def repeat(
        self, run_once: Callable[[], Awaitable[int]], *, least: float, most: float, rest: float = 0
    ) -> None:
        """Run a worker's loop."""
        await repeat(run_once, self.stopping, self.log, self.metrics, least=least, most=most, rest=rest)

    def sessions(self) -> Any:
        """Return the store of checkouts, as this process has it."""
        world = self.world
        return Gate(world, world.database, MemorySessions(world.tables, self.owner, world.checkout_timeout))

    def saga(self, sessions: Any, attempts: int) -> tuple[Claimer, Driver]:
        """Wire what drives sagas."""
        stock = EarlierInventoryClient if self.world.plan.earlier else InventoryClient
        turns = LongestFirst()
        claimer = Claimer(
            sessions,
            CartClient(self.endpoint("cart"), self.metrics, turns),
            ProductClient(self.endpoint("product"), self.metrics, turns),
        )
        driver = Driver(
            sessions,
            claimer,
            stock(self.endpoint("inventory"), self.metrics, turns, attempts=attempts),
            PaymentClient(self.endpoint("payment"), self.metrics, attempts=attempts),
            clock=lambda: self.world.clock(self.process),
            observe=lambda _: None,
        )
        return claimer, driver


async def checkout(runtime: Runtime) -> None:
    """Start checkouts and answer for them."""
    world = runtime.world
    sessions = runtime.sessions()
    claimer, driver = runtime.saga(sessions, 3)

    def notify(session: Session, error: Exception) -> None:
        if isinstance(error, (Transient, InternalError, LostLease)):
            world.reached(f"left to recovery: {type(error).__name__}")
        else:
            world.unexpected(runtime.process, "saga", {"exc_info": error})

    checkouts = Checkouts(sessions, claimer, driver.advance, notify=notify)
    api = CheckoutApi(checkouts, sessions, lambda: follow(sessions, runtime.stopping, wait))
    runtime.serve("checkout", checkout_pb2_grpc.add_CheckoutServiceServicer_to_server, api)
    await _renew(runtime, SimpleNamespace(renew_every=3.0), sessions, checkouts)  # type: ignore[arg-type]


async def recovery(runtime: Runtime) -> None:
    """Take over interrupted sagas."""
    sessions = runtime.sessions()
    _, driver = runtime.saga(sessions, 1)
    worker = Recovery(sessions, driver.advance, runtime.log, runtime.metrics)
    await runtime.repeat(worker.run_once, least=0.1, most=1.6)


async def relay(runtime: Runtime) -> None:
    """Publish the outbox."""
    world = runtime.world
    outbox = Gate(world, world.database, MemoryOutbox(world.tables, runtime.owner))
    worker = Relay(outbox, KafkaPublisher(BROKERS, TOPIC), log=runtime.log, metrics=runtime.metrics)
    await runtime.repeat(worker.run_once, least=0.05, most=1.6, rest=REST_SECONDS)


def _cart(runtime: Runtime) -> CartService:
    world = runtime.world
    carts = Gate(world, world.mongo, world.carts, for_each_item)
    cache = RedisCache("redis://", runtime.metrics)
    writer = CartWriter(carts, cache, clock=lambda: world.clock(runtime.process))
    return CartService(carts, cache, Catalogue(runtime.endpoint("product")), writer)


async def cart(runtime: Runtime) -> None:
    """Answer for carts."""
    runtime.serve("cart", cart_pb2_grpc.add_CartServiceServicer_to_server, CartApi(_cart(runtime)))


async def cart_consumer(runtime: Runtime) -> None:
    """Remove what was bought from carts."""
    remover = PurchaseRemover(_cart(runtime).remove_bought, runtime.log, runtime.metrics)
    await _consume(runtime, "cart", remover.handle)


async def orders_consumer(runtime: Runtime) -> None:
    """Create orders."""
    world = runtime.world
    creator = OrderCreator(Gate(world, world.database, world.orders), runtime.log, runtime.metrics)
    await _consume(runtime, "orders", creator.handle)


async def _consume(runtime: Runtime, group: str, handle: Any) -> None:
    consumer = Consumer(BROKERS, TOPIC, group, handle=handle, log=runtime.log, metrics=runtime.metrics)
    await consumer.run(runtime.stopping)


async def inventory(runtime: Runtime) -> None:
    """Answer for stock."""
    world = runtime.world
    api = InventoryApi(Gate(world, world.database, world.warehouse), Retrier("postgres", runtime.metrics))
    runtime.serve("inventory", inventory_pb2_grpc.add_InventoryServiceServicer_to_server, api)


async def sweeper(runtime: Runtime) -> None:
    """Return expired reservations."""
    world = runtime.world
    worker = Sweeper(Gate(world, world.database, world.warehouse), runtime.metrics)
    await runtime.repeat(worker.run_once, least=3.0, most=3.0)


def _processor(runtime: Runtime) -> tuple[PaymentProcessor, Any]:
    world = runtime.world
    payments = Gate(world, world.database, world.payments)
    bank = BankClient(runtime.endpoint("bank"))

    def on_undecided(*_: object) -> None:
        world.reached("payment left undecided")

    return PaymentProcessor(payments, bank, on_undecided=on_undecided), payments


async def payment(runtime: Runtime) -> None:
    """Charge and cancel payments."""
    processor, _ = _processor(runtime)
    runtime.serve("payment", payment_pb2_grpc.add_PaymentServiceServicer_to_server, PaymentApi(processor))


async def resolver(runtime: Runtime) -> None:
    """Resolve undecided payments."""
    processor, payments = _processor(runtime)
    worker = Resolver(payments, processor.resolve, runtime.log, runtime.metrics)
    await runtime.repeat(worker.run_once, least=1.0, most=4.0)


async def bank(runtime: Runtime) -> None:
    """Charge cards."""
    world = runtime.world
    service = Bank(
        Gate(world, world.bank_database, world.ledger), seed=BANK_SEED, success_rate=world.success_rate, admin=True
    )
    runtime.serve("bank", bank_pb2_grpc.add_BankServicer_to_server, BankApi(service, runtime.stopping))


async def product(runtime: Runtime) -> None:
    """Answer for the catalogue."""
    world = runtime.world
    api = ProductApi(Products(Gate(world, world.database, world.products)), runtime.metrics)
    runtime.serve("product", product_pb2_grpc.add_ProductServiceServicer_to_server, api)


ROLES: dict[str, Callable[[Runtime], Awaitable[None]]] = {
    "product": product,
    "bank": bank,
    "inventory": inventory,
    "sweeper": sweeper,
    "payment": payment,
    "resolver": resolver,
    "cart": cart,
    "cart-consumer": cart_consumer,
    "orders-consumer": orders_consumer,
    "checkout": checkout,
    "recovery": recovery,
    "relay": relay,
    "operator": operator,
}
