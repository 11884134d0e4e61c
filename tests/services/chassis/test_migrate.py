"""Migrations on the real PostgreSQL: once each, whoever else migrates at the same time."""

import asyncio
import itertools
import secrets
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from services.chassis.migrate import BadMigration, migrate, role_of

pytestmark = pytest.mark.real
FIRST = {"0001_shelf.sql": "CREATE TABLE shelf (id int PRIMARY KEY); INSERT INTO shelf VALUES (1)"}
SECOND = FIRST | {"0002_more.sql": "ALTER TABLE shelf ADD note text; INSERT INTO shelf VALUES (2, 'new')"}


@pytest.fixture
async def place(stores):
    """The URL of a database that is not there yet, and a schema of a name that nobody has."""
    mark = secrets.token_hex(4)
    server = urlsplit(stores["POSTGRES_URL"])
    yield urlunsplit(server._replace(path=f"/migrate_{mark}")), f"schema_{mark}"
    connection = await asyncpg.connect(urlunsplit(server._replace(path="/postgres")))
    await connection.execute(f"DROP DATABASE IF EXISTS migrate_{mark}")
    for role in await connection.fetch("SELECT rolname FROM pg_roles WHERE rolname LIKE $1", f"%{mark}%"):
        await connection.execute(f"DROP ROLE {role['rolname']}")
    await connection.close()


@pytest.fixture
def version(tmp_path):
    """Make a folder of migrations out of file names and texts."""

    def version(name, files):
        folder = tmp_path / name
        folder.mkdir()
        for file, text in files.items():
            (folder / file).write_text(text)
        return folder

    return version


async def read(url, query):
    """Give the rows of a query."""
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def test_a_second_run_changes_nothing(place, version) -> None:
    """The first run makes everything, the second finds it."""
    url, schema = place
    folder = version("new", SECOND)
    assert await migrate(url, schema=schema, folder=folder) == list(SECOND)
    assert await migrate(url, schema=schema, folder=folder) == []
    assert await read(url, f"SELECT id FROM {schema}.shelf ORDER BY id") == [(1,), (2,)]


async def test_many_at_once(place, version) -> None:
    """Jobs of several services and releases at once, on no database yet, apply each migration once."""
    url, schema = place
    folder = version("new", SECOND)
    names = [schema, f"{schema}_b"]
    runs = [migrate(url, schema=name, folder=folder) for name in names for _ in range(4)]
    applied = await asyncio.gather(*runs)
    assert sorted(itertools.chain(*applied)) == sorted([*SECOND, *SECOND])
    for name in names:
        assert await read(url, f"SELECT id FROM {name}.shelf ORDER BY id") == [(1,), (2,)]
    listed = (await read(url, "SHOW search_path"))[0][0]
    assert all(name in listed for name in names)


async def test_two_versions_at_once(place, version) -> None:
    """An old version's job beside a new one's, and after it, takes nothing back and does not fail."""
    url, schema = place
    old, new = version("old", FIRST), version("new", SECOND)
    await asyncio.gather(*(migrate(url, schema=schema, folder=folder) for folder in (old, new, old, new)))
    assert await migrate(url, schema=schema, folder=old) == []
    assert await read(url, f"SELECT name FROM {schema}.schema_migrations ORDER BY name") == [(name,) for name in SECOND]


async def test_a_changed_migration_is_refused(place, version) -> None:
    """A migration that was applied with another text is named, and nothing after it is applied."""
    url, schema = place
    await migrate(url, schema=schema, folder=version("old", FIRST))
    changed = version("changed", SECOND | {"0001_shelf.sql": "CREATE TABLE shelf (id bigint PRIMARY KEY)"})
    with pytest.raises(BadMigration, match=r"0001_shelf\.sql was changed"):
        await migrate(url, schema=schema, folder=changed)
    assert await read(url, f"SELECT name FROM {schema}.schema_migrations") == [("0001_shelf.sql",)]


async def test_a_failing_migration_leaves_nothing(place, version) -> None:
    """What fails in its middle is not there at all, and is applied once it is mended."""
    url, schema = place
    broken = version("broken", FIRST | {"0002_more.sql": "ALTER TABLE shelf ADD note text; SELECT 1 / 0"})
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(url, schema=schema, folder=broken)
    assert await read(url, f"SELECT * FROM {schema}.shelf") == [(1,)]
    assert await migrate(url, schema=schema, folder=version("mended", SECOND)) == ["0002_more.sql"]


async def test_a_wrong_name_is_refused(place, version) -> None:
    """A file of another name is named before anything is done, and so is a schema that is none."""
    url, schema = place
    with pytest.raises(BadMigration, match=r"more\.sql"):
        await migrate(url, schema=schema, folder=version("wrong", FIRST | {"more.sql": "SELECT 1"}))
    with pytest.raises(BadMigration, match="not a schema name"):
        await migrate(url, schema='x"; DROP', folder=version("right", FIRST))
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await read(url, "SELECT 1")


async def test_the_role_may_do_nothing_by_itself(place, version) -> None:
    """The service's role cannot log in, and reaches no table that no migration has granted it."""
    url, schema = place
    await migrate(url, schema=schema, folder=version("new", FIRST))
    login = "SELECT rolcanlogin FROM pg_roles WHERE rolname = '" + role_of(schema) + "'"
    assert await read(url, login) == [(False,)]
    connection = await asyncpg.connect(url, server_settings={"role": role_of(schema)})
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(f"SELECT * FROM {schema}.shelf")
    await connection.close()
