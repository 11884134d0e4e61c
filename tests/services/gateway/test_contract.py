"""Answers are held against openapi.yaml: whoever builds on the contract gets what it describes."""

import jsonschema_rs
import pytest

from services.gateway.docs import openapi

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
    described = openapi()["paths"][template or path][verb.lower()]["responses"][str(status)]
    schema = described["content"]["application/json"]["schema"]
    jsonschema_rs.validator_for(schema | {"components": openapi()["components"]}).validate(await response.json())
