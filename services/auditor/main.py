"""Starts the auditor: `python -m services.auditor.main [serve|once]`.

`serve` compares for as long as it runs. `once` compares every book once, and exits with 0 where the books agree, with 1 where
they do not, and with 2 where a book could not be read. Both need no migration: those of the services let the auditor's role read.
"""

import asyncio
import sys
import time
from contextlib import AsyncExitStack

from services.auditor.auditor import Auditor, Settings
from services.auditor.bank import Bank
from services.auditor.books import Book
from services.auditor.carts import Copies, Documents
from services.auditor.cluster import Cluster, server_of
from services.auditor.config import Config
from services.auditor.differences import Kind
from services.auditor.ports import Books
from services.auditor.reading import CannotRead
from services.auditor.reporting import Report
from services.auditor.shop import Shop
from services.auditor.topic import Topic
from services.chassis import failures
from services.chassis.env import BadSettings
from services.chassis.migrate import role_of
from services.chassis.postgres import Postgres
from services.chassis.run import Runtime, repeat, run
from services.chassis.web import Check

ROLE = role_of("auditor")
SOON_SECONDS = 2.0
"""How soon a round follows one that found something new: it is certain with the next look."""
CACHE_SECONDS = 2.0
DIFFER, UNREAD = 1, 2


async def _books(stack: AsyncExitStack, runtime: Runtime, config: Config) -> tuple[Books, dict[str, Check]]:
    """Open the stores that are named."""
    if not config.postgres_url:
        raise BadSettings("POSTGRES_URL: is not set; without it there is nothing to compare with")
    checks: dict[str, Check] = {}

    async def database(name: str, url: str, schema: str) -> Postgres:
        db = await stack.enter_async_context(Postgres(url, role=ROLE, schema=schema, size=2, read_only=True))
        checks[name] = db.ready
        return db

    shop = Shop(await database("postgres", config.postgres_url, "checkout"))
    bank = Bank(await database("bank", config.bank_postgres_url, "bank")) if config.bank_postgres_url else None
    carts = Documents(config.mongodb_url) if config.mongodb_url else None
    cache = Copies(config.redis_url) if config.redis_url else None
    for store in (carts, cache):
        if store is not None:
            stack.push_async_callback(store.close)
    topic = Topic(config.brokers(), config.checkout_topic) if config.kafka_bootstrap_servers else None
    return Books(shop, bank, carts, cache, topic, _resources(runtime, config)), checks


def _resources(runtime: Runtime, config: Config) -> Cluster | None:
    try:
        server = server_of(config.kubeconfig, runtime.env) if config.namespaces else None
    except CannotRead as error:
        runtime.log.warning("a book cannot be read", book=error.book, error=error.why)
        return None
    return Cluster(server, config.namespaces) if server else None


def _auditor(books: Books, report: Report, config: Config) -> Auditor:
    """Make the auditor of these books, and say which books it does not have."""
    named = {
        Book.BANK: (books.bank, "BANK_POSTGRES_URL"),
        Book.CARTS: (books.carts, "MONGODB_URL"),
        Book.CACHE: (books.cache, "REDIS_URL"),
        Book.TOPIC: (books.topic, "KAFKA_BOOTSTRAP_SERVERS"),
        Book.RESOURCES: (books.resources, "KUBECONFIG" if config.namespaces else "AUDIT_NAMESPACES"),
    }
    for book in Book:
        store, variable = named.get(book, (books.shop, ""))
        if store is None:
            report.unnamed(book, variable)
        else:
            report.named(book, time.time())
    settings = Settings(config.audit_after, config.audit_full_every, config.audit_share, config.audit_page)
    return Auditor(books, settings, report)


async def serve(runtime: Runtime) -> None:
    """Compare for as long as it runs."""
    config = Config.from_env(runtime.env)
    async with AsyncExitStack() as stack:
        books, checks = await _books(stack, runtime, config)
        auditor = _auditor(books, Report(runtime.log, runtime.metrics, command=config.audit_command), config)

        async def loop(stopping: asyncio.Event) -> None:
            log, metrics, every = runtime.log, runtime.metrics, config.audit_every
            async with asyncio.TaskGroup() as group:
                group.create_task(
                    repeat(
                        auditor.run_once, stopping, log, metrics, least=every, most=every, rest=min(SOON_SECONDS, every)
                    )
                )
                group.create_task(
                    repeat(auditor.look_at_cache, stopping, log, metrics, least=CACHE_SECONDS, most=CACHE_SECONDS)
                )

        await runtime.work(config, loop, checks)


async def once(runtime: Runtime) -> None:
    """Compare every book once, and exit with what was found."""
    config = Config.from_env(runtime.env)
    async with AsyncExitStack() as stack:
        books, _ = await _books(stack, runtime, config)
        report = Report(runtime.log, runtime.metrics, command=config.audit_command)
        auditor = _auditor(books, report, config)
        try:
            await auditor.run_whole()
        except Exception as error:  # noqa: BLE001 - told with its traceback; an exit with 1 would say that the books differ
            failures.report(runtime.log, runtime.metrics, "audit", error)
            sys.exit(UNREAD)
        now = auditor.now
        verdicts = auditor.differences.verdicts(now)
        for kind in Kind:
            runtime.log.info(
                "compared",
                kind=kind,
                compared=report.comparisons[kind],
                count=verdicts[kind].count,
                age=round(verdicts[kind].oldest_seconds, 1),
            )
        found = auditor.differences.counting(now)
        for one in found:
            report.differs(one, now)
    sys.exit(DIFFER if found else UNREAD if report.unread else 0)


if __name__ == "__main__":
    run("auditor", {"serve": serve, "once": once})
