"""What the tests of all services share: the stores, an issuer of tokens, a clock, and a log whose tracebacks cost little, since slow ones look like parts that are away."""

from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import structlog

from devstack.home import ROOT
from services.chassis import tracing
from services.chassis.env import process_environment
from services.chassis.migrate import migrate
from tests.issuer import LocalIssuer
from tests.platforms import new_stack

STORES = frozenset({"postgres", "redis", "mongodb", "kafka"})
"""The parts that services keep their data in."""


@pytest.fixture(autouse=True, scope="session")
def plain_log():
    """Write log lines as plain text, and tracebacks without the values of local variables."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ]
    )


class Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    """Give a clock that the test sets."""
    return Clock()


@pytest.fixture
def issuer():
    """Give an issuer of tokens that answers."""
    local = LocalIssuer()
    yield local
    local.stop()


@pytest.fixture
def exported():
    """Give the spans that are exported, where only what failed or is worth a look is."""
    spans = []
    tracing.use(tracing.Recorder(spans.append, ratio=0, slow_seconds=3600.0))
    yield spans
    tracing.use(None)


@pytest.fixture(scope="session")
def started_stores(request):
    """Start the stores, without the platform that uses them; give their addresses by their variables."""
    with new_stack(f"stores-{request.config.getoption('--lane')}", only=STORES) as stack:
        yield stack.env()


class Stores:
    """The addresses of the stores by their variables: the environment's, or else those of stores that are then started."""

    def __init__(self, request):
        self._request = request

    def __getitem__(self, variable):
        return process_environment().get(variable) or self._request.getfixturevalue("started_stores")[variable]


@pytest.fixture(scope="session")
def stores(request):
    """The stores."""
    return Stores(request)


@pytest.fixture(scope="session")
def database(stores):
    """Make the database of a service's tests, migrated, and run `sql` in it; give its URL."""
    migrated = set()

    async def database(service, sql="", *, variable="POSTGRES_URL"):
        url = urlunsplit(urlsplit(stores[variable])._replace(path=f"/{service}_tests"))
        if url not in migrated:
            await migrate(url, schema=service, folder=ROOT / "services" / service / "migrations")
            migrated.add(url)
        connection = await asyncpg.connect(url)
        await connection.execute(sql)
        await connection.close()
        return url

    return database
