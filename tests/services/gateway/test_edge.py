"""What happens to every request, and the contract that is served."""

import re

import pytest

from services.gateway import docs
from services.gateway.docs import openapi

UNDESCRIBED = {"/metrics", "/openapi.json", *docs.FILES}
LOADS = re.compile(r'(?:src|href)="([^"]*)"|url\(([^)]*)\)')
"""What a page or a stylesheet names to be loaded."""


async def test_the_routes_are_those_of_the_contract(gateway):
    """Nothing is served that the contract does not describe, and nothing is described that is not served."""
    served = {
        (route.method.lower(), route.resource.canonical)
        for route in gateway.app.router.routes()
        if route.method != "HEAD" and route.resource.canonical not in UNDESCRIBED
    }
    described = {
        (verb, path)
        for path, item in openapi()["paths"].items()
        for verb in item
        if verb in {"get", "put", "post", "delete"} and path not in UNDESCRIBED
    }
    assert served == described


@pytest.mark.parametrize("path", docs.FILES)
async def test_a_page_is_served_for_people(gateway, path):
    """The contract can be read at /docs. What the page loads is served here, and its policy allows nothing else and nothing inline."""
    response = await gateway.client.get(path)
    text = await response.text()
    policy = response.headers["Content-Security-Policy"]
    assert (response.status, policy.split("; ")[0], "unsafe" in policy) == (200, "default-src 'none'", False)
    assert response.headers["Content-Type"] in {f"text/{kind}; charset=utf-8" for kind in ("html", "css", "javascript")}
    again = await gateway.client.get(path, headers={"If-None-Match": response.headers["ETag"]})
    assert again.status == 304
    if path.endswith(".js"):
        return
    assert not re.search(r"<style|style=|<script(?! src=)", text)
    for names in LOADS.findall(text):
        name = "".join(names).strip("\"'")
        assert name.startswith(("data:", "/")), name
        if name.startswith("/"):
            assert (await gateway.client.get(name)).status == 200


async def test_what_is_not_there_is_said_in_json(gateway):
    """Unknown paths are 404 and wrong methods 405 with Allow, both in JSON."""
    unknown = await gateway.client.get("/nothing")
    wrong = await gateway.client.patch("/api/v1/cart")
    assert (unknown.status, set(await unknown.json())) == (404, {"error", "code"})
    assert (wrong.status, wrong.headers["Allow"], set(await wrong.json())) == (
        405,
        "DELETE, GET, HEAD",
        {"error", "code"},
    )


async def test_a_request_id_goes_through(gateway, backend):
    """A well-formed request id reaches the services and comes back; another is replaced."""
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    mine = await gateway.client.get("/api/v1/cart", headers={"X-Request-Id": "r-1", "traceparent": trace})
    assert mine.headers["X-Request-Id"] == "r-1"
    assert (backend.calls[0].request_id, backend.calls[0].traceparent) == ("r-1", trace)
    assert backend.asked[0][1][0].call.request_id == "r-1"
    other = await gateway.client.get("/api/v1/cart", headers={"X-Request-Id": "a b"})
    assert other.headers["X-Request-Id"] not in {"", "a b"}


async def test_metrics_have_routes_not_addresses(gateway):
    """A metric's label is the route's pattern, so that no client can make new ones."""
    await gateway.client.get("/api/v1/products/77")
    await gateway.client.get("/made-up-by-a-client")
    page = await (await gateway.client.get("/metrics")).text()
    assert "GET /api/v1/products/{id}" in page
    assert "77" not in page.split("cartwright_request_seconds_bucket")[1]
    assert "made-up-by-a-client" not in page
