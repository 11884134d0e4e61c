"""Reading the catalogue."""

from collections.abc import Sequence
from typing import Protocol

from services.product.domain import Product, UnknownProduct


class Products(Protocol):
    """Where products are kept."""

    async def all(self) -> list[Product]:
        """Return every product, by id; Unavailable when the store is away."""

    async def by_ids(self, ids: Sequence[int]) -> list[Product]:
        """Return those of `ids` that exist, in any order; Unavailable when the store is away."""


class Catalogue:
    """What can be bought."""

    def __init__(self, products: Products) -> None:
        self._products = products

    async def list_products(self) -> list[Product]:
        """Return every product, by id."""
        return await self._products.all()

    async def get_products(self, ids: Sequence[int]) -> list[Product | UnknownProduct]:
        """Return the product of each id, or that there is none, in the order of `ids`."""
        found = {product.id: product for product in await self._products.by_ids(list(dict.fromkeys(ids)))}
        return [found.get(product_id) or UnknownProduct(product_id) for product_id in ids]
