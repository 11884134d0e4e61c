"""Nothing of a token, a key or a body is in any log line, whatever is sent and wherever."""

import contextlib
import logging

import asyncpg
import pytest
from structlog.testing import capture_logs

from services.chassis.redaction import LEFT_OUT, redacted
from services.errors import InternalError
from tests.services.gateway import contract
from tests.services.gateway.conftest import send_raw, serving

SECRET = "hunter2hunter2"
HEADERS = (
    "Authorization", "Cookie", "Idempotency-Key", "If-None-Match", "Origin", "Referer", "User-Agent", "X-User-Id",
    "X-Request-Id", "traceparent", "X-Api-Key", "Content-Type", "Content-Encoding", "Expect", "Forwarded",
)  # fmt: skip
BODIES = (
    {"idempotency_key": SECRET}, {"product_id": SECRET, "quantity": SECRET}, {SECRET: SECRET},
    {"product_id": 1, "quantity": 1, "token": SECRET},
)  # fmt: skip


@pytest.fixture
def logged(capfd, caplog):
    """Give what has been logged so far: by us, by libraries, and on the standard streams."""
    caplog.set_level(logging.DEBUG)
    with capture_logs() as lines:
        yield lambda: f"{lines} {[record.getMessage() for record in caplog.records]} {capfd.readouterr()}"


async def ask_all(gateway, backend):
    """Send the secret by every header and field of every operation, and in raw bytes."""
    for verb, path, operation in contract.operations():
        parameters = [contract.followed(one) for one in operation.get("parameters", [])]
        names = [one["name"] for one in parameters if one["in"] == "path"]
        template = path.format(**dict.fromkeys(names, 1))
        for header in HEADERS:
            value = f"Bearer {SECRET}" if header == "Authorization" else SECRET
            if header != "X-Request-Id":  # it is what log lines are found by
                await gateway.client.request(verb, template, headers={header: value}, json={"idempotency_key": "k"})
        for body in BODIES:
            await gateway.client.request(verb, template, json=body)
        await gateway.client.request(verb, path.format(**dict.fromkeys(names, SECRET)))
        await gateway.client.request(verb, f"{template}?{SECRET}={SECRET}", data=f'{{"{SECRET}'.encode())
    await gateway.client.get(f"/{SECRET}")
    for raw in (f"GET /{SECRET}\r\n\r\n", f"GET / HTTP/1.1\r\n{SECRET} x\r\n\r\n"):
        with contextlib.suppress(OSError):
            await send_raw(gateway, raw.encode())


@pytest.mark.parametrize("fails", [False, True])
async def test_nothing_that_is_sent_is_logged(backend, logged, fails):
    """With every read logged, no line has the value of a header, of a body, of a path or of a query, also not of requests that fail."""
    if fails:
        backend.broken = dict.fromkeys(("GetCarts", "AddItems", "StartCheckouts", "GetOrders"), InternalError())
    async with serving(backend, {"AUTH_MODE": "mock", "APP_ENV": "dev", "LOG_SAMPLE_READS": "1"}) as gateway:
        await ask_all(gateway, backend)
    said = logged()
    assert "/api/v1/checkout/{checkout_id}" in said
    assert SECRET not in said


async def test_no_token_is_logged(backend, jwt_settings, issuer, logged):
    """Neither a good token nor a bad one is in a log line, in whole or in its parts."""
    good, bad = issuer.token(), issuer.token(aud="other")
    async with serving(backend, jwt_settings | {"LOG_SAMPLE_READS": "1"}) as gateway:
        for token in (good, bad, SECRET):
            await gateway.client.get("/api/v1/cart", headers={"Authorization": f"Bearer {token}"})
        await ask_all(gateway, backend)
    said = logged()
    assert "/api/v1/cart" in said
    assert not any(part in said for token in (good, bad) for part in token.split("."))
    assert SECRET not in said


@pytest.mark.parametrize(
    "text",
    [
        f"cannot read Bearer {SECRET}",
        f"headers: {{'Authorization': 'Bearer {SECRET}'}}",
        f"the token eyJhbGciOiJSUzI1NiJ9.{SECRET}.{SECRET} is bad",
        f"cannot connect to postgresql://shop:{SECRET}@db:5432/ecommerce",
        f"redis://:{SECRET}@127.0.0.1:6379",
        str(asyncpg.UniqueViolationError.new({"M": "duplicate", "D": f"Key (idempotency_key)=({SECRET}) already exists.", "C": "23505"})),
        f"invalid input for query argument $2: '{SECRET}' (expected int)",
    ],
)  # fmt: skip
def test_a_secret_in_the_text_of_an_error_is_left_out(text):
    """What a library quotes of a token, a password or a row is not logged; the rest of its text is."""
    shown = redacted(text)
    assert (SECRET in shown, LEFT_OUT in shown) == (False, True)
    assert shown[:6] == text[:6]


@pytest.mark.parametrize("text", ["the database is busy", "http://127.0.0.1:8080/a@b", "user 7 of eyJ", "DETAIL"])
def test_other_texts_stay(text):
    """A text without a secret is logged as it is."""
    assert redacted(text) == text
