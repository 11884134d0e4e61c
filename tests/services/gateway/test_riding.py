"""Requests that ride together: in few calls, each with its own answer, and none with an old one."""

import asyncio

import pytest

from services.errors import Unavailable
from services.pb import product_pb2
from tests.services.gateway.conftest import send_raw
from tests.services.gateway.test_routes import ORDER_ID

READERS = 20


async def waiting(gateway, count):
    """Wait until so many requests are under way in the gateway, the one that asks not counted."""
    async with asyncio.timeout(10):
        while gateway.metrics.registry.get_sample_value("cartwright_requests_under_way") < count:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.005)


async def bodies(tasks):
    """Give the statuses and bodies of requests."""
    return [(response.status, await response.json()) for response in await asyncio.gather(*tasks)]


async def test_readers_of_the_catalogue_share_a_call(gateway, backend):
    """Readers who come while a call is under way share the next one."""
    backend.gates["ListProducts"] = asyncio.Event()
    tasks = [asyncio.create_task(gateway.client.get("/api/v1/products"))]
    await backend.reached("ListProducts", items=0)
    tasks += [asyncio.create_task(gateway.client.get("/api/v1/products")) for _ in range(READERS)]
    await waiting(gateway, READERS + 1)
    backend.gates["ListProducts"].set()
    assert [status for status, _ in await bodies(tasks)] == [200] * (READERS + 1)
    assert len(backend.items("ListProducts")) == 2


async def test_a_reader_of_the_catalogue_never_gets_what_was_read_before_it_asked(gateway, backend):
    """A read does not join a call that has been sent: what changed before it began is in its answer and in its ETag."""
    backend.gates["ListProducts"] = asyncio.Event()
    early = asyncio.create_task(gateway.client.get("/api/v1/products"))
    await backend.reached("ListProducts", items=0)
    backend.laptop = product_pb2.Product(id=1, name="Renamed", price_minor=1, currency="USD", created_at_ms=1)
    late = asyncio.create_task(gateway.client.get("/api/v1/products"))
    await waiting(gateway, 2)
    backend.gates["ListProducts"].set()
    (_, before), (_, after) = await bodies([early, late])
    assert (before["products"][0]["name"], after["products"][0]["name"]) == ("Laptop", "Renamed")
    assert (await early).headers["ETag"] != (await late).headers["ETag"]


async def test_a_lost_call_of_the_catalogue_is_repeated_once_for_all(gateway, backend):
    """If the service does not answer, the call is repeated once, however many wait for it."""
    backend.broken["ListProducts"] = Unavailable("away")
    assert (await gateway.client.get("/api/v1/products")).status == 503
    assert len(backend.items("ListProducts")) == 2


async def test_a_reader_of_the_cart_sees_what_was_written_before(gateway, backend):
    """A read that begins after a write was answered does not join a call that was sent before."""
    backend.gates["GetCarts"] = asyncio.Event()
    early = asyncio.create_task(gateway.client.get("/api/v1/cart"))
    await backend.reached("GetCarts")
    written = await gateway.client.post("/api/v1/cart/items", json={"product_id": 1, "quantity": 3})
    assert written.status == 200
    late = asyncio.create_task(gateway.client.get("/api/v1/cart"))
    await waiting(gateway, 2)
    backend.gates["GetCarts"].set()
    (_, before), (_, after) = await bodies([early, late])
    assert (before["items"], [line["quantity"] for line in after["items"]]) == ([], [3])


async def held(gateway, backend, method, first, rest):
    """Send `first`, and `rest` while its call is under way; give the answers of all."""
    backend.gates[method] = asyncio.Event()
    tasks = [asyncio.create_task(first)]
    await backend.reached(method)
    tasks += [asyncio.create_task(one) for one in rest]
    await waiting(gateway, len(tasks))
    backend.gates[method].set()
    return await bodies(tasks)


READS = {
    "GetProducts": [("/api/v1/products/1", 200), ("/api/v1/products/9", 404)],
    "GetOrders": [(f"/api/v1/orders/{ORDER_ID}", 200), ("/api/v1/orders/other", 404)],
    "GetCheckouts": [("/api/v1/checkout/c1", 200), ("/api/v1/checkout/other", 404)],
}


