"""Starts the inventory service and its sweeper: `python -m services.inventory.main [serve|sweeper|migrate]`."""

import asyncio
from pathlib import Path

import asyncpg

from services.chassis.migrate import migrate, role_of
from services.chassis.postgres import Postgres
from services.chassis.resilience import Retrier
from services.chassis.run import Runtime, repeat, run
from services.inventory.api import SERVICE, InventoryApi
from services.inventory.config import Config, SweeperConfig
from services.inventory.store import PostgresWarehouse
from services.inventory.sweeper import Sweeper
from services.pb.inventory_pb2_grpc import add_InventoryServiceServicer_to_server

SCHEMA = "inventory"
SEEDED_PRODUCTS = 5
SWEEP_SECONDS = 5.0


def _database(config: Config) -> Postgres:
    return Postgres(config.postgres_url, role=role_of(SCHEMA), schema=SCHEMA, size=config.postgres_pool)


async def serve(runtime: Runtime) -> None:
    """Answer for stock."""
    config = Config.from_env(runtime.env)
    async with _database(config) as db:
        warehouse = PostgresWarehouse(db, ttl=config.reservation_ttl)
        api = InventoryApi(warehouse, Retrier("postgres", runtime.metrics))
        services = {SERVICE: lambda server: add_InventoryServiceServicer_to_server(api, server)}
        await runtime.serve(config, services, {"postgres": db.ready})


async def sweep(runtime: Runtime) -> None:
    """Return expired reservations."""
    config = SweeperConfig.from_env(runtime.env)
    async with _database(config) as db:
        worker = Sweeper(PostgresWarehouse(db, ttl=config.reservation_ttl), runtime.metrics)
        pause = max(0.2, min(SWEEP_SECONDS, config.reservation_ttl / 4))

        async def loop(stopping: asyncio.Event) -> None:
            await repeat(worker.run_once, stopping, runtime.log, runtime.metrics, least=pause, most=pause)

        await runtime.work(config, loop, {"postgres": db.ready})


async def make(runtime: Runtime) -> None:
    """Make the schema, the role and the first stock."""
    config = Config.from_env(runtime.env)
    applied = await migrate(config.postgres_url, schema=SCHEMA, folder=Path(__file__).parent / "migrations")
    connection = await asyncpg.connect(config.postgres_url)
    try:
        await connection.execute(
            "INSERT INTO inventory.stock (product_id, received, available) SELECT id, $1, $1"
            " FROM generate_series(1, $2::bigint) AS id ON CONFLICT DO NOTHING",
            config.inventory_initial_stock,
            SEEDED_PRODUCTS,
        )
    finally:
        await connection.close()
    runtime.log.info("migrated", applied=applied)


if __name__ == "__main__":
    run("inventory", {"serve": serve, "sweeper": sweep, "migrate": make})
