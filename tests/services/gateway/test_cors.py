"""Which pages of other origins may call the API from a browser."""

import pytest

from services.chassis.env import BadSettings
from services.gateway.cors import origins
from services.gateway.docs import openapi
from tests.services.gateway.conftest import serving
from tests.services.gateway.test_routes import ROUTES

SHOP, ADMIN, EVIL = "https://shop.example.com", "http://localhost:3000", "https://evil.example.com"
EXPOSED = {"Location", "Retry-After", "Idempotent-Replayed", "ETag", "X-Request-Id"}


@pytest.fixture
async def shop(backend):
    """Give the gateway of a laptop, whose API pages of two origins may call."""
    env = {"AUTH_MODE": "mock", "APP_ENV": "dev", "CORS_ORIGINS": f"{SHOP}, {ADMIN}"}
    async with serving(backend, env) as it:
        yield it


@pytest.fixture
async def secured_shop(backend, jwt_settings, clock):
    """Give the gateway where tokens are needed, with the same origins."""
    async with serving(backend, jwt_settings | {"CORS_ORIGINS": SHOP}, clock) as it:
        yield it


def allowed(response):
    return {name for name in response.headers if name.startswith("Access-Control")}


async def preflight(gateway, path, origin=SHOP, method="POST"):
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization",
    }
    return await gateway.client.options(path, headers=headers)


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_page_of_an_allowed_origin_may_call(shop, backend, method, path):
    """A preflight request is answered with every method and header that the route takes, and asks no service."""
    for origin in (SHOP, ADMIN):
        response = await preflight(shop, path, origin, method)
        assert (response.status, await response.read(), backend.asked) == (204, b"", [])
        assert response.headers["Access-Control-Allow-Origin"] == origin
    assert method in response.headers["Access-Control-Allow-Methods"].split(", ")
    sent = {name.lower() for name in response.headers["Access-Control-Allow-Headers"].split(", ")}
    assert sent >= {"authorization", "content-type", "idempotency-key", "x-user-id", "if-none-match", "x-request-id"}
    assert int(response.headers["Access-Control-Max-Age"]) > 0
    assert response.headers.getall("Vary") == ["Origin"]
    assert "Access-Control-Allow-Credentials" not in response.headers
    assert response.headers["X-Request-Id"]


@pytest.mark.parametrize(("method", "path"), [*ROUTES, ("GET", "/nothing"), ("PATCH", "/api/v1/cart")])
async def test_an_answer_may_be_read(shop, method, path):
    """Every answer, an error too, can be read by a page of an allowed origin, with the headers that it needs."""
    response = await shop.client.request(method, path, headers={"Origin": SHOP})
    assert response.headers["Access-Control-Allow-Origin"] == SHOP
    assert set(response.headers["Access-Control-Expose-Headers"].split(", ")) >= EXPOSED
    assert "Origin" in response.headers.getall("Vary")


async def test_a_preflight_request_needs_no_token(secured_shop):
    """A browser sends a preflight request without a token; the 401 to the request itself can be read."""
    assert (await preflight(secured_shop, "/api/v1/cart", method="GET")).status == 204
    response = await secured_shop.client.get("/api/v1/cart", headers={"Origin": SHOP})
    assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (401, SHOP)
    assert "WWW-Authenticate" in response.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize(
    "origin", [EVIL, "null", "*", "", f"{SHOP}.evil.example.com", "http://shop.example.com", f"{SHOP}:443", f"{SHOP}/",
               SHOP.upper(), f"{SHOP} {EVIL}", f"{SHOP}, {EVIL}"]
)  # fmt: skip
async def test_other_origins_may_not(shop, origin):
    """Only an origin that is named letter by letter may: for another nothing is allowed, and caches are told."""
    for response in (
        await preflight(shop, "/api/v1/cart/items", origin),
        await shop.client.get("/api/v1/cart", headers={"Origin": origin}),
    ):
        assert allowed(response) == set()
        assert "Origin" in response.headers.getall("Vary")
    assert response.status == 200  # nothing else changes: it is the browser that refuses


async def test_none_may_by_default(gateway):
    """Without CORS_ORIGINS no page of another origin may call, and OPTIONS is a method like any other."""
    refused = await preflight(gateway, "/api/v1/cart")
    answer = await gateway.client.get("/api/v1/cart", headers={"Origin": SHOP})
    assert (refused.status, allowed(refused), allowed(answer)) == (405, set(), set())
    assert "Vary" not in answer.headers


async def test_options_that_is_no_preflight_request(shop):
    """OPTIONS without Access-Control-Request-Method, or of a path that is not there, is answered as ever."""
    assert (await shop.client.options("/api/v1/cart", headers={"Origin": SHOP})).status == 405
    assert (await preflight(shop, "/nothing")).status == 404


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ("", set()), (" , ", set()), (SHOP, {SHOP}), (f" {SHOP} ,{ADMIN}", {SHOP, ADMIN}), ("http://[::1]:3000", {"http://[::1]:3000"}),
        ("http://xn--bcher-kva.example", {"http://xn--bcher-kva.example"}), ("http://a:443", {"http://a:443"}),
    ],
)  # fmt: skip
def test_origins_that_can_be_set(setting, found):
    """Origins stand in a list with commas."""
    assert origins(setting) == found


@pytest.mark.parametrize(
    "setting", ["*", "null", "shop.example.com", f"{SHOP}/", f"{SHOP}/path", f"{SHOP}:443", "http://a:80", "https://*.example.com",
                "HTTPS://shop.example.com", "https://Shop.example.com", "https://bücher.example", f"{SHOP} {ADMIN}", "ftp://a",
                f"{SHOP},*", "https://", "https://user@a", "https://a:0"]
)  # fmt: skip
def test_origins_that_no_browser_sends_are_refused(setting):
    """A wildcard and what would never fit are refused at the start, by the setting's name."""
    with pytest.raises(BadSettings, match="CORS_ORIGINS: must be origins as browsers send them"):
        origins(setting)


async def test_a_bad_setting_does_not_start(backend):
    """A gateway with a bad list does not start."""
    with pytest.raises(BadSettings, match="CORS_ORIGINS"):
        async with serving(backend, {"AUTH_MODE": "mock", "APP_ENV": "dev", "CORS_ORIGINS": "*"}):
            pass


def test_the_contract_describes_the_headers_that_pages_read():
    """The headers that answers have by the contract are those that pages may read."""
    described = {
        name
        for item in openapi()["paths"].values()
        for verb in item.values()
        for code, answer in verb["responses"].items()
        if code.startswith("2")
        for name in answer.get("headers", {})
    }
    assert described <= EXPOSED
