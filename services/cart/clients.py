"""The catalogue, kept for a second, and for half a minute while the product service is away.

A failed read is remembered as well: nobody waits in line to find out again that the product service does not answer.
"""

import asyncio
from collections.abc import Mapping

from services.cart.usecases import Listed
from services.chassis.client import Endpoint
from services.errors import Transient, Unavailable
from services.pb import product_pb2 as pb
from services.pb import product_pb2_grpc

FRESH_SECONDS = 1.0
STALE_SECONDS = 30.0
PRODUCT_SECONDS = 0.3
FIRST_SECONDS = 1.0  # while nothing is known there is nothing else to give


class ProductClient:
    """Fits the port Catalogue."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._stub = product_pb2_grpc.ProductServiceStub(endpoint.channel)
        self._products: Mapping[int, Listed] = {}
        self._read_at = float("-inf")
        self._asked_at = float("-inf")
        self._reading = asyncio.Lock()

    async def products(self) -> Mapping[int, Listed]:
        """Give the products by id."""
        loop = asyncio.get_running_loop()
        async with self._reading:  # one reads, the others wait for what it brings
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
        except Transient:
            self._asked_at = loop.time()
            return
        self._products = {product.id: Listed(product.name, product.price_minor) for product in reply.products}
        self._asked_at = self._read_at = loop.time()
