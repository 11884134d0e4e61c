"""The catalogue, cached for a second, and for half a minute while the product service is unavailable.

A failed read counts for that second too, so that requests do not queue up for a product service that does not answer.
"""

import asyncio
from collections.abc import Mapping

from services.cart.usecases import ListedProduct
from services.chassis.client import Endpoint
from services.errors import InternalError, Transient, Unavailable
from services.pb import product_pb2 as pb
from services.pb import product_pb2_grpc

FRESH_SECONDS = 1.0
STALE_SECONDS = 30.0
PRODUCT_SECONDS = 0.3
FIRST_SECONDS = 1.0  # without a catalogue in the cache a request can only wait


class ProductClient:
    """Fits the port Catalogue."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._stub = product_pb2_grpc.ProductServiceStub(endpoint.channel)
        self._products: Mapping[int, ListedProduct] = {}
        self._read_at = float("-inf")
        self._asked_at = float("-inf")
        self._reading = asyncio.Lock()

    async def products(self) -> Mapping[int, ListedProduct]:
        """Return the products by id; Unavailable when they have not been read for STALE_SECONDS."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._asked_at >= FRESH_SECONDS:
            async with self._reading:  # one request reads, the others wait for its result
                if loop.time() - self._asked_at >= FRESH_SECONDS:
                    await self._read(loop)
        if loop.time() - self._read_at >= STALE_SECONDS:
            raise Unavailable("the products are unavailable", retry_after=FRESH_SECONDS)
        return self._products

    async def ready(self) -> str:
        """Say `ok` once the products are known, for a readiness page."""
        try:
            await self.products()
        except Unavailable:
            return "not known yet"
        return "ok"

    async def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        request = pb.ListProductsRequest()
        within = PRODUCT_SECONDS if self._products else FIRST_SECONDS
        try:
            reply = await self._endpoint.send(self._stub.ListProducts, request, within=within)
        except (Transient, InternalError):
            self._asked_at = loop.time()
            return
        products = {product.id: ListedProduct(product.name, product.price_minor) for product in reply.products}
        if products != self._products:  # what was made of the same object before is still right
            self._products = products
        self._asked_at = self._read_at = loop.time()
