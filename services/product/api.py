"""The catalogue over gRPC."""

from typing import Any

from services.chassis.rpc import batch
from services.pb import product_pb2 as pb
from services.pb import product_pb2_grpc
from services.product.domain import Product, UnknownProduct
from services.product.usecases import Catalogue

SERVICE = "cartwright.product.ProductService"
MAX_ID = 2**63 - 1


class ProductApi(product_pb2_grpc.ProductServiceServicer):
    """Message ↔ domain; the rules are the use case's."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def ListProducts(self, request: pb.ListProductsRequest, context: Any) -> pb.ListProductsResponse:
        """Return the whole catalogue."""
        return pb.ListProductsResponse(
            products=[_message(product) for product in await self._catalogue.list_products()]
        )

    async def GetProducts(self, request: pb.GetProductsRequest, context: Any) -> pb.GetProductsResponse:
        """Return products by id."""
        results = await batch(
            request.items,
            parse=_id,
            act=self._catalogue.get_products,
            render=lambda product: pb.GetProductResult(product=_message(product)),
            refused=pb.GetProductResult,
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
