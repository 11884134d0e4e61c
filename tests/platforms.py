"""What the end-to-end tests use: a shopper, and a whole platform, wherever it runs."""

import asyncio
import itertools
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import asyncpg
import requests

from devstack.apiserver import kubectl
from devstack.client import Stack
from devstack.home import ROOT, Home, user_environment
from devstack.stores import data_folder
from tests.collector import Collector, collecting
from tests.kube import Kube
from tests.torture.orders import DESK

TORTURE = "tests.torture.runner"
"""What runs the processes of a platform at which faults are to strike."""
_USERS = itertools.count(secrets.randbelow(10**9) + 10**9)


def next_user() -> int:
    """Return a user that no test has used before."""
    return next(_USERS)


class Shopper:
    """A user with a cart, who uses REST."""

    def __init__(self, url: str, user_id: int) -> None:
        self.url = url
        self.user_id = user_id

    def ask(self, verb: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        """Send a request as this user."""
        headers = {"X-User-Id": str(self.user_id)} | more.pop("headers", {})
        return requests.request(verb, self.url + path, json=body, headers=headers, timeout=15, **more)

    def add(self, product_id: int = 2, quantity: int = 1, *, patiently: bool = False) -> dict[str, Any]:
        """Add a product to the cart; `patiently`, once more where a busy platform says when to come back."""
        item = {"product_id": product_id, "quantity": quantity}
        response = self.ask("POST", "/api/v1/cart/items", item)
        if patiently and response.status_code == 503 and "Retry-After" in response.headers:
            time.sleep(float(response.headers["Retry-After"]))
            response = self.ask("POST", "/api/v1/cart/items", item)
        assert response.status_code == 200, response.text
        return response.json()

    def cart(self) -> dict[str, Any]:
        """Return the cart."""
        response = self.ask("GET", "/api/v1/cart")
        assert response.status_code == 200, response.text
        return response.json()

    def buy(self, key: str) -> requests.Response:
        """Check out under a key."""
        return self.ask("POST", "/api/v1/checkout", {"idempotency_key": key})

    def checkout(self, checkout_id: str) -> dict[str, Any]:
        """Return a checkout."""
        return self.ask("GET", f"/api/v1/checkout/{checkout_id}").json()

    def orders(self) -> list[dict[str, Any]]:
        """Return the orders."""
        response = self.ask("GET", "/api/v1/orders?limit=100")
        assert response.status_code == 200, response.text
        return response.json()["orders"]


class Platform:
    """A running platform: its URLs and, for checks, its databases and metrics."""

    urls: Mapping[str, str]

    def shopper(self) -> Shopper:
        """Return a user that no test has used before."""
        return Shopper(self.urls["CARTWRIGHT_URL"], next_user())

    def sql(self, query: str, *args: Any, bank: bool = False) -> list[dict[str, Any]]:
        """Return the rows of a query of the database."""

        async def ask() -> list[dict[str, Any]]:
            connection = await asyncpg.connect(self.urls["BANK_POSTGRES_URL" if bank else "POSTGRES_URL"])
            try:
                return [dict(row) for row in await connection.fetch(query, *args)]
            finally:
                await connection.close()

        return asyncio.run(ask())

    def bank(self, behaviour: str, user_id: int = 0, times: int = 0) -> None:
        """Set the behaviour of the bank, for one user or for everybody."""
        command = [sys.executable, "-m", "services.bank.admin", behaviour, "--times", str(times)]
        if user_id:
            command += ["--user", str(user_id)]
        with self.bank_address() as address:
            env = user_environment() | {"BANK_ADDR": address}
            subprocess.run(command, check=True, cwd=ROOT, env=env, capture_output=True)

    def bank_address(self) -> AbstractContextManager[str]:
        """Return the address of the bank."""
        raise NotImplementedError

    def kube(self) -> Kube:
        """Return the API server that Checkouts are applied to."""
        raise NotImplementedError

    def metric(self, part: str, name: str) -> float:
        """Return the sum of a metric's samples in a part."""
        raise NotImplementedError


class OnThisMachine(Platform):
    """The platform as local processes, as `make up` starts it."""

    def __init__(self, stack: Stack, collector: Collector | None = None) -> None:
        """Take the stack, and the collector that its processes send their spans to, if there is one."""
        self.stack = stack
        self.collector = collector
        self.urls = stack.env()

    def bank_address(self) -> AbstractContextManager[str]:
        """Return the address of the bank."""
        return nullcontext(self.urls["BANK_ADDR"])

    def kube(self) -> Kube:
        """Return devstack's API server."""
        return Kube(self.stack.home.kubeconfig, program=kubectl(user_environment(), print))

    def metric(self, part: str, name: str) -> float:
        """Return the sum of a metric's samples in a part."""
        port = self.stack.row(part)["ports"][-1]
        return total(requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text, name)


def total(page: str, name: str) -> float:
    """Return the sum of a metric's samples on a page of them."""
    lines = page.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name) and not line.startswith("#"))


@contextmanager
def new_stack(
    name: str, *, only: Collection[str] | None = None, env: Mapping[str, str] | None = None, wrapper: str = ""
) -> Iterator[Stack]:
    """Start a stack, or `only` some parts of it, on free ports and without anything an earlier one of this name left; end it afterwards.

    Stacks that run at the same time need different names. Its processes of ours run in `wrapper`, a module.
    That of the torture takes orders from the folder `desk`.
    """
    home = Home(ROOT / ".cartwright" / name)
    Stack(home).down()
    shutil.rmtree(data_folder("postgres", home), ignore_errors=True)
    shutil.rmtree(home.path, ignore_errors=True)
    stack = Stack.up(home.path, only=only, env={**(env or {}), DESK: str(home.path / "desk")}, wrapper=wrapper)
    try:
        yield stack
    finally:
        stack.down()


def on_this_machine(lane: str) -> Iterator[OnThisMachine]:
    """Start the whole platform for a lane of the tests."""
    settings = {"BANK_SUCCESS_RATE": "1", "LOG_LEVEL": "info"}
    settings["MIRROR_MIN_WRITES_PER_SECOND"] = "100"  # tests count mirrors: here they give way to nothing
    settings["COMPARE_EVERY"] = "5"  # seconds, of 15: tests wait for what only a comparison puts right
    with (
        collecting() as collector,
        new_stack(f"tests-{lane}", env=settings | collector.settings, wrapper=TORTURE) as stack,
    ):
        yield OnThisMachine(stack, collector)
