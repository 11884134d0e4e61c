"""Starts the checkout service and its workers: `python -m services.checkout.main [serve|relay|recovery|migrate]`."""

import asyncio
import os
import secrets
import socket
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

from services.chassis import kafka
from services.chassis.client import Endpoint
from services.chassis.failures import report
from services.chassis.longest_first import LongestFirst
from services.chassis.migrate import migrate, role_of
from services.chassis.postgres import Postgres
from services.chassis.run import Runtime, repeat, run, wait
from services.chassis.web import Check
from services.checkout import admin_api
from services.checkout.api import SERVICE, CheckoutApi
from services.checkout.changes import follow
from services.checkout.claims import Claimer
from services.checkout.clients import CartClient, InventoryClient, PaymentClient, ProductClient
from services.checkout.config import Config, MigrateConfig, RecoveryConfig, RelayConfig
from services.checkout.domain import LostLease, Session, Status
from services.checkout.driver import Driver
from services.checkout.recovery import Recovery
from services.checkout.relay import REST_SECONDS, KafkaPublisher, Relay
from services.checkout.store import PostgresSessions
from services.checkout.store.outbox import PostgresOutbox
from services.checkout.telemetry import SagaMetrics
from services.checkout.usecases import Checkouts
from services.errors import InternalError, Transient, Unavailable
from services.pb.checkout_admin_pb2_grpc import add_CheckoutAdminServicer_to_server
from services.pb.checkout_pb2_grpc import add_CheckoutServiceServicer_to_server

SCHEMA = "checkout"


async def serve(runtime: Runtime) -> None:
    """Start checkouts and answer for them."""
    config = Config.from_env(runtime.env)
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(_database(config.postgres_url, config.postgres_pool))
        turns = LongestFirst()
        sessions = PostgresSessions(db, runtime.metrics, owner=_owner(), timeout=config.checkout_timeout, turns=turns)
        claimer, driver, checks = await _driver(stack, runtime, config, sessions, turns, attempts=3)

        def notify(session: Session, error: Exception) -> None:
            facts = {"checkout_id": session.id, "step": session.step}
            if isinstance(error, (Transient, InternalError, LostLease)):
                runtime.log.warning("left to recovery", **facts, error=str(error))
            else:
                report(runtime.log, runtime.metrics, "saga", error, **facts)

        checkouts = Checkouts(sessions, claimer, driver.advance, notify=notify)
        renewing = asyncio.create_task(_renew(runtime, config, sessions, checkouts))
        api = CheckoutApi(checkouts, sessions, lambda: follow(sessions, runtime.stopping, wait))
        staff = admin_api.CheckoutAdminApi(sessions)
        services = {
            SERVICE: lambda server: add_CheckoutServiceServicer_to_server(api, server),
            admin_api.SERVICE: lambda server: add_CheckoutAdminServicer_to_server(staff, server),
        }
        checks |= {"postgres": db.ready}
        try:
            await runtime.serve(config, services, checks)
            await checkouts.drain()
        finally:
            renewing.cancel()


async def recovery(runtime: Runtime) -> None:
    """Take over interrupted sagas."""
    config = RecoveryConfig.from_env(runtime.env)
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(_database(config.postgres_url, config.postgres_pool))
        turns = LongestFirst()
        sessions = PostgresSessions(db, runtime.metrics, owner=_owner(), timeout=config.checkout_timeout, turns=turns)
        _, driver, checks = await _driver(stack, runtime, config, sessions, turns, attempts=1)
        worker = Recovery(sessions, driver.advance, runtime.log, runtime.metrics)

        async def loop(stopping: asyncio.Event) -> None:
            await repeat(worker.run_once, stopping, runtime.log, runtime.metrics, least=0.1, most=0.5)

        await runtime.work(config, loop, checks | {"postgres": db.ready})


