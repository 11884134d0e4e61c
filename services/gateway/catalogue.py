"""The catalogue as clients get it. Its JSON and its ETag are made once for each answer of the product service."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from services.gateway import views
from services.pb import product_pb2


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The body of GET /api/v1/products, and its ETag."""

    body: bytes
    etag: str

    def is_known(self, if_none_match: Sequence[str]) -> bool:
        """Return whether a client with these If-None-Match headers has it already (RFC 9110, section 13.1.2)."""
        tags = [part.strip().removeprefix("W/") for part in ",".join(if_none_match).split(",")]
        return self.etag in tags or "*" in tags


def catalogue(products: Iterable[product_pb2.Product]) -> Catalogue:
    """Return the catalogue of these products, in their order."""
    body = msgspec.json.encode({"products": [views.product(product) for product in products]})
    return Catalogue(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
