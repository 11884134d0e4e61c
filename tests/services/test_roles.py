"""Each service's role on a database that all services share, as their migrations make it: its own tables, and nobody else's."""

import asyncio
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from devstack.home import ROOT
from services.chassis.migrate import migrate, role_of

pytestmark = pytest.mark.real
SCHEMAS = ("product", "inventory", "payment", "checkout", "orders")
DATABASES = {"POSTGRES_URL": SCHEMAS, "BANK_POSTGRES_URL": ("bank",)}


@pytest.fixture(scope="module")
def urls(stores):
    """Make the shop's database and the bank's by the migrations of all services, and give their URLs by their variables."""
    made = {}

    async def make():
        for variable, schemas in DATABASES.items():
            made[variable] = urlunsplit(urlsplit(stores[variable])._replace(path=f"/roles_{variable.lower()}"))
            for schema in schemas:
                await migrate(made[variable], schema=schema, folder=ROOT / "services" / schema / "migrations")

    asyncio.run(make())
    return made


@pytest.fixture(params=SCHEMAS)
def schema(request):
    """A service's schema."""
    return request.param


@pytest.fixture
async def service(urls, schema):
    """A connection that acts as the service does."""
    connection = await asyncpg.connect(urls["POSTGRES_URL"], server_settings={"role": role_of(schema)})
    yield connection
    await connection.close()


@pytest.fixture
async def tables(urls):
    """Every table of the services, as (schema, name)."""
    connection = await asyncpg.connect(urls["POSTGRES_URL"])
    rows = await connection.fetch(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY ($1::text[])", list(SCHEMAS)
    )
    await connection.close()
    assert {row["schemaname"] for row in rows} == set(SCHEMAS)
    return [tuple(row) for row in rows]


async def test_no_service_touches_the_tables_of_another(service, schema, tables):
    """A service's role can neither read nor write any table of another service."""
    for other, table in tables:
        if other == schema:
            continue
        for sql in (f"SELECT 1 FROM {other}.{table}", f"DELETE FROM {other}.{table}", f"TRUNCATE {other}.{table}"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await service.execute(sql)


async def test_a_service_reads_its_own_tables(service, schema, tables):
    """A service's role can read what it works with, so that the refusals here are not those of a role that can do nothing."""
    own = [table for other, table in tables if other == schema and table != "schema_migrations"]
    assert own
    for table in own:
        await service.execute(f"SELECT 1 FROM {schema}.{table} LIMIT 1")


async def test_no_service_changes_what_tables_there_are(service, schema, tables):
    """A service's role can make, change and drop no table, not even of its own."""
    for sql in (
        f"CREATE TABLE {schema}.mine (x int)",
        "CREATE TABLE public.mine (x int)",
        "CREATE SCHEMA mine",
        *(f"DROP TABLE {other}.{table}" for other, table in tables),
        *(f"ALTER TABLE {other}.{table} ADD COLUMN mine int" for other, table in tables),
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute(sql)


async def test_no_service_becomes_another(service, schema):
    """A service's role has no member's rights in any other role, and none of a superuser's."""
    others = [role_of(other) for other in SCHEMAS if other != schema]
    assert not await service.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    for other in others:
        assert not await service.fetchval("SELECT pg_has_role(current_user, $1, 'MEMBER')", other)


@pytest.fixture(name="auditor", params=DATABASES, ids=["shop", "bank"])
async def auditor_fixture(urls, request):
    """A connection that acts as the auditor does and may ask for a transaction that writes, and the tables of the database."""
    connection = await asyncpg.connect(urls[request.param])
    rows = await connection.fetch(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY ($1::text[])",
        list(DATABASES[request.param]),
    )
    await connection.execute("SET ROLE cartwright_auditor")
    yield connection, [f"{schema}.{table}" for schema, table in rows]
    await connection.close()


async def test_the_auditor_changes_nothing(auditor):
    """The auditor's role can write to no table, however it asks, and can make none."""
    connection, tables = auditor
    assert tables
    for sql in (
        *(f"DELETE FROM {table}" for table in tables),
        *(f"TRUNCATE {table}" for table in tables),
        *(f"DROP TABLE {table}" for table in tables),
        "CREATE TABLE public.mine (x int)",
        "CREATE SCHEMA mine",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(sql)
    assert not await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")


async def test_the_auditor_reads_no_more_than_it_compares(urls):
    """What a shopper chose or was answered is no book: the auditor's role cannot read it."""
    connection = await asyncpg.connect(urls["POSTGRES_URL"], server_settings={"role": "cartwright_auditor"})
    for column in ("idempotency_key", "response_body", "request_id", "origin_ref"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch(f"SELECT {column} FROM checkout.checkout_sessions LIMIT 1")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.fetch("SELECT * FROM product.products LIMIT 1")
    await connection.fetch("SELECT id, total_amount FROM checkout.checkout_sessions LIMIT 1")
    await connection.fetch("SELECT id, buyer, key, uid FROM checkout.started_by_resources LIMIT 1")
    await connection.close()