async def relay(runtime: Runtime) -> None:
    """Publish the outbox."""
    config = RelayConfig.from_env(runtime.env)
    async with _database(config.postgres_url, 4) as db:
        publisher = KafkaPublisher(config.brokers(), config.checkout_topic)
        outbox = PostgresOutbox(db, owner=_owner())
        worker = Relay(outbox, publisher, log=runtime.log, metrics=runtime.metrics)

        async def loop(stopping: asyncio.Event) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(
                    repeat(
                        worker.run_once,
                        stopping,
                        runtime.log,
                        runtime.metrics,
                        least=0.02,
                        most=0.25,
                        rest=REST_SECONDS,
                    )
                )
                group.create_task(repeat(worker.sweep, stopping, runtime.log, runtime.metrics, least=1, most=300))
            try:
                await worker.resign()
            except Transient as fault:
                runtime.log.warning("the lead was not given up; it runs out by itself", error=str(fault))
            await publisher.close()

        await runtime.work(config, loop, {"postgres": db.ready, "kafka": publisher.ready})


async def make(runtime: Runtime) -> None:
    """Make the schema, the role and the topics."""
    config = MigrateConfig.from_env(runtime.env)
    applied = await migrate(config.postgres_url, schema=SCHEMA, folder=Path(__file__).parent / "migrations")
    topics = {config.checkout_topic: config.topic_partitions, f"{config.checkout_topic}.dlq": 1}
    ends_at = asyncio.get_running_loop().time() + config.topic_wait
    while True:
        try:
            await kafka.make_topics(config.brokers(), topics, replication=config.topic_replication)
            break
        except Unavailable:
            if asyncio.get_running_loop().time() > ends_at:
                raise
            await wait(runtime.stopping, 0.5)
    runtime.log.info("migrated", applied=applied, topics=list(topics))


def _database(url: str, size: int) -> Postgres:
    return Postgres(url, role=role_of(SCHEMA), schema=SCHEMA, size=size)


def _owner() -> str:
    """Name this process; no other has had or will have this name."""
    return f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"


async def _driver(
    stack: AsyncExitStack,
    runtime: Runtime,
    config: Config,
    sessions: PostgresSessions,
    turns: LongestFirst,
    *,
    attempts: int,
) -> tuple[Claimer, Driver, dict[str, Check]]:
    cart = await stack.enter_async_context(Endpoint("cart", config.cart_addr, runtime.metrics))
    product = await stack.enter_async_context(Endpoint("product", config.product_addr, runtime.metrics))
    inventory = await stack.enter_async_context(Endpoint("inventory", config.inventory_addr, runtime.metrics))
    payment = await stack.enter_async_context(Endpoint("payment", config.payment_addr, runtime.metrics))
    saga_metrics = SagaMetrics(runtime.metrics)

    def observe(session: Session) -> None:
        saga_metrics.observe(session)
        if session.status is not Status.PROCESSING:
            runtime.log.info("ended", checkout_id=session.id, status=session.status, reason=session.reason)

    claimer = Claimer(
        sessions, CartClient(cart, runtime.metrics, turns), ProductClient(product, runtime.metrics, turns)
    )
    driver = Driver(
        sessions,
        claimer,
        InventoryClient(inventory, runtime.metrics, turns, attempts=attempts),
        PaymentClient(payment, runtime.metrics, attempts=attempts),
        clock=lambda: datetime.now(UTC),
        observe=observe,
    )
    checks: dict[str, Check] = {end.name: end.ready for end in (cart, product, inventory, payment)}
    return claimer, driver, checks


async def _renew(runtime: Runtime, config: Config, sessions: PostgresSessions, checkouts: Checkouts) -> None:
    """Keep the leases of the sagas that this process drives."""
    while True:
        await asyncio.sleep(config.renew_every)
        if driven := checkouts.driven:
            try:
                await sessions.renew(driven)
            except Transient as fault:
                runtime.log.warning("leases were not renewed", error=str(fault))
            except Exception as error:  # noqa: BLE001 - the next round renews what this one could not
                report(runtime.log, runtime.metrics, "renew leases", error)


if __name__ == "__main__":
    run("checkout", {"serve": serve, "relay": relay, "recovery": recovery, "migrate": make})
