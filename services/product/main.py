"""Starts the product service: `python -m services.product.main [serve|migrate]`."""

from pathlib import Path

from services.chassis.migrate import migrate, role_of
from services.chassis.postgres import Postgres
from services.chassis.run import Runtime, run
from services.pb.product_pb2_grpc import add_ProductServiceServicer_to_server
from services.product.api import SERVICE, ProductApi
from services.product.config import Config
from services.product.store import PostgresProducts
from services.product.usecases import Catalogue

SCHEMA = "product"


async def serve(runtime: Runtime) -> None:
    """Answer for the catalogue."""
    config = Config.from_env(runtime.env)
    async with Postgres(config.postgres_url, role=role_of(SCHEMA), schema=SCHEMA, size=config.postgres_pool) as db:
        api = ProductApi(Catalogue(PostgresProducts(db)), runtime.metrics)
        services = {SERVICE: lambda server: add_ProductServiceServicer_to_server(api, server)}
        await runtime.serve(config, services, {"postgres": db.ready})


async def make(runtime: Runtime) -> None:
    """Make the schema, the role and the seeded products."""
    config = Config.from_env(runtime.env)
    applied = await migrate(config.postgres_url, schema=SCHEMA, folder=Path(__file__).parent / "migrations")
    runtime.log.info("migrated", applied=applied)


if __name__ == "__main__":
    run("product", {"serve": serve, "migrate": make})
