"""What happens to every request, and the contract that is served."""

from services.gateway.docs import openapi

UNDESCRIBED = {"/metrics", "/docs", "/openapi.json"}


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


async def test_a_page_is_served_for_people(gateway):
    """The contract can be read at /docs, without anything from elsewhere."""
    response = await gateway.client.get("/docs")
    text = await response.text()
    assert response.status == 200
    assert "/api/v1/checkout" in text
    assert "<script" not in text
    assert 'src="http' not in text


async def test_what_is_not_there_is_said_in_json(gateway):
    """Unknown paths are 404 and wrong methods 405 with Allow, both in JSON."""
    unknown = await gateway.client.get("/nothing")
    wrong = await gateway.client.patch("/api/v1/cart")
    assert (unknown.status, set(await unknown.json())) == (404, {"error"})
    assert (wrong.status, wrong.headers["Allow"], set(await wrong.json())) == (405, "DELETE, GET, HEAD", {"error"})


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
