"""HEAD, and the root."""

import pytest

from services.gateway.docs import openapi
from tests.services.gateway.conftest import send_raw
from tests.services.gateway.test_routes import ORDER_ID, ROUTES

GETS = [path for path, item in openapi()["paths"].items() if "get" in item] + ["/docs", "/openapi.json"]
KNOWN = {"{id}": "1", "{checkout_id}": "c1"}


def address(path, known):
    """Give an address of a route: of something that is there, or of something that is not."""
    for name, value in KNOWN.items():
        path = path.replace(name, (ORDER_ID if "orders" in path else value) if known else "999")
    return path


def same(response):
    """Give the headers that do not depend on the time."""
    return {name: value for name, value in response.headers.items() if name != "Date"}


@pytest.mark.parametrize("path", GETS)
@pytest.mark.parametrize("known", [True, False])
async def test_every_get_has_its_head(gateway, path, known):
    """HEAD gives the status and the headers of GET, its Content-Length too, and no body (RFC 9110, section 9.3.2)."""
    headers = {
        "X-Request-Id": "r-1",
        "Accept-Encoding": "identity",
    }  # the length is that of the body as it is read here
    got = await gateway.client.get(address(path, known), headers=headers, allow_redirects=False)
    asked = await gateway.client.head(address(path, known), headers=headers, allow_redirects=False)
    assert (asked.status, same(asked)) == (got.status, same(got))
    assert int(asked.headers["Content-Length"]) == len(await got.read())


@pytest.mark.parametrize("path", GETS)
async def test_head_has_no_body(gateway, path):
    """No byte follows the headers: the next request on the connection is answered."""
    head = f"HEAD {address(path, known=True)} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    answer = await send_raw(gateway, head + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", body=False)
    assert answer.following.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_head_of_the_catalogue_knows_its_etag(gateway):
    """HEAD with an ETag that fits is 304, as GET is."""
    tag = (await gateway.client.head("/api/v1/products")).headers["ETag"]
    assert (await gateway.client.head("/api/v1/products", headers={"If-None-Match": tag})).status == 304


@pytest.mark.parametrize(
    ("method", "path"), [one for one in ROUTES if one[1].endswith(("items", "items/1", "checkout"))]
)
async def test_what_has_no_get_has_no_head(gateway, backend, method, path):
    """HEAD of a route that has no GET is 405, and its Allow names what the route has."""
    response = await gateway.client.head(path)
    assert (response.status, method in response.headers["Allow"], backend.asked) == (405, True, [])


async def test_a_head_needs_a_token(secured, backend):
    """Where tokens are needed, HEAD needs one."""
    assert ((await secured.client.head("/api/v1/cart")).status, backend.asked) == (401, [])


@pytest.mark.parametrize("accept", ["text/html", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"])
async def test_a_browser_is_sent_to_the_page(gateway, accept):
    """Who opens the address in a browser lands on the contract's page."""
    response = await gateway.client.get("/", headers={"Accept": accept}, allow_redirects=False)
    assert (response.status, response.headers["Location"], response.headers["Vary"]) == (302, "/docs", "Accept")
    assert (await gateway.client.get("/", headers={"Accept": accept})).content_type == "text/html"


@pytest.mark.parametrize("accept", [None, "*/*", "application/json"])
async def test_others_are_told_where_the_contract_is(gateway, accept):
    """A program gets JSON with addresses that are there."""
    response = await gateway.client.get("/", headers={"Accept": accept} if accept else {})
    found = await response.json()
    assert (response.status, found["name"]) == (200, "Cartwright")
    for name in ("docs", "openapi", "health"):
        assert (await gateway.client.get(found[name])).status == 200
