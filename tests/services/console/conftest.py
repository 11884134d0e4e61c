"""The console around services that answer what a test sets."""

import asyncio

import pytest
import structlog
from aiohttp.test_utils import TestClient, TestServer

from services.chassis.telemetry import Metrics
from services.console.access import Doors, anybody
from services.console.board import Board
from services.console.edge import Edge
from services.console.live import Changes
from services.console.main import application
from services.console.pages import Pages
from services.console.rendering import Renderer, Statics
from services.errors import Invalid, NotFound
from services.pb import checkout_admin_pb2, checkout_pb2, inventory_pb2, product_pb2
from tests.services.console import made


class FakeServices:
    """Fits Services: `checkouts` are all that there are; `faults` are what a call of a name meets."""

    def __init__(self):
        self.checkouts = {made.ID: made.inspected(event=made.event())}
        self.payments, self.reservations, self.orders = {made.ID: made.payment()}, {made.ID: made.reservation()}, {}
        self.faults, self.asked, self.cancelled = {}, [], []
        self.next_cursor = self.searched_to_ms = None
        self.changed = asyncio.Queue()
        self.streams = 0

    def _check(self, name):
        if fault := self.faults.get(name):
            raise fault

    def _one(self, name, of, checkout_id):
        self._check(name)
        if checkout_id not in of:
            raise NotFound(f"{name} not found")
        return of[checkout_id]

    async def search(self, wanted, most, cursor):
        self._check("search")
        self.asked.append((wanted, most, cursor))
        if cursor == "broken":
            raise Invalid("cursor must be the next_cursor of a page")
        return checkout_admin_pb2.SearchCheckoutsResponse(
            checkouts=[one.checkout for one in self.checkouts.values()],
            next_cursor=self.next_cursor,
            searched_to_ms=self.searched_to_ms,
        )

    async def find(self, text, most):
        self._check("find")
        return [
            one.checkout for one in self.checkouts.values() if text in {one.checkout.id, one.checkout.idempotency_key}
        ]

    async def inspect(self, checkout_id):
        return self._one("inspect", self.checkouts, checkout_id)

    async def cancel(self, checkout_id):
        found = self._one("cancel", self.checkouts, checkout_id)
        self.cancelled.append(checkout_id)
        return found.checkout

    async def summarize(self, since_ms):
        self._check("summarize")
        return checkout_admin_pb2.SummarizeCheckoutsResponse(now_ms=made.NOW)

    async def payment(self, checkout_id):
        return self._one("payment", self.payments, checkout_id)

    async def reservation(self, checkout_id):
        return self._one("reservation", self.reservations, checkout_id)

    async def order(self, user_id, order_id):
        return self._one("order", self.orders, order_id)

    async def stock(self):
        self._check("stock")
        return inventory_pb2.ListStockResponse(stock=[inventory_pb2.Stock(product_id=1, available=5, sold=2)])

    async def products(self):
        self._check("products")
        return {1: product_pb2.Product(id=1, name="Laptop")}

    async def changes(self):
        self.streams += 1
        try:
            while True:
                yield checkout_pb2.WatchCheckoutsResponse(checkouts=[await self.changed.get()])
        finally:
            self.streams -= 1


class NoPages:
    """Fits Reader: nobody exposes metrics."""

    async def pages(self):
        return {}


@pytest.fixture
def eventually_async():
    """Wait until something holds."""

    async def wait_for(check):
        async with asyncio.timeout(15):
            while not check():  # noqa: ASYNC110 - it becomes so by itself
                await asyncio.sleep(0.02)

    return wait_for


@pytest.fixture
def services():
    """The services around the console."""
    return FakeServices()


@pytest.fixture
def doors():
    """Who may use the console: everybody."""
    return Doors(anybody)


@pytest.fixture
def viewer():
    """Where traces are seen: nowhere."""
    return ""


@pytest.fixture
async def client(services, doors, viewer):
    """A browser without a script."""
    log, metrics, stopping = structlog.get_logger(), Metrics(), asyncio.Event()
    statics = Statics()
    renderer = Renderer(statics, viewer)
    changes = Changes(services.changes, log)
    following = asyncio.create_task(changes.run(stopping))
    pages = Pages(services, Board(services, NoPages()), renderer, changes, stopping)
    app = application(Edge(renderer, doors.admit, log, metrics), pages, statics, doors)
    async with TestClient(TestServer(app)) as client:
        yield client
        stopping.set()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
