"""A gateway that needs tokens, before the services of the platform: who may come in, and that nobody meets another's things."""

import os
import socket
import subprocess
import sys
import uuid

import pytest
import requests

from devstack.home import ROOT, user_environment
from services.chassis.telemetry import Metrics
from services.chassis.web import Readiness, health_routes
from services.gateway import docs
from services.gateway.docs import openapi
from services.gateway.routes import Routes
from tests.e2e.owned import KEYS, furnish, sold
from tests.issuer import AUDIENCE, LocalIssuer, self_signed
from tests.platforms import Shopper

pytestmark = [pytest.mark.e2e, pytest.mark.local]  # the second gateway reaches the services' ports of this machine

SERVED = [*Routes(None).table(), *health_routes(Readiness(), Metrics())]
VERBS = ("get", "put", "post", "delete", "patch")
ROUTES = sorted(
    {f"{route.method} {route.path}" for route in SERVED}
    | {f"{verb.upper()} {path}" for path, item in openapi()["paths"].items() for verb in item if verb in VERBS}
)


class TokenShopper(Shopper):
    """A user who has a token, and also says, in vain, to be somebody else."""

    def __init__(self, url, user_id, issuer):
        super().__init__(url, user_id)
        self._issuer = issuer
        self.pretends_to_be = 1

    def ask(self, verb, path, body=None, **more):
        token = self._issuer.token(sub=str(self.user_id))
        given = {"Authorization": f"Bearer {token}", "X-User-Id": str(self.pretends_to_be)} | more.pop("headers", {})
        return super().ask(verb, path, body, headers=given, **more)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return self_signed(tmp_path_factory.mktemp("issuer"))


@pytest.fixture(scope="module")
def issuer(certificate):
    local = LocalIssuer(certificate)
    yield local
    local.stop()


@pytest.fixture(scope="module")
def url(platform, issuer, certificate, eventually):
    """Give the address of a gateway that takes the issuer's tokens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    addresses = {name: address for name, address in platform.urls.items() if name.endswith("_ADDR")}
    env = addresses | {
        "APP_ENV": "production",
        "AUTH_MODE": "jwt",
        "AUTH_ISSUER": issuer.url,
        "AUTH_AUDIENCE": AUDIENCE,
        "SSL_CERT_FILE": str(certificate),
        "LISTEN_HOST": "127.0.0.1",
        "HTTP_PORT": str(port),
        "DRAIN_DELAY": "0",
        "PYTHONPATH": str(ROOT),
    }
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "services.gateway.main"]
    with subprocess.Popen(command, env=user_environment() | env, stdout=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: requests.get(f"{address}/ready", timeout=5).json()["dependencies"]["issuer"] == "ok")
            yield address
        finally:
            process.terminate()
    assert process.returncode == 0


@pytest.fixture(scope="module")
def owned(platform, url, issuer, eventually):
    """Give a user's things."""
    return furnish(platform, TokenShopper(url, platform.shopper().user_id, issuer), eventually)


@pytest.fixture
def stranger(platform, url, issuer, owned):
    """Give another user, who claims by X-User-Id to be the owner."""
    other = TokenShopper(url, platform.shopper().user_id, issuer)
    other.pretends_to_be = owned.shopper.user_id
    return other


def for_everybody(path):
    def check(owned, stranger):
        shown = stranger.ask("GET", path)
        assert shown.status_code == 200
        bare = requests.get(stranger.url + path, timeout=5)  # without a token
        assert bare.status_code == (401 if path.startswith("/api/") else 200)
        text = shown.text
        assert not any(one in text for one in (str(owned.shopper.user_id), *owned.checkouts, *owned.orders))

    return check


def not_found(verb, path, of, body=None):
    """Say that the owner's thing is not found by a stranger, in the very words for what does not exist."""

    def check(owned, stranger):
        theirs = stranger.ask(verb, path.format(of(owned)), body)
        nobodys = stranger.ask(verb, path.format(uuid.uuid4() if body is None and verb == "GET" else 999), body)
        assert (theirs.status_code, theirs.json()) == (404, nobodys.json())

    return check


def their_own_cart(owned, stranger):
    cart = stranger.cart()
    assert (cart["user_id"], cart["items"]) == (stranger.user_id, [])


def their_own_clearing(owned, stranger):
    stranger.add(2, 1)
    answer = stranger.ask("DELETE", "/api/v1/cart")
    assert (answer.status_code, answer.json()["user_id"], answer.json()["items"]) == (200, stranger.user_id, [])


def their_own_item(owned, stranger):
    cart = stranger.add(2, 1)
    assert [line["product_id"] for line in cart["items"]] == [2]


def their_own_checkout(owned, stranger):
    assert stranger.buy(KEYS[0]).status_code == 400  # the cart is theirs, and empty
    stranger.add(2, 1)
    answer = stranger.buy(KEYS[0])
    assert answer.json()["status"] == "COMPLETED"
    assert answer.json()["checkout_id"] not in owned.checkouts
    assert "Idempotent-Replayed" not in answer.headers
    assert [one["key"] for one in sold(owned.platform, stranger)] == [answer.json()["checkout_id"]]