@pytest.mark.parametrize("method", READS)
async def test_what_is_refused_is_refused_alone(gateway, backend, method):
    """Reads ride together, and one of something that is not there leaves its neighbours alone."""
    (good, _), (bad, _) = READS[method]
    get = gateway.client.get
    # Two calls may be under way; two more requests of each kind wait, and ride in the next.
    answers = await held(gateway, backend, method, get(good), [get(path) for path in (good, bad) * 4])
    assert [status for status, _ in answers] == [200, *[200, 404] * 4]
    assert max(map(len, backend.items(method))) > 1
    assert sum(map(len, backend.items(method))) == 9


async def test_every_reader_gets_their_own_cart(gateway, backend):
    """Whoever rides together gets their own cart, in few calls."""
    users = range(1, READERS + 1)
    for user in users:
        backend.carts[user] = {1: user}
    reads = [gateway.client.get("/api/v1/cart", headers={"X-User-Id": str(user)}) for user in users]
    answers = await held(gateway, backend, "GetCarts", reads[0], reads[1:])
    assert [body["items"][0]["quantity"] for _, body in answers] == list(users)
    assert len(backend.items("GetCarts")) <= 4


async def test_a_refused_write_is_refused_alone_and_two_of_a_user_go_one_after_the_other(gateway, backend):
    """Writes ride together, those of one user never in one call; one that is refused leaves the others alone."""

    def add(user, product):
        body = {"product_id": product, "quantity": 1}
        return gateway.client.post("/api/v1/cart/items", json=body, headers={"X-User-Id": str(user)})

    writes = [add(user, product) for user in (1, 2, 3) for product in (1, 9, 1)]
    answers = await held(gateway, backend, "AddItems", add(7, 1), writes)
    assert [status for status, _ in answers] == [200, *[200, 404, 200] * 3]
    for items in backend.items("AddItems"):
        users = [item.user_id for item in items]
        assert len(users) == len(set(users))
    assert {user: backend.carts[user][1] for user in (1, 2, 3)} == {1: 2, 2: 2, 3: 2}
    assert len(backend.items("AddItems")) < 10


async def test_a_write_is_never_sent_twice(gateway, backend):
    """A write that the service did not answer is not repeated."""
    backend.broken["AddItems"] = Unavailable("away")
    response = await gateway.client.post("/api/v1/cart/items", json={"product_id": 1, "quantity": 1})
    assert (response.status, len(backend.items("AddItems"))) == (503, 1)


async def test_a_client_who_leaves_leaves_the_others_alone(gateway, backend):
    """Of clients who wait together one closes the connection: the others get their answers."""
    backend.gates["GetCarts"] = asyncio.Event()
    stay = [asyncio.create_task(gateway.client.get("/api/v1/cart")) for _ in range(3)]
    await backend.reached("GetCarts")
    await send_raw(gateway, b"GET /api/v1/cart HTTP/1.1\r\nHost: x\r\nX-User-Id: 2\r\n\r\n", leave=True)
    stay += [asyncio.create_task(gateway.client.get("/api/v1/cart")) for _ in range(3)]
    await waiting(gateway, 6)
    backend.gates["GetCarts"].set()
    assert [status for status, _ in await bodies(stay)] == [200] * 6


async def test_each_item_says_whose_it_is(gateway, backend):
    """Whoever rides together keeps their own request id, trace and time."""
    get = gateway.client.get
    reads = [get("/api/v1/cart", headers={"X-Request-Id": f"r-{number}"}) for number in range(6)]
    await held(gateway, backend, "GetCarts", reads[0], reads[1:])
    calls = [item.call for items in backend.items("GetCarts") for item in items]
    assert sorted(one.request_id for one in calls) == [f"r-{number}" for number in range(6)]
    assert len({one.traceparent for one in calls}) == 6
    assert all(0 < one.timeout_ms <= 4800 for one in calls)
