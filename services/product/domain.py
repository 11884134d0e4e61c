"""A product and what can be wrong with asking for one."""

from dataclasses import dataclass
from datetime import datetime

from services.error_codes import ErrorCode
from services.errors import NotFound


class UnknownProduct(NotFound):
    """No product has this id."""

    default_code = ErrorCode.PRODUCT_NOT_FOUND

    def __init__(self, product_id: int) -> None:
        super().__init__("product not found")
        self.product_id = product_id


@dataclass(frozen=True, slots=True)
class Product:
    """Something that can be bought; `price_minor` is in minor units of `currency`."""

    id: int
    name: str
    description: str
    price_minor: int
    currency: str
    image_url: str
    created_at: datetime
