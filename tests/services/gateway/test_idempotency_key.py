"""The idempotency key of a request: which keys there are, and how the header and the body name the same one."""

import json

import pytest
from multidict import CIMultiDict

from services.errors import Invalid
from services.gateway import headers
from tests import keys
from tests.services.gateway.conftest import send_raw

PATH = "/api/v1/checkout"
NAME = "Idempotency-Key"
RULE = (
    "idempotency_key must be 1 to 255 characters, not blank, without control characters, surrogates and unassigned"
    " code points"
)

IN_HEADER = {
    "bare": ("k", "k"),
    "a structured-field string": ('"k"', "k"),
    "a bare UUID": ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
    "a UUID in quotes": ('"8e03978e-40d5-43dd-bc93-6894a57f9324"', "8e03978e-40d5-43dd-bc93-6894a57f9324"),
    "a comma in quotes": ('"a, b"', "a, b"),
    "a quote in quotes": ('"a\\"b"', 'a"b'),
    "a backslash in quotes": ('"a\\\\b"', "a\\b"),
    "a backslash before a quote": ('"\\\\\\""', '\\"'),
    "a bare backslash": ("a\\b", "a\\b"),
    "spaces in quotes": ('" k "', " k "),
    "a bare space": ("a b", "a b"),
    "bare signs": (":k=;p=1?", ":k=;p=1?"),
    "255 characters in quotes": (f'"{"k" * 255}"', "k" * 255),
}
MALFORMED = {
    "no end": '"k',
    "no beginning": 'k"',
    "a quote alone": '"',
    "a quote inside": '"a"b"',
    "text behind": '"k"x',
    "a parameter": '"k";p=1',
    "two strings, as a proxy joins them": '"k", "k"',
    "two bare keys, as a proxy joins them": "a, b",
    "one bare key twice, as a proxy joins them": "k,k",
    "an escape of another letter": '"a\\b"',
    "an escape of nothing": '"a\\',
    "an escaped end": '"k\\"',
    "a display string": '%"k"',
    "single-byte text": "\udcfc",
    "UTF-8": "ü",
    "UTF-8 in quotes": '"ü"',
    "a tab in quotes": '"a\tb"',
    "a bare tab": "a\tb",
}


@pytest.mark.parametrize("key", keys.ACCEPTED.values(), ids=keys.ACCEPTED.keys())
@pytest.mark.parametrize("ascii_only", [True, False])
async def test_a_key_that_every_interface_accepts(gateway, backend, key, ascii_only):
    """A key that gRPC and the Checkout resource accept reaches the checkout service unchanged, escaped or not."""
    body = json.dumps({"idempotency_key": key}, ensure_ascii=ascii_only).encode()
    assert (await gateway.client.post(PATH, data=body)).status == 200
    assert backend.asked[0][1][0].idempotency_key == key


@pytest.mark.parametrize("key", [*keys.REFUSED.values(), *keys.SURROGATES.values()])
async def test_a_key_that_every_interface_refuses(gateway, backend, key):
    """A key that gRPC and the Checkout resource refuse is 400, and starts nothing."""
    response = await gateway.client.post(PATH, data=json.dumps({"idempotency_key": key}).encode())
    error = RULE if key else "idempotency_key is required"
    assert (response.status, (await response.json())["error"]) == (400, error)
    assert backend.asked == []


@pytest.mark.parametrize(("value", "key"), IN_HEADER.values(), ids=IN_HEADER.keys())
async def test_a_key_in_the_header(gateway, backend, value, key):
    """A key in quotes and the same key bare are one key, and that of the body."""
    assert (await gateway.client.post(PATH, headers={NAME: value})).status == 200
    assert (await gateway.client.post(PATH, headers={NAME: value}, json={"idempotency_key": key})).status == 200
    assert {items[0].idempotency_key for _, items in backend.asked} == {key}


@pytest.mark.parametrize("value", MALFORMED.values(), ids=MALFORMED.keys())
@pytest.mark.parametrize("body", [b"{}", b'{"idempotency_key":"k"}'])
async def test_a_malformed_header_is_refused(gateway, backend, value, body):
    """A header that two readers could understand differently is 400, whatever the body says, and starts nothing."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{NAME}: {value}\r\n\r\n"
    answer = await send_raw(gateway, head.encode("utf-8", "surrogateescape") + body)
    assert answer.status == 400
    assert json.loads(answer.body)["error"].startswith(
        "the Idempotency-Key header is malformed: send the key in quotes"
    )
    assert backend.asked == []


@pytest.mark.parametrize(
    ("value", "body"), [("a", "b"), ('"a"', "b"), ("a", '"a"'), ('"\\"a\\""', "a"), ("a", ""), ('""', "a"), ("", "a")]
)
async def test_a_header_and_a_body_that_differ_are_refused(gateway, backend, value, body):
    """A header and a body that name two keys start nothing; the quotes of the header are none of the key."""
    response = await gateway.client.post(PATH, json={"idempotency_key": body}, headers={NAME: value})
    error = "the Idempotency-Key header and idempotency_key differ"
    assert (response.status, (await response.json())["error"], backend.asked) == (400, error, [])


@pytest.mark.parametrize(("value", "status"), [("", 400), ('""', 400), ('" "', 400), (f'"{"k" * 256}"', 400)])
async def test_the_rule_holds_for_the_header_too(gateway, backend, value, status):
    """A key in the header is 1 to 255 characters and not blank."""
    response = await gateway.client.post(PATH, headers={NAME: value})
    assert (response.status, backend.asked) == (status, [])
    assert (await response.json())["error"].startswith("idempotency_key ")


def test_no_header_is_not_an_empty_one():
    """A request without the header has no key there, and one with an empty header has an empty key."""
    assert headers.idempotency_key(CIMultiDict()) is None
    assert headers.idempotency_key(CIMultiDict({NAME: ""})) == ""
    with pytest.raises(Invalid):
        headers.idempotency_key(CIMultiDict({NAME: '"'}))
