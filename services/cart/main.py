"""Starts the cart service and its consumer: `python -m services.cart.main [serve|consumer|migrate]`."""

from contextlib import AsyncExitStack
from datetime import UTC, datetime

from services.cart.api import SERVICE, CartApi
from services.cart.cache import RedisCache
from services.cart.changes import CartWriter
from services.cart.clients import ProductClient
from services.cart.config import Config, ConsumerConfig
from services.cart.consumer import PurchaseRemover
from services.cart.store import MongoCarts
from services.cart.usecases import CartService
from services.chassis.client import Endpoint
from services.chassis.consumer import Consumer
from services.chassis.run import Runtime, run
from services.chassis.web import Check
from services.pb.cart_pb2_grpc import add_CartServiceServicer_to_server


def _now() -> datetime:
    """Return the time in whole milliseconds, which is what MongoDB keeps."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


async def _service(stack: AsyncExitStack, runtime: Runtime, config: Config) -> tuple[CartService, dict[str, Check]]:
    carts = MongoCarts(config.mongodb_url)
    stack.callback(carts.close)
    cache = RedisCache(config.redis_url, runtime.metrics)
    stack.push_async_callback(cache.close)
    product = await stack.enter_async_context(Endpoint("product", config.product_addr, runtime.metrics))
    catalogue = ProductClient(product)
    service = CartService(carts, cache, catalogue, CartWriter(carts, cache, clock=_now))
    return service, {"mongodb": carts.ready, "redis": cache.ready, "product": catalogue.ready}


async def serve(runtime: Runtime) -> None:
    """Answer for carts."""
    config = Config.from_env(runtime.env)
    async with AsyncExitStack() as stack:
        service, checks = await _service(stack, runtime, config)
        api = CartApi(service)
        services = {SERVICE: lambda server: add_CartServiceServicer_to_server(api, server)}
        await runtime.serve(config, services, checks)


async def consume(runtime: Runtime) -> None:
    """Remove what was bought from carts."""
    config = ConsumerConfig.from_env(runtime.env)
    async with AsyncExitStack() as stack:
        service, checks = await _service(stack, runtime, config)
        remover = PurchaseRemover(service.remove_bought, runtime.log, runtime.metrics)
        consumer = Consumer(
            config.brokers(),
            config.checkout_topic,
            "cart",
            handle=remover.handle,
            log=runtime.log,
            metrics=runtime.metrics,
        )
        await runtime.work(config, consumer.run, checks | {"kafka": consumer.ready})


async def make(runtime: Runtime) -> None:
    """Make the index that lets a user have one cart only."""
    config = Config.from_env(runtime.env)
    carts = MongoCarts(config.mongodb_url)
    try:
        await carts.prepare()
    finally:
        carts.close()
    runtime.log.info("migrated")


if __name__ == "__main__":
    run("cart", {"serve": serve, "consumer": consume, "migrate": make})
