"""Starts the payment service and its resolver: `python -m services.payment.main [serve|resolver|migrate]`."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from services.chassis.client import Endpoint
from services.chassis.migrate import migrate, role_of
from services.chassis.postgres import Postgres
from services.chassis.run import Runtime, repeat, run
from services.chassis.web import Check
from services.errors import Fault
from services.payment.api import SERVICE, PaymentApi
from services.payment.clients import BankClient
from services.payment.config import Config, ResolverConfig
from services.payment.domain import Payment
from services.payment.resolver import Resolver
from services.payment.store import PostgresPayments
from services.payment.usecases import PaymentProcessor
from services.pb.payment_pb2_grpc import add_PaymentServiceServicer_to_server

SCHEMA = "payment"


async def _processor(
    stack: AsyncExitStack, runtime: Runtime, config: Config
) -> tuple[PaymentProcessor, PostgresPayments, dict[str, Check]]:
    role = role_of(SCHEMA)
    db = Postgres(config.postgres_url, role=role, schema=SCHEMA, size=config.postgres_pool)
    await stack.enter_async_context(db)
    bank = await stack.enter_async_context(Endpoint("bank", config.bank_addr, runtime.metrics, tls=config.bank_tls))
    payments = PostgresPayments(db, runtime.metrics, resolve_after=config.resolve_after)

    def on_undecided(payment: Payment, fault: Fault) -> None:
        runtime.log.warning("undecided", checkout_id=payment.checkout_id, error=str(fault))

    return (
        PaymentProcessor(payments, BankClient(bank), on_undecided=on_undecided),
        payments,
        {"postgres": db.ready, "bank": bank.ready},
    )


async def serve(runtime: Runtime) -> None:
    """Charge and cancel payments."""
    config = Config.from_env(runtime.env)
    async with AsyncExitStack() as stack:
        processor, _, checks = await _processor(stack, runtime, config)
        api = PaymentApi(processor)
        services = {SERVICE: lambda server: add_PaymentServiceServicer_to_server(api, server)}
        await runtime.serve(config, services, checks)


async def resolve(runtime: Runtime) -> None:
    """Resolve undecided payments."""
    config = ResolverConfig.from_env(runtime.env)
    async with AsyncExitStack() as stack:
        processor, payments, checks = await _processor(stack, runtime, config)
        worker = Resolver(payments, processor.resolve, runtime.log, runtime.metrics)

        async def loop(stopping: asyncio.Event) -> None:
            await repeat(worker.run_once, stopping, runtime.log, runtime.metrics, least=0.5, most=2)

        await runtime.work(config, loop, checks)


async def make(runtime: Runtime) -> None:
    """Make the schema and the role."""
    config = Config.from_env(runtime.env)
    applied = await migrate(config.postgres_url, schema=SCHEMA, folder=Path(__file__).parent / "migrations")
    runtime.log.info("migrated", applied=applied)


if __name__ == "__main__":
    run("payment", {"serve": serve, "resolver": resolve, "migrate": make})
