"""What the tests of a cluster share: the figures that are shown at the end, and load."""

from collections.abc import Callable

import pytest

from tests.kind.load import load_on
from tests.torture.books import judge, settle

LEAST_BOUGHT = 30
MOST_AGAIN = 0.1  # of the purchases; on a quiet machine it is none
FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture
def figure(request) -> Callable[[str], None]:
    """Return what notes a figure for the end of the run."""
    return request.config.stash.setdefault(FIGURES, []).append


def pytest_terminal_summary(terminalreporter, config) -> None:
    """Show the figures."""
    if figures := config.stash.get(FIGURES, []):
        terminalreporter.section("figures")
        for one in figures:
            terminalreporter.line(one)


@pytest.fixture
def helm(platform):
    """Run helm on the platform's namespace, and return what it prints."""
    return platform.helm


@pytest.fixture
def under_load(platform, figure):
    """Do something under load: no purchase may fail or be lost, and the books must agree."""

    def under_load(what: str, do: Callable[[], None]) -> None:
        with load_on(platform) as load:
            do()
        figure(f"{what}: {load}")
        assert len(load.again) <= MOST_AGAIN * len(load.users), load
        assert len(load.bought) >= LEAST_BOUGHT
        assert not load.failed, f"{len(load.failed)} of {load}: {load.failed[:3]}"
        urls = platform.urls
        settle(urls["POSTGRES_URL"])
        judge(urls, {})
        made = "SELECT count(*) AS n FROM orders.orders WHERE user_id = ANY($1)"
        assert platform.sql(made, load.users)[0]["n"] == len(load.users)

    return under_load
