"""Every error answer has a code, which is one of a documented list and does not depend on the words."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from multidict import CIMultiDict

from services.cart.domain import LineFull, TooManyLines
from services.chassis.faults import fault_in, refuse
from services.checkout.domain import EmptyCart
from services.error_codes import ErrorCode
from services.errors import Conflict, Fault, Invalid, NotFound, OutcomeUnknown, Unavailable
from services.gateway import bodies
from services.gateway.docs import openapi
from services.orders.domain import InvalidOrderId
from services.pb import call_pb2, checkout_pb2
from tests.services.gateway.conftest import send_raw, serving

DOCS = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
TABLE = dict(re.findall(r"^\| `(\w+)` \| (\d{3}) \|", DOCS, re.MULTILINE))
"""The codes of docs/api.md and their statuses."""
BUY = {"idempotency_key": "k"}
ADD = "/api/v1/cart/items"


@dataclass(frozen=True)
class Ask:
    """A request that is refused; `refusals` are the faults that a service answers with."""

    path: str
    method: str = "GET"
    json: object = None
    data: bytes | None = None
    headers: CIMultiDict | dict | None = None
    refusals: dict[str, Fault] | None = None

    async def __call__(self, gateway, backend):
        backend.refusals = self.refusals or {}
        answer = await gateway.client.request(
            self.method, self.path, json=self.json, data=self.data, headers=self.headers
        )
        return answer.status, await answer.json()


def refused(code, fault, path=ADD, method="AddItems"):
    """Give the case of a fault that a service refuses the request with."""
    verb, body = ("GET", None) if path != ADD else ("POST", {"product_id": 1, "quantity": 1})
    return code, Ask(path, verb, json=body, refusals={method: fault})


async def a_running_checkout(gateway, backend):
    backend.running = "c9"
    return await Ask("/api/v1/checkout", "POST", json=BUY)(gateway, backend)


async def a_product_that_is_gone(gateway, backend):
    backend.gone = [checkout_pb2.UnknownProduct(product_id=9)]
    return await Ask("/api/v1/checkout", "POST", json=BUY)(gateway, backend)


async def a_failure(gateway, backend):
    backend.broken["GetCarts"] = RuntimeError("boom")
    return await Ask("/api/v1/cart")(gateway, backend)


async def a_service_that_is_away(gateway, backend):
    backend.broken["GetCarts"] = Unavailable("away")
    return await Ask("/api/v1/cart")(gateway, backend)


async def a_lost_reply(gateway, backend):
    backend.broken["AddItems"] = OutcomeUnknown("lost")
    return await Ask(ADD, "POST", json={"product_id": 1, "quantity": 1})(gateway, backend)


async def a_slow_body(gateway, backend):
    head = b"POST /api/v1/cart/items HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
    answer = await send_raw(gateway, head)
    return answer.status, json.loads(answer.body)


def raw(request):
    """Give a case of bytes that no HTTP client sends."""

    async def send(gateway, backend):
        answer = await send_raw(gateway, request.encode())
        return answer.status, json.loads(answer.body)

    return send


GET = "GET /health HTTP/1.1\r\nHost: x\r\n"
CASES: list[tuple[ErrorCode, Callable[..., Awaitable[tuple[int, dict]]]]] = [
    refused(ErrorCode.INVALID_REQUEST, Invalid("of an older service")),
    (ErrorCode.MALFORMED_HTTP, raw("GET /health HTTP/1.7\r\nHost: x\r\n\r\n")),
    (ErrorCode.MALFORMED_HTTP, raw(f"POST {ADD} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")),
    *[(ErrorCode.BODY_INVALID, Ask(ADD, "POST", data=data)) for data in (b"{", b"[]", b"\xff", b"\xef\xbb\xbf{}", b"[" * 9000, b'{"a":NaN}')],
    (ErrorCode.FIELD_UNKNOWN, Ask(ADD, "POST", json={"price": 1})),
    (ErrorCode.FIELD_REPEATED, Ask(ADD, "POST", data=b'{"quantity":1,"quantity":1}')),
    (ErrorCode.FIELD_REQUIRED, Ask(ADD, "POST", json={"quantity": 1})),
    (ErrorCode.FIELD_INVALID, Ask(ADD, "POST", json={"product_id": 1, "quantity": "1"})),
    (ErrorCode.FIELD_INVALID, Ask("/api/v1/checkout", "POST", json={"idempotency_key": 1})),
    (ErrorCode.PARAMETER_UNKNOWN, Ask("/api/v1/cart?x=1")),
    (ErrorCode.PARAMETER_UNKNOWN, Ask("/health?x=1")),
    (ErrorCode.PARAMETER_REPEATED, Ask("/api/v1/orders?limit=1&limit=1")),
    (ErrorCode.PARAMETER_INVALID, Ask("/api/v1/orders?limit=0")),
    (ErrorCode.HEADER_REPEATED, Ask("/api/v1/cart", headers=CIMultiDict([("X-User-Id", "1"), ("X-User-Id", "2")]))),
    (ErrorCode.USER_ID_INVALID, Ask("/api/v1/cart", headers={"X-User-Id": "x"})),
    (ErrorCode.PRODUCT_ID_INVALID, Ask("/api/v1/products/x")),
    (ErrorCode.PRODUCT_ID_INVALID, Ask(ADD, "POST", json={"product_id": 0, "quantity": 1})),
    refused(ErrorCode.ORDER_ID_INVALID, InvalidOrderId(), "/api/v1/orders/x", "GetOrders"),
    (ErrorCode.QUANTITY_INVALID, Ask(ADD, "POST", json={"product_id": 1, "quantity": 0})),
    refused(ErrorCode.CART_LINE_FULL, LineFull()),
    refused(ErrorCode.CART_FULL, TooManyLines()),
    (ErrorCode.CART_EMPTY, Ask("/api/v1/checkout", "POST", json=BUY, refusals={"StartCheckouts": EmptyCart()})),
    (ErrorCode.IDEMPOTENCY_KEY_REQUIRED, Ask("/api/v1/checkout", "POST")),
    (ErrorCode.IDEMPOTENCY_KEY_INVALID, Ask("/api/v1/checkout", "POST", json={"idempotency_key": " "})),
    (ErrorCode.IDEMPOTENCY_KEY_INVALID, Ask("/api/v1/checkout", "POST", headers={"Idempotency-Key": '"k'})),
    (ErrorCode.IDEMPOTENCY_KEY_MISMATCH, Ask("/api/v1/checkout", "POST", json=BUY, headers={"Idempotency-Key": "x"})),
    refused(ErrorCode.NOT_FOUND, NotFound("of an older service")),
    (ErrorCode.ROUTE_NOT_FOUND, Ask("/nothing")),
    (ErrorCode.ROUTE_NOT_FOUND, Ask("/api/v2/cart")),
    (ErrorCode.PRODUCT_NOT_FOUND, Ask("/api/v1/products/9")),
    (ErrorCode.PRODUCT_NOT_FOUND, Ask(ADD, "POST", json={"product_id": 9, "quantity": 1})),
    (ErrorCode.CART_ITEM_NOT_FOUND, Ask("/api/v1/cart/items/9", "DELETE")),
    (ErrorCode.CHECKOUT_NOT_FOUND, Ask("/api/v1/checkout/c2")),
    (ErrorCode.ORDER_NOT_FOUND, Ask("/api/v1/orders/7c1e0000-0000-4000-8000-000000000009")),
    (ErrorCode.METHOD_NOT_ALLOWED, Ask("/api/v1/cart", "PATCH")),
    (ErrorCode.METHOD_NOT_ALLOWED, Ask("/health", "POST")),
    refused(ErrorCode.CONFLICT, Conflict("of an older service")),
    (ErrorCode.CHECKOUT_RUNNING, a_running_checkout),
    (ErrorCode.PRODUCTS_UNAVAILABLE, a_product_that_is_gone),
    (ErrorCode.BODY_TIMEOUT, a_slow_body),
    (ErrorCode.BODY_TOO_LARGE, Ask(ADD, "POST", data=b" " * 17_000)),
    (ErrorCode.URL_TOO_LONG, raw(f"GET /{'a' * 9000} HTTP/1.1\r\nHost: x\r\n\r\n")),
    (ErrorCode.CONTENT_ENCODING_UNSUPPORTED, Ask("/api/v1/cart", headers={"Content-Encoding": "identity"})),
    (ErrorCode.EXPECTATION_UNSUPPORTED, raw(f"{GET}Expect: x\r\n\r\n")),
    (ErrorCode.HEADERS_TOO_LARGE, raw(f"{GET}X: {'a' * 17_000}\r\n\r\n")),
    (ErrorCode.INTERNAL_ERROR, a_failure),
    (ErrorCode.SERVICE_UNAVAILABLE, a_service_that_is_away),
    refused(ErrorCode.OVERLOADED, Unavailable("too many", code=ErrorCode.OVERLOADED)),
    (ErrorCode.OUTCOME_UNKNOWN, a_lost_reply),
]  # fmt: skip
"""Those of a laptop's gateway. With tokens and at its bound it has others, which have tests of their own below."""
ELSEWHERE = {
    ErrorCode.TOKEN_REQUIRED, ErrorCode.TOKEN_EXPIRED, ErrorCode.TOKEN_INVALID, ErrorCode.TOKEN_USER_INVALID,
    ErrorCode.TOKEN_CHECK_UNAVAILABLE, ErrorCode.CLIENT_GONE,
}  # fmt: skip


