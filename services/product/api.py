"""The catalogue over gRPC.

Calls for the whole catalogue share a statement that has not been sent yet: what they are given was committed no earlier than they
asked. Its message is made once for all of them.
"""

from collections.abc import Sequence
from typing import Any

from services.chassis.batch import Batcher, Limits
from services.chassis.batched_request import batch
from services.chassis.telemetry import Metrics
from services.pb import product_pb2 as pb
from services.pb import product_pb2_grpc
from services.product.domain import Product, UnknownProduct
from services.product.usecases import Catalogue

SERVICE = "cartwright.product.ProductService"
LIMITS = Limits(batch=1024, under_way=2)
"""However many callers, it is one statement. While its rows are on their way back the next can be on its way there."""


class ProductApi(product_pb2_grpc.ProductServiceServicer):
    """Message ↔ domain; the rules are the use case's."""

    def __init__(self, catalogue: Catalogue, metrics: Metrics) -> None:
        self._catalogue = catalogue
        self._whole: Batcher[None, pb.ListProductsResponse] = Batcher(
            "product.list", self._list, metrics, limits=LIMITS
        )

    async def ListProducts(self, request: pb.ListProductsRequest, context: Any) -> pb.ListProductsResponse:
        """Return the whole catalogue."""
        return await self._whole.ask(None)

    async def _list(self, callers: Sequence[None]) -> list[pb.ListProductsResponse]:
        """Read the catalogue once, and return the same message to each caller."""
        listed = await self._catalogue.list_products()
        return [pb.ListProductsResponse(products=[_message(product) for product in listed])] * len(callers)

    async def GetProducts(self, request: pb.GetProductsRequest, context: Any) -> pb.GetProductsResponse:
        """Return products by id."""
        made: dict[int, pb.GetProductResult] = {}  # of the many items of a batch most are for the same few products

        def result(product: Product) -> pb.GetProductResult:
            if product.id not in made:
                made[product.id] = pb.GetProductResult(product=_message(product))
            return made[product.id]

        results = await batch(
            request.items, parse=_id, act=self._catalogue.get_products, render=result, refused=pb.GetProductResult
        )
        return pb.GetProductsResponse(results=results)


def _id(item: pb.GetProduct) -> int:
    if item.product_id < 1:
        raise UnknownProduct(item.product_id)
    return item.product_id


def _message(product: Product) -> pb.Product:
    return pb.Product(
        id=product.id,
        name=product.name,
        description=product.description,
        price_minor=product.price_minor,
        currency=product.currency,
        image_url=product.image_url,
        created_at_ms=int(product.created_at.timestamp() * 1000),
    )