def their_own_orders(owned, stranger):
    assert stranger.orders() == []
    cursor = owned.shopper.ask("GET", "/api/v1/orders?limit=1").json()["next"]
    answer = stranger.ask("GET", "/api/v1/orders", params={"cursor": cursor})
    assert not any(one in answer.text for one in (*owned.orders, *owned.checkouts))


MATRIX = {
    "GET /": for_everybody("/"),
    "GET /health": for_everybody("/health"),
    "GET /ready": for_everybody("/ready"),
    "GET /metrics": for_everybody("/metrics"),
    "GET /openapi.json": for_everybody("/openapi.json"),
    **{f"GET {path}": for_everybody(path) for path in docs.FILES},
    "GET /api/v1/products": for_everybody("/api/v1/products"),
    "GET /api/v1/products/{id}": for_everybody("/api/v1/products/1"),
    "GET /api/v1/cart": their_own_cart,
    "DELETE /api/v1/cart": their_own_clearing,
    "POST /api/v1/cart/items": their_own_item,
    "PUT /api/v1/cart/items/{product_id}": not_found(
        "PUT", "/api/v1/cart/items/{}", lambda owned: owned.in_cart, {"quantity": 9}
    ),
    "DELETE /api/v1/cart/items/{product_id}": not_found("DELETE", "/api/v1/cart/items/{}", lambda owned: owned.in_cart),
    "POST /api/v1/checkout": their_own_checkout,
    "GET /api/v1/checkout/{checkout_id}": not_found("GET", "/api/v1/checkout/{}", lambda owned: owned.checkouts[0]),
    "GET /api/v1/orders": their_own_orders,
    "GET /api/v1/orders/{id}": not_found("GET", "/api/v1/orders/{}", lambda owned: owned.orders[0]),
}


@pytest.mark.parametrize("route", ROUTES)
def test_nobody_meets_anothers_things(owned, stranger, route: str) -> None:
    """By no route can a user see or change what another has; a route that is not in the matrix fails."""
    before = owned.now()
    assert (before["cart"]["total_items"], len(before["orders"]), len(before["sold"])) == (1, 2, 2)
    assert route in MATRIX, f"say in MATRIX why nobody meets another's things by {route}"
    MATRIX[route](owned, stranger)
    assert owned.now() == before


def test_the_matrix_has_no_route_that_is_gone() -> None:
    """What stands in the matrix is served."""
    assert sorted(MATRIX) == ROUTES


def test_a_real_process_refuses_what_is_no_token(url, issuer) -> None:
    """Without a token of this issuer for this audience there is no way in, whatever X-User-Id says."""
    for headers in (
        {},
        {"X-User-Id": "1"},
        {"Authorization": "Bearer x.y.z"},
        {"Authorization": f"Bearer {issuer.token(aud='other')}"},
        {"Authorization": f"Bearer {issuer.token(exp=1)}"},
        {"Authorization": f"Bearer {issuer.token(sub='nobody')}"},
    ):
        answer = requests.get(f"{url}/api/v1/cart", headers=headers, timeout=5)
        assert (answer.status_code, set(answer.json())) == (401, {"error", "code"})
        assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="cartwright"')


def test_rotation_needs_no_restart(platform, url, issuer, eventually) -> None:
    """A new key counts within seconds, and the old one no longer."""
    shopper = TokenShopper(url, platform.shopper().user_id, issuer)
    old_keys, old = issuer.keys, issuer.token(sub=str(shopper.user_id))
    assert shopper.ask("GET", "/api/v1/cart").status_code == 200
    try:
        issuer.rotate("new", 1)
        new = {"Authorization": f"Bearer {issuer.token('new', sub=str(shopper.user_id))}"}
        eventually(lambda: requests.get(f"{url}/api/v1/cart", headers=new, timeout=5).status_code == 200)
        gone = requests.get(f"{url}/api/v1/cart", headers={"Authorization": f"Bearer {old}"}, timeout=5)
        assert gone.status_code == 401
    finally:
        issuer.keys = old_keys
    eventually(lambda: shopper.ask("GET", "/api/v1/cart").status_code == 200)


def test_it_does_not_start_without_an_issuer() -> None:
    """Jwt is the mode where none is set; without an issuer the process ends at once, and says what to set."""
    env = {"PATH": os.defpath, "PYTHONPATH": str(ROOT), "AUTH_ALGORITHMS": "HS256"}
    command = [sys.executable, "-m", "services.gateway.main"]
    ended = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    named = [line.split(": ")[1] for line in ended.stderr.splitlines()]
    assert named == ["AUTH_ISSUER", "AUTH_ALGORITHMS", "AUTH_AUDIENCE"]
