"""Headers and query parameters that occur twice, or that no route knows."""

import pytest
from multidict import CIMultiDict, MultiDict

from services.gateway.docs import openapi
from services.gateway.edge import QUERY
from tests.services.gateway.test_routes import ROUTES

EVERY = [*ROUTES, *[("GET", path) for path in ("/", "/health", "/ready", "/metrics", "/docs", "/openapi.json")]]
TWO = {
    "Authorization": ("Bearer a", "Bearer b"),
    "X-User-Id": ("1", "2"),
    "Idempotency-Key": ("a", "b"),
}


@pytest.mark.parametrize("name", TWO)
async def test_two_that_differ_are_refused(gateway, backend, name):
    """Two headers of which a proxy and the gateway could read different ones are 400 on every route, in either order."""
    for values in (TWO[name], TWO[name][::-1]):
        headers = CIMultiDict((name, value) for value in values)
        for method, path in EVERY:
            response = await gateway.client.request(method, path, headers=headers)
            assert (response.status, await response.json()) == (
                400, {"error": f"there are {name} headers that differ: send one", "code": "header_repeated"},
            ), path  # fmt: skip
    assert backend.asked == []


async def test_two_tokens_that_differ_are_refused(secured, issuer, backend):
    """Where tokens are needed, two that differ are 400 too, even if both count."""
    headers = CIMultiDict(("Authorization", f"Bearer {issuer.token(sub=user)}") for user in "12")
    response = await secured.client.get("/api/v1/cart", headers=headers)
    assert (response.status, backend.asked) == (400, [])


async def test_the_same_twice_counts_once(gateway, secured, issuer, backend):
    """A header that is there twice with one value says one thing, and is taken."""
    twice = CIMultiDict([("X-User-Id", "7"), ("x-user-id", "7"), ("Idempotency-Key", "k"), ("Idempotency-Key", "k")])
    assert (await gateway.client.post("/api/v1/checkout", headers=twice)).status == 200
    assert [(item.user_id, item.idempotency_key) for _, items in backend.asked for item in items] == [(7, "k")]
    token = f"Bearer {issuer.token()}"
    twice = CIMultiDict([("Authorization", token), ("Authorization", token)])
    assert (await secured.client.get("/api/v1/cart", headers=twice)).status == 200


async def test_one_key_in_two_forms_is_refused(gateway, backend):
    """`k` and `"k"` are one key, and still two headers that differ: a proxy may see it otherwise."""
    headers = CIMultiDict([("Idempotency-Key", "k"), ("Idempotency-Key", '"k"')])
    response = await gateway.client.post("/api/v1/checkout", headers=headers)
    assert (response.status, backend.asked) == (400, [])


@pytest.mark.parametrize("name", ["X-Request-Id", "traceparent"])
async def test_two_ids_that_differ_are_replaced(gateway, backend, name):
    """Ids for logs fail no request: where two differ a new one takes their place (W3C Trace Context, section 3.3)."""
    trace = [f"00-{letter * 32}-{letter * 16}-01" for letter in "ab"]
    values = trace if name == "traceparent" else ["r-1", "r-2"]
    response = await gateway.client.get("/api/v1/cart", headers=CIMultiDict((name, value) for value in values))
    seen = backend.calls[0].traceparent if name == "traceparent" else response.headers[name]
    assert (response.status, seen in values) == (200, False)


async def test_every_etag_is_looked_at(gateway):
    """If-None-Match is a list, in one header or in several."""
    tag = (await gateway.client.get("/api/v1/products")).headers["ETag"]
    headers = CIMultiDict([("If-None-Match", '"other"'), ("If-None-Match", f'"third", {tag}')])
    assert (await gateway.client.get("/api/v1/products", headers=headers)).status == 304


@pytest.mark.parametrize(
    "query", ["x=1", "limit=1&x=1", "LIMIT=1", "limit=1&limit=2", "limit=1&limit=1", "%6cimit=1&limit=2", "cursor=&cursor=",
              "x", "user_id=2", "%ff=1", "%00=1"]
)  # fmt: skip
async def test_an_unknown_or_repeated_parameter_is_refused(gateway, backend, query):
    """What a route does not know, or would read once only, is 400 on every route, and the answer names the parameter."""
    for method, path in EVERY:
        body = {"quantity": 1} if method == "PUT" else None
        response = await gateway.client.request(method, f"{path}?{query}", json=body)
        assert (response.status, backend.asked) == (400, []), path
        assert (await response.json())["error"].startswith("the query parameter ")


@pytest.mark.parametrize("query", ["", "limit=5", "cursor=more", "limit=5&cursor=more", "&", "cursor="])
async def test_the_parameters_of_orders(gateway, query):
    """Each parameter may be there once."""
    assert (await gateway.client.get(f"/api/v1/orders?{query}")).status == 200


@pytest.mark.parametrize(
    "query", ["limit=", "limit=x", "limit=0", "limit=101", "limit=+5", "limit=1.0", "limit=%31%00", "limit=\u0661"]
)
async def test_a_page_has_1_to_100_orders(gateway, backend, query):
    """Another limit is 400."""
    response = await gateway.client.get(f"/api/v1/orders?{query}")
    assert (response.status, backend.asked) == (400, [])
    assert (await response.json())["error"] == "limit must be between 1 and 100"


@pytest.mark.parametrize("cursor", ["%ff", "%ed%a0%80", "%00", "%f0%9f%98%80", "a" * 5000])
async def test_a_strange_cursor_is_no_failure_of_ours(gateway, cursor):
    """No cursor can make the gateway fail."""
    assert (await gateway.client.get(f"/api/v1/orders?cursor={cursor}")).status in {200, 400}


def test_the_contract_describes_the_parameters():
    """The parameters that a route takes are those that the contract describes."""
    described = {
        path: frozenset(one["name"] for one in verb.get("parameters", ()) if one.get("in") == "query")
        for path, item in openapi()["paths"].items()
        for verb in item.values()
    }
    assert {path: names for path, names in described.items() if names} == QUERY


async def test_parameters_of_a_path_that_is_not_there(gateway):
    """What is not there stays 404, whatever its parameters."""
    assert (await gateway.client.get("/nothing", params=MultiDict([("a", "1"), ("a", "2")]))).status == 404
