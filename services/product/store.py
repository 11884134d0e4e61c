"""Products in PostgreSQL."""

from collections.abc import Sequence

from services.chassis.postgres import Postgres, Row
from services.product.domain import Product

_COLUMNS = "id, name, description, price_minor, currency, image_url, created_at"


class PostgresProducts:
    """Fits the port Products."""

    def __init__(self, db: Postgres) -> None:
        self._db = db

    async def all(self) -> list[Product]:
        """Return every product, by id."""
        return [_product(row) for row in await self._db.fetch(f"SELECT {_COLUMNS} FROM products ORDER BY id")]  # noqa: S608 - constant

    async def by_ids(self, ids: Sequence[int]) -> list[Product]:
        """Return those of `ids` that exist."""
        rows = await self._db.fetch(
            f"SELECT {_COLUMNS} FROM products WHERE id = ANY($1::bigint[])",  # noqa: S608 - constant
            list(ids),
        )
        return [_product(row) for row in rows]


def _product(row: Row) -> Product:
    return Product(**dict(row))
