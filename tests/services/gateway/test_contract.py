"""Answers are held against openapi.yaml: whoever builds on the contract gets what it describes."""

import asyncio

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from services.gateway.docs import openapi
from tests.services.gateway import contract

SCHEMA = schemathesis.openapi.from_dict(openapi())
OPERATIONS = [(verb.upper(), path) for path, item in openapi()["paths"].items() for verb in item]
MADE_UP = [
    (verb, path, mode)
    for verb, path in OPERATIONS
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or "parameters" in openapi()["paths"][path][verb.lower()]
]
"""A route without parameters and body has no request that breaks the contract."""
SHARED = {"400", "414", "415", "417", "431"}
"""The answers that every route has."""
ORDER = "/api/v1/orders/7c1e0000-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("verb", "path", "template", "body", "status"),
    [
        ("GET", "/health", None, None, 200),
        ("GET", "/ready", None, None, 200),
        ("GET", "/api/v1/products", None, None, 200),
        ("GET", "/api/v1/products/1", "/api/v1/products/{id}", None, 200),
        ("GET", "/api/v1/products/9", "/api/v1/products/{id}", None, 404),
        ("GET", "/api/v1/products/x", "/api/v1/products/{id}", None, 400),
        ("GET", "/api/v1/cart", None, None, 200),
        ("DELETE", "/api/v1/cart", None, None, 200),
        ("POST", "/api/v1/cart/items", None, {"product_id": 1, "quantity": 2}, 200),
        ("POST", "/api/v1/cart/items", None, {"product_id": 1, "quantity": 0}, 400),
        ("PUT", "/api/v1/cart/items/9", "/api/v1/cart/items/{product_id}", {"quantity": 2}, 404),
        ("DELETE", "/api/v1/cart/items/9", "/api/v1/cart/items/{product_id}", None, 404),
        ("POST", "/api/v1/checkout", None, {"idempotency_key": "k"}, 200),
        ("POST", "/api/v1/checkout", None, {}, 400),
        ("GET", "/api/v1/checkout/c1", "/api/v1/checkout/{checkout_id}", None, 200),
        ("GET", "/api/v1/checkout/c2", "/api/v1/checkout/{checkout_id}", None, 404),
        ("GET", "/api/v1/orders", None, None, 200),
        ("GET", ORDER, "/api/v1/orders/{id}", None, 200),
    ],
)
async def test_answers_are_as_the_contract_describes(gateway, verb, path, template, body, status):
    """The status of an answer is described for its route, and its body fits the schema given there."""
    response = await gateway.client.request(verb, path, json=body)
    assert response.status == status
    described = contract.answer(template or path, verb, status)
    contract.validator(contract.schema_of(described)).validate(await response.json())


@pytest.mark.parametrize(("verb", "path", "mode"), MADE_UP)
async def test_made_up_requests_get_described_answers(gateway, verb, path, mode):
    """Whatever is asked, by the contract or against it, the answer is one that the contract describes, and never 5xx."""
    address = str(gateway.client.make_url("")).rstrip("/")

    @settings(max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=SCHEMA[path][verb].as_strategy(generation_mode=mode))
    def send(case):
        case.call_and_validate(
            base_url=address,
            allow_redirects=False,
            checks=[
                schemathesis.checks.not_a_server_error,
                checks.status_code_conformance,
                checks.content_type_conformance,
                checks.response_headers_conformance,
                checks.response_schema_conformance,
            ],
        )

    await asyncio.to_thread(send)


def test_every_route_describes_the_answers_that_all_have():
    """What may happen to any request is described for every route."""
    for verb, path in OPERATIONS:
        assert set(openapi()["paths"][path][verb.lower()]["responses"]) >= SHARED, (verb, path)


@pytest.mark.parametrize(("verb", "path", "operation"), contract.operations())
async def test_the_examples_work(gateway, verb, path, operation):
    """The example of each operation, as the page sends it, is answered as the contract describes for success."""
    await gateway.client.post("/api/v1/cart/items", json={"product_id": 1, "quantity": 1})
    parameters = [contract.followed(one) for one in operation.get("parameters", [])]
    given = {one["name"]: one["example"] for one in parameters if "example" in one}
    assert {one["name"] for one in parameters if one.get("required")} <= set(given)
    query = {one["name"]: str(one["example"]) for one in parameters if one["in"] == "query" and "example" in one}
    bodies = contract.examples_of(operation.get("requestBody", {})) or [None]
    for body in bodies:
        if body is not None:
            contract.validator(contract.schema_of(operation["requestBody"])).validate(body)
        answer = await gateway.client.request(verb, path.format(**given), json=body, params=query)
        assert answer.status == 200, await answer.text()
        contract.validator(contract.schema_of(contract.answer(path, verb, 200))).validate(await answer.json())


@pytest.mark.parametrize(("verb", "path", "operation"), contract.operations())
def test_every_body_and_answer_has_an_example_that_fits(verb, path, operation):
    """Every body of the contract has an example, and it fits its schema."""
    described = [contract.followed(one) for one in operation["responses"].values()]
    if verb in {"POST", "PUT"}:
        described.append(operation["requestBody"])
    for one in described:
        if "content" in one:
            assert contract.examples_of(one), (verb, path, one["description"])
            for example in contract.examples_of(one):
                contract.validator(contract.schema_of(one)).validate(example)


def test_no_answer_is_described_twice():
    """Error answers are described once, in components, and every operation names them."""
    for verb, path, operation in contract.operations():
        own = [status for status, one in operation["responses"].items() if status >= "4" and "$ref" not in one]
        assert own == (["503"] if path == "/ready" else []), (verb, path)  # a page of states, no error
    assert "x-every" not in openapi()


def test_the_contract_is_valid():
    """The contract is valid OpenAPI 3.1, and no operation lacks what a reader of the page needs."""
    SCHEMA.validate()
    for verb, path, operation in contract.operations():
        assert {"operationId", "tags", "summary"} <= set(operation), (verb, path)
        assert all("description" in contract.followed(one) for one in operation.get("parameters", [])), (verb, path)


def test_no_sentence_of_the_contract_became_a_key():
    """A comma in an unquoted description splits it in YAML, and the rest becomes a member without a value."""
    empty = [
        name
        for part in _parts(openapi())
        if isinstance(part, dict)
        for name, value in part.items()
        if value is None and " " in name
    ]
    assert empty == []


def _parts(value):
    yield value
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for member in members:
        yield from _parts(member)
