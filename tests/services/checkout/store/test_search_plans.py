"""Searching a large table reads a small part of it."""

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from devstack.home import ROOT
from services.chassis.migrate import migrate, role_of
from services.chassis.postgres import Postgres
from services.checkout.domain import Origin, Reason, Status, Step
from services.checkout.search import Filter, Position
from services.checkout.store import outbox, search, sessions
from tests.services.checkout.rows import fill
from tests.services.checkout.tables import PostgresTable

pytestmark = pytest.mark.real

MIGRATIONS = ROOT / "services" / "checkout" / "migrations"
ROWS = 45_000
MIDDLE = Position(datetime.now(UTC) - timedelta(days=1), "00000000-0000-0000-0000-000000000000")


_PUBLISHED = """
INSERT INTO checkout.outbox_events (event_id, event_type, aggregate_id, partition_key, payload, processed_at)
SELECT gen_random_uuid(), 'checkout.completed', id, '1', '{}', completed_at - interval '1 day' * (user_id % 10)
FROM checkout.checkout_sessions WHERE status = 'COMPLETED'"""
"""Events of the last two weeks, so that some are old enough to be swept."""


@pytest.fixture(scope="module")
def filled(stores):
    """A database with a table of many checkouts, most of them completed."""
    url = urlunsplit(urlsplit(stores["POSTGRES_URL"])._replace(path="/checkout_many"))

    async def make():
        await migrate(url, schema="checkout", folder=ROOT / "services" / "checkout" / "migrations")
        connection = await asyncpg.connect(url)
        await connection.execute("TRUNCATE checkout.checkout_sessions, checkout.outbox_events")
        await fill(connection, ROWS)
        await connection.execute(_PUBLISHED)
        await connection.execute("ANALYZE checkout.outbox_events")
        await connection.close()

    asyncio.run(make())
    return url


@pytest.fixture
async def many(filled):
    """A connection to it."""
    connection = await asyncpg.connect(filled)
    await connection.execute("SET search_path = checkout")
    yield connection
    await connection.close()


@pytest.fixture
async def sessions_of_many(filled):
    """The store of it."""
    async with Postgres(filled, role=role_of("checkout"), schema="checkout", size=4) as db:
        yield PostgresTable(db).sessions()


async def plan(connection, statement, *args):
    """Run a statement, and give the nodes of its plan with what they really did."""
    rows = await connection.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *args)
    return list(nodes(json.loads(rows[0][0])[0]["Plan"]))


def nodes(node):
    yield node
    for below in node.get("Plans", ()):
        yield from nodes(below)


def rows_read(node):
    """How many rows a node of a plan has looked at."""
    return node["Actual Rows"] * node["Actual Loops"] + node.get("Rows Removed by Filter", 0)


FILTERS = {
    "everything": (Filter(), None),
    "a page in the middle": (Filter(), MIDDLE),
    "one user": (Filter(user_id=77), None),
    "completed": (Filter(steps=frozenset({Step.COMPLETED})), None),
    "failed": (Filter(steps=frozenset({Step.FAILED})), None),
    "running": (Filter(steps=frozenset({Step.PAYING})), None),
    "a reason": (Filter(reason=Reason.OUT_OF_STOCK), None),
    "a reason that nothing has": (Filter(reason=Reason.TIMED_OUT), None),
    "a time": (Filter(created_before=MIDDLE.created_at), None),
    "an origin that nothing has": (Filter(origin=Origin.RESOURCE), None),
    "a product that nobody bought": (Filter(product_id=999), None),
    "a total": (Filter(total_from=1_000_000_000), None),
}


@pytest.mark.parametrize("name", FILTERS)
async def test_every_filter_is_served_by_an_index(many, name):
    """No page scans the table from end to end: each of its parts begins with an index, and reads a bounded part of it."""
    wanted, after = FILTERS[name]
    conditions = search._conditions(wanted, after)
    found = await plan(many, search._search(wanted, conditions, 51), *conditions.args)
    kinds = {node["Node Type"] for node in found}
    assert "Seq Scan" not in kinds, found
    assert kinds & {"Index Scan", "Index Only Scan", "Bitmap Index Scan"}
    assert max(rows_read(node) for node in found if "Index" in node["Node Type"]) <= search.MAX_LOOKED_AT


@pytest.mark.parametrize(
    ("statement", "args"),
    [
        (sessions._RECENT, lambda _: ("rest", 30.0, 50, None)),
        (sessions._RECENT, lambda some: ("rest", 30.0, 50, some["id"])),
        (sessions._CHANGED, lambda _: (None,)),
        (sessions._CHANGED, lambda some: (some["now"],)),
        (outbox._SWEEP, lambda _: (outbox.KEEP_DAYS, 100)),
    ],
)
async def test_what_is_asked_all_the_time_is_read_by_an_index(many, statement, args):
    """The operator's comparison and stream, and the sweep of the outbox, read what they return, however many checkouts there were."""
    some = await many.fetchrow(
        "SELECT id, clock_timestamp() AS now FROM checkout_sessions WHERE status = 'PROCESSING' ORDER BY created_at LIMIT 1"
    )
    found = await plan(many, statement, *args(some))
    assert "Seq Scan" not in {node["Node Type"] for node in found}, found
    assert max(map(rows_read, found)) < 200


async def test_each_name_is_found_by_an_index(many):
    """Finding a checkout by one of its names reads no more than what has the name, and the running ones."""
    rows = await many.fetch("SELECT request_id FROM checkout.checkout_sessions WHERE status = 'COMPLETED' LIMIT 1")
    found = await plan(many, search._FIND, [rows[0]["request_id"]], [str(uuid.uuid4())], 50)
    assert "Seq Scan" not in {node["Node Type"] for node in found}
    used = {node.get("Index Name") for node in found}
    assert {f"checkout_by_{name}" for name in ("key", "request", "trace", "order", "resource")} <= used


async def test_a_page_says_how_far_it_has_looked(many, sessions_of_many):
    """A filter without an index looks at a bounded number of checkouts; its pages lead to the end, and miss none."""
    wanted, after, pages, found = Filter(product_id=5), None, 0, []
    rare = await many.fetch(
        'UPDATE checkout.checkout_sessions SET snapshot = \'[{"line_id": "", "product_id": 5, "name": "Rare",'
        ' "unit_price_minor": 1, "quantity": 1}]\' WHERE id IN (SELECT id FROM checkout.checkout_sessions WHERE'
        " status = 'COMPLETED' ORDER BY created_at LIMIT 2) RETURNING id::text"
    )
    while True:
        page = await sessions_of_many.search(wanted, 50, after)
        found += [one.id for one in page.sessions]
        pages += 1
        if page.following is None:
            break
        assert page.searched_to == page.following.created_at
        after = page.following
    assert set(found) == {row["id"] for row in rare}
    assert ROWS / search.MAX_LOOKED_AT - 1 <= pages <= ROWS / search.MAX_LOOKED_AT + 1


async def test_the_figures_of_now_are_read_by_an_index(many):
    """What ended lately is counted without a scan of what ended before."""
    for statement, args in (
        (search._RUNNING, ()),
        (search._ENDED, (datetime.now(UTC) - timedelta(minutes=10), 300.0)),
        (search._TIMES, (search.TIMED,)),
    ):
        found = await plan(many, statement, *args)
        assert "Seq Scan" not in {node["Node Type"] for node in found}, statement
    assert {Status.COMPLETED, Status.FAILED} <= {
        one["status"] for one in await many.fetch("SELECT DISTINCT status FROM checkout.checkout_sessions")
    }
