"""Starts the gateway: `python -m services.gateway.main`."""

from contextlib import AsyncExitStack

from aiohttp import web

from services.chassis.client import Endpoint
from services.chassis.connection import PLAIN_READS
from services.chassis.logs import Logger
from services.chassis.run import Runtime, run
from services.chassis.telemetry import Metrics
from services.gateway.auth import UserOf, users
from services.gateway.bodies import MAX_BODY_BYTES
from services.gateway.clients import Services
from services.gateway.config import Config
from services.gateway.cors import origins
from services.gateway.edge import Edge
from services.gateway.routes import Routes


def edge(config: Config, user_of: UserOf, allowed: frozenset[str], log: Logger, metrics: Metrics) -> Edge:
    """Return what requests share, as the settings say. Pages of the `allowed` origins may read the answers."""
    return Edge(
        user_of,
        log,
        metrics,
        allowed,
        sample_reads=config.log_sample_reads,
        max_under_way=config.max_under_way,
    )


def application(around: Edge, routes: Routes) -> web.Application:
    """Return the application of the REST contract."""
    app = web.Application(middlewares=[around.around], client_max_size=MAX_BODY_BYTES)
    app.add_routes(routes.table())
    app[PLAIN_READS] = around.plain_reads(routes.plain_reads())
    return app


async def serve(runtime: Runtime) -> None:
    """Serve the REST contract."""
    config = Config.from_env(runtime.env)
    allowed = origins(config.cors_origins)
    addresses = {
        "product": config.product_addr,
        "cart": config.cart_addr,
        "orders": config.orders_addr,
        "checkout": config.checkout_addr,
    }
    async with AsyncExitStack() as stack:
        who = await stack.enter_async_context(users(config, runtime.log, runtime.metrics))
        ends = {
            name: await stack.enter_async_context(Endpoint(name, address, runtime.metrics))
            for name, address in addresses.items()
        }
        around = edge(config, who.of, allowed, runtime.log, runtime.metrics)
        app = application(around, Routes(Services(**ends, metrics=runtime.metrics)))
        await runtime.serve_http(config, app, {name: end.ready for name, end in ends.items()} | dict(who.checks))


if __name__ == "__main__":
    run("gateway", {"serve": serve})
