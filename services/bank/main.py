"""Starts the simulated bank: `python -m services.bank.main [serve|migrate]`."""

from pathlib import Path

from services.bank.api import ADMIN_SERVICE, SERVICE, BankAdminApi, BankApi
from services.bank.config import Config
from services.bank.store import PostgresLedger
from services.bank.usecases import Bank
from services.chassis.migrate import migrate, role_of
from services.chassis.postgres import Postgres
from services.chassis.rpc import Register
from services.chassis.run import Runtime, run
from services.pb.bank_pb2_grpc import add_BankAdminServicer_to_server, add_BankServicer_to_server

SCHEMA = "bank"


async def serve(runtime: Runtime) -> None:
    """Charge cards."""
    config = Config.from_env(runtime.env)
    async with Postgres(config.bank_postgres_url, role=role_of(SCHEMA), schema=SCHEMA) as db:
        bank = Bank(
            PostgresLedger(db, runtime.metrics),
            seed=config.bank_seed,
            success_rate=config.bank_success_rate,
            admin=config.bank_admin,
        )
        api = BankApi(bank, runtime.stopping)
        services: dict[str, Register] = {SERVICE: lambda server: add_BankServicer_to_server(api, server)}
        if config.bank_admin:
            admin = BankAdminApi(bank)
            services[ADMIN_SERVICE] = lambda server: add_BankAdminServicer_to_server(admin, server)
        await runtime.serve(config, services, {"postgres": db.ready})


async def make(runtime: Runtime) -> None:
    """Make the database, the schema and the role."""
    config = Config.from_env(runtime.env)
    applied = await migrate(config.bank_postgres_url, schema=SCHEMA, folder=Path(__file__).parent / "migrations")
    runtime.log.info("migrated", applied=applied)


if __name__ == "__main__":
    run("bank", {"serve": serve, "migrate": make})