@pytest.mark.parametrize(("code", "ask"), CASES, ids=[f"{code}-{place}" for place, (code, _) in enumerate(CASES)])
async def test_an_error_has_its_code(gateway, backend, monkeypatch, code, ask):
    """An error answer has its code, wherever it is made, and the status that the docs give for the code."""
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.2)
    status, body = await ask(gateway, backend)
    assert (body["code"], str(status)) == (code, TABLE[code])
    assert body["error"]


async def test_a_token_that_does_not_count_has_its_code(secured, issuer):
    """No token, an expired one, one that is no token and one without a user are told apart by the code."""
    cases = {
        ErrorCode.TOKEN_REQUIRED: {},
        ErrorCode.TOKEN_EXPIRED: {"Authorization": f"Bearer {issuer.token(exp=1)}"},
        ErrorCode.TOKEN_INVALID: {"Authorization": "Bearer x"},
        ErrorCode.TOKEN_USER_INVALID: {"Authorization": f"Bearer {issuer.token(sub='alice')}"},
    }
    for code, headers in cases.items():
        answer = await secured.client.get("/api/v1/cart", headers=headers)
        assert ((await answer.json())["code"], str(answer.status)) == (code, TABLE[code])


async def test_an_issuer_that_is_away_has_its_code(backend, jwt_settings, issuer):
    """Where no token can be checked the answer says so, and not that the token is wrong."""
    token = issuer.token()
    issuer.stop()
    async with serving(backend, jwt_settings) as gateway:
        answer = await gateway.client.get("/api/v1/cart", headers={"Authorization": f"Bearer {token}"})
        assert ((await answer.json())["code"], answer.status) == (ErrorCode.TOKEN_CHECK_UNAVAILABLE, 503)


