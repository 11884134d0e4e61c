"""Carts in MongoDB. The only importer of motor, so that another driver can take its place."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ReadPreference, WriteConcern
from pymongo.errors import (
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
)
from pymongo.read_concern import ReadConcern

from services.cart.domain import Cart, Line
from services.errors import OutcomeUnknown, Unavailable

MAX_TIME_MS = 2000
SELECTION_MS = 1000
_ABOUT_ONE_DOCUMENT = frozenset({2, 14, 121, 10334, 11000})
"""MongoDB's codes BadValue, TypeMismatch, DocumentValidationFailure, BSONObjectTooLarge and DuplicateKey."""
_LOST = {Unavailable: "the carts are unavailable", OutcomeUnknown: "the reply to a write was lost"}


class MongoCarts:
    """Fits the port Carts."""

    def __init__(self, url: str) -> None:
        self._client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(
            url,
            serverSelectionTimeoutMS=SELECTION_MS,
            connectTimeoutMS=SELECTION_MS,
            socketTimeoutMS=MAX_TIME_MS,
            retryWrites=False,  # a lost reply is resolved by reading again
            tz_aware=True,
        )
        self._carts = self._client["cartdb"].get_collection(
            "carts",
            write_concern=WriteConcern(w="majority", j=True),
            read_concern=ReadConcern("majority"),
            read_preference=ReadPreference.PRIMARY,
        )

    async def prepare(self) -> None:
        """Make the unique index; Unavailable when MongoDB is away."""
        with _translated(lost=Unavailable):
            await self._carts.create_index("user_id", unique=True)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    async def get(self, user_id: int) -> Cart:
        """Read a document from the primary."""
        with _translated(lost=Unavailable):
            document = await self._carts.find_one({"user_id": user_id}, max_time_ms=MAX_TIME_MS)
        return _cart(document) if document else Cart(user_id)

    async def replace(self, before: Cart, after: Cart) -> bool:
        """Write `after` where the document still has the version of `before`; OutcomeUnknown: the reply was lost."""
        try:
            with _translated(lost=OutcomeUnknown):
                if before.version == 0:
                    await self._carts.insert_one(_document(after))
                    return True
                done = await self._carts.replace_one(
                    {"user_id": before.user_id, "version": before.version}, _document(after)
                )
        except DuplicateKeyError:
            return False
        return done.matched_count == 1

    async def ready(self) -> str:
        """Say `ok`, or what is wrong, for a readiness page."""
        try:
            await self._client.admin.command("ping")
        except PyMongoError:
            return "does not answer"
        return "ok"


@contextmanager
def _translated(*, lost: type[Unavailable | OutcomeUnknown]) -> Iterator[None]:
    """Turn what the driver says about MongoDB as a whole into faults; `lost` is what a lost reply means here.

    What it says about one document passes as it is: that request failed unexpectedly, and no other cart is affected.
    """
    try:
        yield
    except (ServerSelectionTimeoutError, WaitQueueTimeoutError) as error:  # it was not sent
        raise Unavailable("the carts are unavailable") from error
    except OperationFailure as error:
        if error.code in _ABOUT_ONE_DOCUMENT:
            raise
        raise lost(_LOST[lost]) from error
    except PyMongoError as error:
        raise lost(_LOST[lost]) from error


def _document(cart: Cart) -> dict[str, Any]:
    return {
        "user_id": cart.user_id,
        "cart_id": cart.cart_id or None,
        "version": cart.version,
        "lines": [
            {
                "line_id": line.line_id,
                "product_id": line.product_id,
                "quantity": line.quantity,
                "bought": list(line.bought),
                "name": line.name,
            }
            for line in cart.lines
        ],
        # MongoDB keeps milliseconds; what is compared after a lost reply must be what is read back.
        "updated_at": cart.updated_at,
    }


def _cart(document: dict[str, Any]) -> Cart:
    """Give the cart of a document in plain types: the driver's own, such as `bson.Int64`, know no other encoder."""
    updated_at = document["updated_at"]
    return Cart(
        user_id=int(document["user_id"]),
        version=int(document["version"]),
        cart_id=str(document["cart_id"] or ""),
        lines=tuple(
            Line(
                str(line["line_id"]),
                int(line["product_id"]),
                int(line["quantity"]),
                tuple(str(checkout_id) for checkout_id in line["bought"]),
                None if line.get("name") is None else str(line["name"]),
            )
            for line in document["lines"]
        ),
        updated_at=updated_at and updated_at.astimezone(UTC),
    )
