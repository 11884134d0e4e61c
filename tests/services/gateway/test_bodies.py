"""Bodies of requests: what is read, what is refused and in which words, and clients that leave."""

import asyncio
import json
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import Invalid
from services.gateway import bodies, strict_json
from tests.services.gateway.conftest import send_raw

WITH_BODY = [("POST", "/api/v1/cart/items"), ("PUT", "/api/v1/cart/items/1"), ("POST", "/api/v1/checkout")]
ADD, KEY = WITH_BODY[0][1], WITH_BODY[2][1]
LIBRARY = (
    "JSON is malformed",
    "Input data",
    "Expected",
    "`",
    "$.",
    "Traceback",
    "decode",
    "codec",
    "delimiter",
    "line 1",
)

REFUSED = [
    (ADD, b'{"product_id":1,"product_id":2,"quantity":1}', 'the field "product_id" occurs more than once'),
    (ADD, b'{"product_id":1,"quantity":1,"quantity":1}', 'the field "quantity" occurs more than once'),
    (ADD, b'{"product_id":1,"\\u0070roduct_id":2,"quantity":1}', 'the field "product_id" occurs more than once'),
    (ADD, b'{"product_id":{"a":[{"b":1,"b":1}]},"quantity":1}', 'the field "b" occurs more than once'),
    (ADD, b'{"x":{"\\ud800":1,"\\ud800":1}}', 'the field "\\ud800" occurs more than once'),
    (KEY, b'{"idempotency_key":"a","idempotency_key":"a"}', 'the field "idempotency_key" occurs more than once'),
    (ADD, b'{"product_id":1,"quantity":1,"price":1}', 'the field "price" is unknown'),
    (ADD, b'{"' + b"p" * 5000 + b'":1}', f'the field "{"p" * 64}..." is unknown'),
    (ADD, b'{"quantity":1}', "product_id is required"),
    (ADD, b'{"product_id":1}', "quantity is required"),
    (ADD, b"", "product_id is required"),
    (ADD, b" \r\n\t", "product_id is required"),
    (ADD, b'{"product_id":1.5,"quantity":1}', "product_id must be an integer"),
    (ADD, b'{"product_id":1,"quantity":1.0000000000000000000000001}', "quantity must be an integer"),
    (ADD, b'{"product_id":1,"quantity":1e-99999999999999999999}', "quantity must be an integer"),
    (ADD, b'{"product_id":"1","quantity":1}', "product_id must be an integer"),
    (ADD, b'{"product_id":true,"quantity":1}', "product_id must be an integer"),
    (ADD, b'{"product_id":null,"quantity":1}', "product_id must be an integer"),
    (ADD, b'{"product_id":[1],"quantity":1}', "product_id must be an integer"),
    (ADD, b'{"product_id":0,"quantity":1}', "a product's id is a positive 64-bit integer"),
    (ADD, b'{"product_id":9223372036854775808,"quantity":1}', "a product's id is a positive 64-bit integer"),
    (ADD, b'{"product_id":1e19,"quantity":1}', "a product's id is a positive 64-bit integer"),
    (ADD, b'{"product_id":1e999999999,"quantity":1}', "a product's id is a positive 64-bit integer"),
    (ADD, b'{"product_id":1e99999999999999999999,"quantity":1}', "a product's id is a positive 64-bit integer"),
    (ADD, b'{"product_id":' + b"9" * 5000 + b',"quantity":1}', "a product's id is a positive 64-bit integer"),
    (ADD, b'{"product_id":1,"quantity":' + b"9" * 5000 + b"}", "quantity must be between 1 and 99"),
    (ADD, b'{"product_id":1,"quantity":-' + b"9" * 5000 + b"}", "quantity must be between 1 and 99"),
    (ADD, b'{"product_id":1,"quantity":-1e999999999}', "quantity must be between 1 and 99"),
    (KEY, b'{"idempotency_key":1}', "idempotency_key must be a string"),
    (KEY, b'{"idempotency_key":null}', "idempotency_key must be a string"),
    (ADD, b'{"product_id":NaN,"quantity":1}', "the body is not valid JSON: it has no number NaN"),
    (ADD, b'{"product_id":-Infinity,"quantity":1}', "the body is not valid JSON: it has no number -Infinity"),
    (ADD, b'{"product_id":1', "the body is not valid JSON: see character 16"),
    (ADD, b'{"product_id":01}', "the body is not valid JSON: see character 16"),
    (ADD, b'{"product_id":1} {}', "the body is not valid JSON: see character 18"),
    (ADD, b'{"product_id":1,}', "the body is not valid JSON: see character 17"),
    (ADD, b'{"product_id":"a\nb"}', "the body is not valid JSON: see character 17"),
    (ADD, b"product_id=1&quantity=1", "the body is not valid JSON: see character 1"),
    (ADD, b"<item/>", "the body is not valid JSON: see character 1"),
    (ADD, b"\xef\xbb\xbf{}", "the body must not begin with a byte order mark"),
    (ADD, '{"product_id":1}'.encode("utf-16"), "the body must be UTF-8"),
    (ADD, b'{"product_id":"\xff"}', "the body must be UTF-8"),
    (ADD, b'{"product_id":"\xed\xa0\x80"}', "the body must be UTF-8"),
    (ADD, b"[" * 16_000, "the body is nested too deeply"),
    (ADD, b'{"a":' * 3000, "the body is nested too deeply"),
    (ADD, b"[]", "the body must be a JSON object"),
    (ADD, b"null", "the body must be a JSON object"),
    (ADD, b'"x"', "the body must be a JSON object"),
    (ADD, b"1", "the body must be a JSON object"),
]