async def test_a_plain_read_has_the_same_code(gateway, backend):
    """A read that aiohttp does not parse fails with the same code as one that it parses."""
    backend.broken["GetCarts"] = OutcomeUnknown("lost")
    head = "GET /api/v1/cart HTTP/1.1\r\nHost: x\r\n"
    answers = [await send_raw(gateway, f"{head}{more}\r\n".encode()) for more in ("", "If-Match: x\r\n")]
    assert [json.loads(one.body)["code"] for one in answers] == [ErrorCode.SERVICE_UNAVAILABLE] * 2


async def test_a_gateway_at_its_bound_has_its_code(backend):
    """A request that finds no place is told that nothing was done for it."""
    backend.gates["GetCarts"] = asyncio.Event()
    async with serving(backend, {"AUTH_MODE": "mock", "APP_ENV": "dev", "MAX_UNDER_WAY": "16"}) as gateway:
        waiting = [
            asyncio.ensure_future(gateway.client.get("/api/v1/cart", headers={"X-User-Id": str(user)}))
            for user in range(1, 15)
        ]
        await backend.reached("GetCarts")
        async with asyncio.timeout(8):
            while (answer := await gateway.client.get("/api/v1/products/1")).status == 200:  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.005)
        assert (await answer.json())["code"] == ErrorCode.OVERLOADED
        backend.gates["GetCarts"].set()
        await asyncio.gather(*waiting)


def test_every_code_is_documented_and_sent():
    """The docs, the contract and the tests have exactly the codes that the code has."""
    codes = {code.value for code in ErrorCode}
    assert set(TABLE) == codes
    assert set(openapi()["components"]["schemas"]["Error"]["properties"]["code"]["enum"]) == codes - {"client_gone"}
    assert {code for code, _ in CASES} | ELSEWHERE == set(ErrorCode)


def test_no_error_answer_is_made_without_its_code():
    """In the gateway and in what it is built on, `error` is written in the two places that write `code` beside it."""
    services = Path(__file__).parents[3] / "services"
    sources = [*services.glob("gateway/*.py"), *services.glob("chassis/*.py")]
    lines = [
        line.strip() for path in sources for line in path.read_text().splitlines() if re.search(r'\{\s*"error"', line)
    ]
    assert len(lines) == 2
    assert all('"code"' in line for line in lines)


@pytest.mark.parametrize("kind", [Invalid, NotFound, Conflict, Unavailable, OutcomeUnknown])
def test_a_code_travels_with_a_fault(kind):
    """A code goes along with the refusal of an item; a code that a newer service sends is that of the fault's type."""
    refusal = call_pb2.Refusal()
    refuse(refusal, kind("words", code=ErrorCode.CART_FULL))
    assert fault_in(refusal).code is ErrorCode.CART_FULL
    for unknown in ("of_a_newer_release", ""):
        refusal.error_code = unknown
        assert fault_in(refusal).code is kind.default_code


def test_the_codes_are_plain_names():
    """A code is lower case with underscores, so that it is a name in every language."""
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in ErrorCode)
