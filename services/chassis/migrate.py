"""Forward-only SQL migrations: NNNN_what.sql, applied once each, in order, under a lock, with their checksums kept.

A migration runs with the search path on its schema. It must be safe while the version before it still runs.
"""

import hashlib
import re
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from services.chassis.failures import reason
from services.errors import Unavailable

_NAME = re.compile(r"\d{4}_[a-z0-9_]+\.sql")
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")


class BadMigration(Exception):
    """A migration has an invalid name, or was changed after it was applied. Nothing of it was applied."""


def role_of(schema: str) -> str:
    """Return the database role that the service of `schema` uses."""
    return f"cartwright_{schema}"


async def migrate(url: str, *, schema: str, folder: Path) -> list[str]:
    """Create the database, role and schema if they are missing, apply the new migrations of `folder`, and return their names.

    The user of `url` needs the rights to do so. The role has only the rights that migrations grant it. BadMigration if a
    migration is invalid, Unavailable if the database cannot be reached, errors of asyncpg if PostgreSQL refuses one.
    """
    if not _IDENTIFIER.fullmatch(schema):
        raise BadMigration(f"{schema!r} is not a schema name: it must match {_IDENTIFIER.pattern}")
    files = sorted(folder.glob("*.sql"))  # noqa: ASYNC240 - once, before anything is served
    if invalid := [file.name for file in files if not _NAME.fullmatch(file.name)]:
        raise BadMigration(f"migrations must be named NNNN_what.sql: {', '.join(invalid)}")
    try:
        connection = await _connect(url)
    except (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError) as error:
        raise Unavailable(f"the database cannot be reached ({reason(error)})") from error
    try:
        # One lock for all schemas: they share roles and the settings of the database.
        await connection.execute("SELECT pg_advisory_lock(hashtext('cartwright migrations'))")
        await _prepare(connection, schema)
        return await _apply(connection, schema, files)
    finally:
        await connection.close()


async def _connect(url: str) -> "asyncpg.Connection[asyncpg.Record]":
    try:
        return await asyncpg.connect(url, timeout=10)
    except asyncpg.InvalidCatalogNameError:
        parts = urlsplit(url)
        maintenance = await asyncpg.connect(urlunsplit(parts._replace(path="/postgres")), timeout=10)
        try:
            await maintenance.execute(f'CREATE DATABASE "{parts.path.lstrip("/")}"')
        except asyncpg.DuplicateDatabaseError:
            pass  # another service's migration created it first
        except asyncpg.UniqueViolationError:
            pass  # the same race, seen one step earlier
        finally:
            await maintenance.close()
        return await asyncpg.connect(url, timeout=10)


async def _prepare(connection: "asyncpg.Connection[asyncpg.Record]", schema: str) -> None:
    role = role_of(schema)
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
        await connection.execute(f"CREATE ROLE {role} NOLOGIN")
    await connection.execute(f"GRANT {role} TO CURRENT_USER")
    await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    await connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
    await connection.execute(
        f"CREATE TABLE IF NOT EXISTS {schema}.schema_migrations ("
        " name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    await _extend_search_path(connection, schema)


async def _extend_search_path(connection: "asyncpg.Connection[asyncpg.Record]", schema: str) -> None:
    """Add the schema to the database's search path, so that people can query its tables by unqualified names."""
    settings = await connection.fetchval(
        "SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase"
        " WHERE d.datname = current_database() AND s.setrole = 0"
    )
    path = next((s.removeprefix("search_path=") for s in settings or () if s.startswith("search_path=")), "public")
    schemas = [part.strip().strip('"') for part in path.split(",")]
    if schema not in schemas:
        listed = ", ".join((*schemas, schema))
        database = await connection.fetchval("SELECT quote_ident(current_database())")
        await connection.execute(f"ALTER DATABASE {database} SET search_path = {listed}")


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", schema: str, files: list[Path]) -> list[str]:
    rows = await connection.fetch(f"SELECT name, checksum FROM {schema}.schema_migrations")  # noqa: S608 - checked above
    known = {row["name"]: row["checksum"] for row in rows}
    applied = []
    for file in files:
        text = file.read_text()
        checksum = hashlib.sha256(text.encode()).hexdigest()
        if file.name in known:
            if known[file.name] != checksum:
                raise BadMigration(
                    f"{schema}/{file.name} was changed after it had been applied; add a new migration instead"
                )
            continue
        async with connection.transaction():
            await connection.execute(f"SET LOCAL search_path = {schema}")
            await connection.execute(text)
            await connection.execute(
                f"INSERT INTO {schema}.schema_migrations (name, checksum) VALUES ($1, $2)",  # noqa: S608 - checked above
                file.name,
                checksum,
            )
        applied.append(file.name)
    return applied
