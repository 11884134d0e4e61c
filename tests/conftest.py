"""One whole platform for the session, on free ports and data of its own, and shoppers that use it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from devstack.client import Stack
from tests.kind.cluster import on_kind
from tests.kube import Kube
from tests.platforms import Platform, Shopper, new_stack, on_this_machine


def eventually(check: Callable[[], Any], seconds: float = 20.0, *, every: float = 0.05) -> Any:
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
        time.sleep(every)


@pytest.fixture(name="eventually", scope="session")
def eventually_fixture() -> Callable[..., Any]:
    """Give `eventually`."""
    return eventually


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the end-to-end tests run against the cluster of `make kind-up` too."""
    parser.addoption("--platform", choices=["local", "kind"], default="local", help="where the platform runs")
    parser.addoption(
        "--lane", default="all", help="names the platform of this run; runs at the same time need different names"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what needs a cluster, unless there is to be one."""
    return True if collection_path.name == "kind" and config.getoption("--platform") != "kind" else None


@pytest.fixture(scope="session")
def platform(request) -> Iterator[Platform]:
    """Give the platform: started here, or that of the cluster."""
    if request.config.getoption("--platform") == "kind":
        yield from on_kind()
    else:
        yield from on_this_machine(request.config.getoption("--lane"))


@pytest.fixture
def shopper(platform: Platform) -> Shopper:
    """Give a new user of the platform."""
    return platform.shopper()


@pytest.fixture(scope="session")
def kube(platform: Platform) -> Kube:
    """Give the Checkouts of the platform's API server."""
    return platform.kube()


@pytest.fixture(scope="session")
def api_server(request) -> Iterator[Stack]:
    """Give an API server with the resource, and nothing behind it. Tests leave the resource and the rights as they find them."""
    with new_stack(f"test_apiserver-{request.config.getoption('--lane')}", only={"etcd", "apiserver"}) as stack:
        yield stack