@pytest.mark.parametrize(("path", "body", "error"), REFUSED)
async def test_a_bad_body_is_refused_in_our_words(gateway, backend, path, body, error):
    """The answer names the field and what is wrong with it, in no library's words, and nothing is bought or added."""
    response = await gateway.client.post(path, data=body)
    assert (response.status, (await response.json())["error"]) == (400, error)
    assert not any(word in error for word in LIBRARY)
    assert backend.carts == {}
    assert "StartCheckouts" not in {name for name, _ in backend.asked}


@pytest.mark.parametrize("number", ["2", "2.0", "2e0", "20E-1", "0.2e1", "2.000000000000000000000000000000000"])
async def test_a_number_without_a_fraction_is_an_integer(gateway, number):
    """To JSON Schema 2.0 is an integer, and many clients write it so: it is taken for product and quantity alike."""
    one = number.replace("2", "1")
    body = f'{{"product_id": {one}, "quantity": {number}}}'
    response = await gateway.client.post(ADD, data=body)
    assert (response.status, (await response.json())["items"][0]["quantity"]) == (200, 2), await response.text()
    assert (await gateway.client.put("/api/v1/cart/items/1", data=f'{{"quantity": {number}}}')).status == 200


@pytest.mark.parametrize("number", [2**53 + 1, 2**63 - 1])
@pytest.mark.parametrize("form", ["{}", "{}.0", "{}0e-1"])
async def test_no_digit_of_a_large_integer_is_lost(gateway, backend, number, form):
    """An integer beyond 2^53 reaches the service with every digit, however it is written."""
    body = f'{{"product_id": {form.format(number)}, "quantity": 1}}'
    await gateway.client.post(ADD, data=body)
    assert backend.asked[0][1][0].product_id == number


@pytest.mark.parametrize(
    "content_type",
    [None, "application/json", "application/json; charset=latin-1", "application/vnd.api+json", "text/plain",
     "application/x-www-form-urlencoded", "nonsense"],
)  # fmt: skip
async def test_the_content_type_does_not_matter(gateway, content_type):
    """A body is JSON in UTF-8 whatever it is called: curl -d calls it a form."""
    headers = {"Content-Type": content_type} if content_type else {}
    skip = ["Content-Type"] if content_type is None else []
    response = await gateway.client.post(
        ADD, data=b'{"product_id":1,"quantity":1}', headers=headers, skip_auto_headers=skip
    )
    assert response.status == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity", "x", "", "gzip, br"])
