"""Overload: what cannot be answered in time is refused at once, and what matters most last."""

import asyncio

import pytest

from services.chassis.env import BadSettings
from services.gateway import purchases
from services.gateway.admission import ALWAYS, RESERVE
from services.gateway.config import Config
from tests.services.gateway.conftest import serving
from tests.services.gateway.test_riding import bodies, waiting

SHOP = "https://shop.example.com"
MOST, OTHERS, PURCHASES = 24, 21, 6
SETTINGS = {"AUTH_MODE": "mock", "APP_ENV": "dev", "MAX_UNDER_WAY": str(MOST), "CORS_ORIGINS": SHOP}


@pytest.fixture
async def small(backend):
    """Give a gateway in which few requests may be under way."""
    async with serving(backend, SETTINGS) as it:
        yield it


@pytest.fixture
async def full(small, backend):
    """Give one in which as many are as may, but for checkouts."""
    backend.gates["GetCarts"] = asyncio.Event()
    small.tasks = [asyncio.create_task(small.client.get("/api/v1/cart")) for _ in range(OTHERS)]
    await waiting(small, OTHERS)
    yield small
    backend.gates["GetCarts"].set()
    assert [status for status, _ in await bodies(small.tasks)] == [200] * OTHERS


def shed(gateway, kind):
    """Give how many requests of a kind were refused."""
    return gateway.metrics.registry.get_sample_value("cartwright_requests_shed_total", {"kind": kind})


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/api/v1/products", "other"),
        ("GET", "/api/v1/orders", "other"),
        ("DELETE", "/api/v1/cart", "cart_write"),
    ],
)
async def test_more_than_may_be_under_way_are_refused_before_any_work(full, backend, method, path, kind):
    """The answer is 503 with Retry-After, no service is asked, and a page of an allowed origin can read it."""
    response = await full.client.request(method, path, headers={"Origin": SHOP, "X-User-Id": "not looked at"})
    assert (response.status, (await response.json())["error"]) == (503, "too many requests are under way; try again")
    assert int(response.headers["Retry-After"]) >= 1
    assert response.headers["Access-Control-Allow-Origin"] == SHOP
    assert {name for name, _ in backend.asked} <= {"GetCarts"}  # which the fixture asks
    assert response.headers["X-Request-Id"]
    assert shed(full, kind) == 1


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/openapi.json"])
async def test_pages_are_served_in_overload(full, path):
    """What tells how the process is needs no place."""
    assert (await full.client.get(path)).status == 200


async def test_checkouts_have_a_reserve(full, backend):
    """Who asks for a checkout, or sends one again, is answered while others are refused; the reserve has an end too."""
    assert (await full.client.get("/api/v1/checkout/c1")).status == 200
    backend.gates["GetCheckouts"] = asyncio.Event()
    tasks = [asyncio.create_task(full.client.get("/api/v1/checkout/c1")) for _ in range(MOST - OTHERS - 1)]
    await waiting(full, MOST - 1)
    assert (await full.client.post("/api/v1/checkout", json={"idempotency_key": "k"})).status == 200
    tasks.append(asyncio.create_task(full.client.get("/api/v1/checkout/c1")))
    await waiting(full, MOST)
    assert (await full.client.get("/api/v1/checkout/c1")).status == 503
    backend.gates["GetCheckouts"].set()
    assert [status for status, _ in await bodies(tasks)] == [200] * (MOST - OTHERS)
    assert shed(full, "checkout") == 1


@pytest.fixture
def settled(monkeypatch):
    """Have the first purchases count from their beginning."""
    monkeypatch.setattr(purchases, "SETTLE_SECONDS", 0.0)


@pytest.fixture
async def buying(settled, small, backend):
    """Give a gateway with as many purchases under way as are let in while none ends."""
    backend.gates["StartCheckouts"] = asyncio.Event()
    small.tasks = [asyncio.create_task(buy(small, user)) for user in range(1, PURCHASES + 1)]
    await waiting(small, PURCHASES)
    yield small
    backend.gates["StartCheckouts"].set()
    await bodies(small.tasks)


async def buy(gateway, user):
    """Start a checkout."""
    return await gateway.client.post(
        "/api/v1/checkout", json={"idempotency_key": "k"}, headers={"X-User-Id": str(user)}
    )


async def add(gateway, user=99):
    """Put something into a cart."""
    body = {"product_id": 1, "quantity": 1}
    return await gateway.client.post("/api/v1/cart/items", json=body, headers={"X-User-Id": str(user)})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/cart/items"),
        ("PUT", "/api/v1/cart/items/1"),
        ("DELETE", "/api/v1/cart/items/1"),
        ("DELETE", "/api/v1/cart"),
    ],
)
async def test_no_cart_is_filled_that_could_not_be_bought_in_time(buying, backend, method, path):
    """While the purchases under way do not end in time, a cart write is refused undone, with places still free."""
    response = await buying.client.request(method, path)
    assert (response.status, (await response.json())["code"]) == (503, "overloaded")
    assert int(response.headers["Retry-After"]) >= 1
    assert {name for name, _ in backend.asked} <= {"StartCheckouts"}
    assert shed(buying, "cart_write") == 1


@pytest.mark.parametrize("path", ["/api/v1/cart", "/api/v1/products", "/api/v1/checkout/c1"])
async def test_slow_purchases_hold_back_no_read(buying, path):
    """What is read or asked for is answered while carts cannot be filled."""
    assert (await buying.client.get(path)).status == 200


