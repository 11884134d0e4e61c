"""Starts the orders service and its consumer: `python -m services.orders.main [serve|consumer|migrate]`."""

from pathlib import Path

from services.chassis.consumer import Consumer
from services.chassis.migrate import migrate, role_of
from services.chassis.postgres import Postgres
from services.chassis.run import Runtime, run
from services.orders.api import SERVICE, OrdersApi
from services.orders.config import Config, ConsumerConfig
from services.orders.consumer import OrderCreator
from services.orders.store import PostgresOrders
from services.orders.usecases import OrderQueries
from services.pb.orders_pb2_grpc import add_OrdersServiceServicer_to_server

SCHEMA = "orders"


def _database(config: Config) -> Postgres:
    return Postgres(config.postgres_url, role=role_of(SCHEMA), schema=SCHEMA, size=config.postgres_pool)


async def serve(runtime: Runtime) -> None:
    """Serve the gRPC API."""
    config = Config.from_env(runtime.env)
    async with _database(config) as db:
        api = OrdersApi(OrderQueries(PostgresOrders(db, runtime.metrics)))
        services = {SERVICE: lambda server: add_OrdersServiceServicer_to_server(api, server)}
        await runtime.serve(config, services, {"postgres": db.ready})


async def consume(runtime: Runtime) -> None:
    """Create orders from the events of completed checkouts."""
    config = ConsumerConfig.from_env(runtime.env)
    async with _database(config) as db:
        creator = OrderCreator(PostgresOrders(db, runtime.metrics), runtime.log, runtime.metrics)
        consumer = Consumer(
            config.brokers(),
            config.checkout_topic,
            "orders",
            handle=creator.handle,
            log=runtime.log,
            metrics=runtime.metrics,
        )
        await runtime.work(config, consumer.run, {"postgres": db.ready, "kafka": consumer.ready})


async def prepare(runtime: Runtime) -> None:
    """Create the schema, its tables and the role."""
    config = Config.from_env(runtime.env)
    applied = await migrate(config.postgres_url, schema=SCHEMA, folder=Path(__file__).parent / "migrations")
    runtime.log.info("migrated", applied=applied)


if __name__ == "__main__":
    run("orders", {"serve": serve, "consumer": consume, "migrate": prepare})
