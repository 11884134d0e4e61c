"""One whole platform for the session, on free ports and data of its own, and shoppers that use it."""

import asyncio
import itertools
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import pytest
import requests

from devstack.client import Stack
from devstack.home import ROOT, Home, user_environment
from devstack.stores import data_folder

_USERS = itertools.count(secrets.randbelow(10**9) + 10**9)


class Shopper:
    """A user with a cart, who speaks REST."""

    def __init__(self, url: str, user_id: int) -> None:
        self.url = url
        self.user_id = user_id

    def ask(self, verb: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        """Send a request as this user."""
        headers = {"X-User-Id": str(self.user_id)} | more.pop("headers", {})
        return requests.request(verb, self.url + path, json=body, headers=headers, timeout=15, **more)

    def add(self, product_id: int = 2, quantity: int = 1) -> dict[str, Any]:
        """Put something into the cart."""
        response = self.ask("POST", "/api/v1/cart/items", {"product_id": product_id, "quantity": quantity})
        assert response.status_code == 200, response.text
        return response.json()

    def cart(self) -> dict[str, Any]:
        """Give the cart."""
        response = self.ask("GET", "/api/v1/cart")
        assert response.status_code == 200, response.text
        return response.json()

    def buy(self, key: str) -> requests.Response:
        """Check out under a key."""
        return self.ask("POST", "/api/v1/checkout", {"idempotency_key": key})

    def checkout(self, checkout_id: str) -> dict[str, Any]:
        """Give a checkout."""
        return self.ask("GET", f"/api/v1/checkout/{checkout_id}").json()

    def orders(self) -> list[dict[str, Any]]:
        """Give the orders."""
        response = self.ask("GET", "/api/v1/orders?limit=100")
        assert response.status_code == 200, response.text
        return response.json()["orders"]


class Platform:
    """A running platform, seen from outside and, where a test must judge it, from its databases."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.urls = stack.env()

    def shopper(self) -> Shopper:
        """Give a user whom nobody has been before."""
        return Shopper(self.urls["CARTWRIGHT_URL"], next(_USERS))

    def sql(self, query: str, *args: Any, bank: bool = False) -> list[dict[str, Any]]:
        """Ask the database itself."""

        async def ask() -> list[dict[str, Any]]:
            connection = await asyncpg.connect(self.urls["BANK_POSTGRES_URL" if bank else "POSTGRES_URL"])
            try:
                return [dict(row) for row in await connection.fetch(query, *args)]
            finally:
                await connection.close()

        return asyncio.run(ask())

    def bank(self, behaviour: str, user_id: int, times: int = 0) -> None:
        """Tell the bank how to behave with a user."""
        command = [
            sys.executable,
            "-m",
            "services.bank.admin",
            behaviour,
            "--user",
            str(user_id),
            "--times",
            str(times),
        ]
        subprocess.run(command, check=True, cwd=ROOT, env=user_environment() | self.urls, capture_output=True)

    def metric(self, part: str, name: str) -> float:
        """Give the sum of a metric's samples in a part."""
        port = self.stack.row(part)["ports"][-1]
        lines = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name) and not line.startswith("#"))


def eventually(check: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait until `check` gives something true, and give it; what it raises counts as not yet."""
    ends_at = time.monotonic() + seconds
    while True:
        try:
            found = check()
        except (AssertionError, requests.RequestException, KeyError):
            if time.monotonic() > ends_at:
                raise
            found = None
        if found:
            return found
        assert time.monotonic() < ends_at, f"not within {seconds} s: {check}"
        time.sleep(0.05)


@pytest.fixture(name="eventually", scope="session")
def eventually_fixture() -> Callable[..., Any]:
    """Give `eventually`."""
    return eventually


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    """Start the whole platform once."""
    home = Home(ROOT / ".cartwright" / "tests")
    left = Stack(home)
    left.down()
    shutil.rmtree(data_folder("postgres", home), ignore_errors=True)
    shutil.rmtree(home.path, ignore_errors=True)
    stack = Stack.up(home.path, env={"BANK_SUCCESS_RATE": "1", "LOG_LEVEL": "info"})
    yield Platform(stack)
    stack.down()


@pytest.fixture
def shopper(platform: Platform) -> Shopper:
    """Give a new user of the platform."""
    return platform.shopper()