async def test_slow_purchases_hold_back_no_purchase(buying, backend):
    """A cart that is filled can be bought while others cannot be filled; once the purchases have ended, they can."""
    buying.tasks.append(asyncio.create_task(buy(buying, 50)))
    await waiting(buying, PURCHASES + 1)
    backend.gates["StartCheckouts"].set()
    await bodies(buying.tasks)
    assert (await add(buying)).status == 200


@pytest.mark.usefixtures("settled")
async def test_carts_that_are_being_filled_will_be_purchases(small, backend):
    """As many cart writes as purchases count as purchases that are about to begin; each leaves its place when it ends."""
    gates = {name: asyncio.Event() for name in ("StartCheckouts", "AddItems")}
    backend.gates.update(gates)
    half = PURCHASES // 2
    buying = [asyncio.create_task(buy(small, user)) for user in range(1, half + 1)]
    await waiting(small, half)
    filling = [asyncio.create_task(add(small, 50 + number)) for number in range(half)]
    await waiting(small, 2 * half)
    assert (await add(small)).status == 503
    gates["AddItems"].set()
    assert [status for status, _ in await bodies(filling)] == [200] * half
    assert (await add(small)).status == 200
    gates["StartCheckouts"].set()
    await bodies(buying)


async def test_who_only_asks_for_checkouts_holds_back_no_cart(small, backend):
    """Questions about purchases are no purchases."""
    backend.gates["GetCheckouts"] = asyncio.Event()
    tasks = [asyncio.create_task(small.client.get("/api/v1/checkout/c1")) for _ in range(MOST // 2)]
    await waiting(small, MOST // 2)
    assert (await add(small)).status == 200
    backend.gates["GetCheckouts"].set()
    assert {status for status, _ in await bodies(tasks)} == {200}


async def test_it_is_back_by_itself(small, backend):
    """Once what was under way is answered, requests are taken again; a refused or failed request keeps no place."""
    backend.gates["GetCarts"] = asyncio.Event()
    tasks = [asyncio.create_task(small.client.get("/api/v1/cart")) for _ in range(OTHERS * 2)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    backend.gates["GetCarts"].set()
    answers = [status for status, _ in await bodies(tasks)]
    assert {*answers} == {200, 503}
    for path in ("/api/v1/products/x", "/api/v1/nothing", "/api/v1/cart?x=1"):
        assert (await small.client.get(path)).status in {400, 404}
    assert (await small.client.get("/api/v1/products")).status == 200
    assert small.metrics.registry.get_sample_value("cartwright_requests_under_way") == 0


async def test_a_slow_client_holds_no_place(small):
    """While a client sends its body, however slowly, others are answered."""
    server = small.client.server
    head = b"POST /api/v1/cart/items HTTP/1.1\r\nHost: x\r\nContent-Length: 29\r\n\r\n"
    slow = [await asyncio.open_connection(server.host, server.port) for _ in range(MOST * 2)]
    for _, writer in slow:
        writer.write(head)
    async with asyncio.timeout(10):
        while sum(bool(one._current_request) for one in server.runner.server.connections) < len(slow):  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.005)
    assert (await small.client.get("/api/v1/cart")).status == 200
    reader, writer = slow[0]
    writer.write(b'{"product_id":1,"quantity":1}')
    assert b" 200 OK" in await reader.readline()
    for _, one in slow:
        one.close()


async def test_a_body_that_comes_while_all_places_are_taken_is_refused(small, backend):
    """A request whose body is complete takes a place again, or is refused undone; it gives back no place that it lacks."""
    server = small.client.server
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(b"POST /api/v1/cart/items HTTP/1.1\r\nHost: x\r\nContent-Length: 29\r\n\r\n")
    async with asyncio.timeout(10):
        while not any(one._current_request for one in server.runner.server.connections):  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.005)
    backend.gates["GetCarts"] = asyncio.Event()
    tasks = [asyncio.create_task(small.client.get("/api/v1/cart")) for _ in range(OTHERS)]
    await waiting(small, OTHERS)
    writer.write(b'{"product_id":1,"quantity":1}')
    assert b" 503 " in await reader.readline()
    assert small.metrics.registry.get_sample_value("cartwright_requests_under_way") == OTHERS
    backend.gates["GetCarts"].set()
    assert [status for status, _ in await bodies(tasks)] == [200] * OTHERS
    assert backend.items("AddItems") == []
    writer.close()


async def test_refusals_are_not_logged_one_by_one(full, capsys):
    """An overloaded gateway does not spend its time on a log line for each refusal: one line counts them."""
    capsys.readouterr()
    for _ in range(5):
        assert (await full.client.get("/api/v1/products")).status == 503
    lines = [line for line in capsys.readouterr().out.splitlines() if "/products" in line or "too many" in line]
    assert len(lines) == 1
    assert "refused" in lines[0]


@pytest.mark.parametrize(("name", "value"), [("MAX_UNDER_WAY", "1"), ("MAX_UNDER_WAY", "x"), ("LOG_SAMPLE_READS", "0")])
def test_a_bound_that_lets_nothing_through_is_refused_at_the_start(name, value):
    """A wrong setting is named."""
    with pytest.raises(BadSettings, match=name):
        Config.from_env({name: value})


def test_the_defaults_refuse_nobody_below_capacity():
    """64 buyers who never pause fill their carts however slow it is; 256 find a place each, with as many who look around."""
    config = Config.from_env({})
    assert config.max_under_way // ALWAYS >= 2 * 64
    assert config.max_under_way // 2 >= 256
    assert config.max_under_way - config.max_under_way // RESERVE >= 256 + 128