async def test_an_encoded_body_is_415(gateway, backend, encoding):
    """Whatever the Content-Encoding, on a route with a body or without one: 415 that says what would be accepted."""
    for method, path in [*WITH_BODY, ("GET", "/api/v1/cart"), ("DELETE", "/api/v1/cart"), ("GET", "/health")]:
        body = b'{"product_id":1,"quantity":1}'
        response = await gateway.client.request(method, path, data=body, headers={"Content-Encoding": encoding})
        assert (response.status, response.headers["Accept-Encoding"]) == (415, "identity")
        assert (await response.json())["error"] == "a request must not have a Content-Encoding"
    assert backend.asked == []


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
@pytest.mark.parametrize("framing", ["Content-Length: 20\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n5\r\n{"])
async def test_a_client_that_leaves_is_no_failure_of_ours(gateway, backend, caplog, capsys, method, path, framing):
    """A client that leaves in the middle of its body is counted as 499, and neither as 500 nor logged as a failure."""
    await send_raw(gateway, f"{method} {path} HTTP/1.1\r\nHost: x\r\n{framing}".encode(), leave=True)
    async with asyncio.timeout(8):
        while 'code="499"' not in gateway.metrics.page().decode():  # noqa: ASYNC110 - no event tells of a metric
            await asyncio.sleep(0.001)
    assert 'code="500"' not in gateway.metrics.page().decode()
    assert "unexpected failure" not in capsys.readouterr().out
    assert caplog.records == []
    assert backend.asked == []


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
async def test_a_body_that_is_badly_chunked_is_400_at_once(gateway, backend, caplog, method, path):
    """Where a later chunk is malformed the answer is 400, without waiting for a body that never comes."""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n".encode()
    answer = await send_raw(gateway, head, b"zz\r\n")
    assert (answer.status, json.loads(answer.body)["error"]) == (400, "the body is not well-formed HTTP/1.1")
    assert (backend.asked, caplog.records) == ([], [])


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
async def test_a_body_that_is_announced_too_large_is_not_read(gateway, method, path):
    """A Content-Length past the limit is 413 before the body is sent."""
    answer = await send_raw(gateway, f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 16385\r\n\r\n".encode())
    assert (answer.status, json.loads(answer.body)["error"]) == (413, "the body is larger than 16 KiB")


async def test_a_body_of_16_kib_is_read(gateway):
    """The limit itself is within it."""
    body = b'{"product_id":1,"quantity":1}'.ljust(bodies.MAX_BODY_BYTES)
    assert (await gateway.client.post(ADD, data=body)).status == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_every_object_without_repeats_is_read_as_it_is(value):
    """What another program wrote as JSON is read unchanged."""
    read = strict_json.members(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    assert read == value


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_fail(raw):
    """Any bytes are read or refused."""
    with suppress(Invalid):
        assert isinstance(strict_json.members(raw), dict)


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_is_an_integer_where_its_fraction_is_zero(number):
    """No number is rounded to an integer."""
    found = strict_json.integer(number)
    if abs(number) < 10**20:
        assert found == (int(number) if number == int(number) else None)
    else:
        assert found == strict_json.HUGE * (1 if number > 0 else -1)


@given(st.text(alphabet="0123456789eE+-.", max_size=30))
def test_no_number_makes_the_reader_fail(text):
    """Any number is read or refused, in little time."""
    try:
        value = strict_json.members(f'{{"a":{text}}}'.encode())["a"]
    except Invalid:
        return
    assert isinstance(value, int | Decimal)
    strict_json.integer(value)
