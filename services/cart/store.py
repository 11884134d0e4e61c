"""Carts in MongoDB. The only importer of motor, so that another driver can take its place.

One find reads the documents of many users, and one bulk write changes them. A bulk write says how many documents it has changed, not
which, so where the number is not the one expected the documents are read again.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import InsertOne, ReadPreference, ReplaceOne, WriteConcern
from pymongo.errors import (
    BulkWriteError,
    DocumentTooLarge,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteError,
)
from pymongo.read_concern import ReadConcern

from services.cart.domain import Cart, Line
from services.chassis import tracing
from services.errors import Fault, OutcomeUnknown, Unavailable

MAX_TIME_MS = 2000
SELECTION_MS = 1000
MAX_DOCUMENT_BYTES = 16 * 1024 * 1024  # MongoDB's own bound
_DUPLICATE_KEY = 11000
_ABOUT_ONE_DOCUMENT = frozenset({2, 14, 121, 10334, _DUPLICATE_KEY})
"""MongoDB's codes BadValue, TypeMismatch, DocumentValidationFailure, BSONObjectTooLarge and DuplicateKey."""
_LOST = {Unavailable: "the carts are unavailable", OutcomeUnknown: "the reply to a write was lost"}

Pair = tuple[Cart, Cart]
"""A cart as it was read, and as it is to be."""


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

    async def read(self, user_ids: Sequence[int]) -> list[Cart | Exception]:
        """Read documents from the primary, with one find."""
        try:
            with _translated(lost=Unavailable), tracing.span("find carts", tracing.Kind.CLIENT) as span:
                span.set("db.system.name", "mongodb")
                found = await self._find(user_ids)
        except Fault as fault:
            return [fault] * len(user_ids)
        except Exception as error:  # noqa: BLE001 - the driver cannot decode one of the documents: the others are read alone
            if len(user_ids) == 1:
                return [error]
            return [(await self.read([user_id]))[0] for user_id in user_ids]
        return [_read(found.get(user_id), user_id) for user_id in user_ids]

    async def _find(self, user_ids: Sequence[int]) -> Mapping[int, Mapping[str, Any]]:
        chosen = {"user_id": user_ids[0]} if len(user_ids) == 1 else {"user_id": {"$in": list(user_ids)}}
        most = len(user_ids) + 1  # one more than can come, so that the first reply ends the cursor
        cursor = self._carts.find(chosen, max_time_ms=MAX_TIME_MS, batch_size=most)
        return {document["user_id"]: document for document in await cursor.to_list(most)}

    async def replace(self, changes: Sequence[Pair]) -> list[bool | Exception]:
        """Write each second cart where the document still has the version of the first, with one bulk write.

        First writes go in a bulk write of their own, at the same time, so that neither waits for the other.
        """
        outcomes: list[bool | Exception] = [False] * len(changes)
        first: list[int] = []
        later: list[int] = []
        operations: dict[int, InsertOne[Any] | ReplaceOne[Any]] = {}
        for position, pair in enumerate(changes):
            try:
                operations[position] = _operation(pair)
            except Exception as error:  # noqa: BLE001 - the driver cannot encode this document; it is not sent
                outcomes[position] = error
            else:
                (later if pair[0].version else first).append(position)

        async def write(positions: Sequence[int]) -> None:
            pairs = [changes[position] for position in positions]
            done = await self._write(pairs, [operations[position] for position in positions])
            for position, outcome in zip(positions, done, strict=True):
                outcomes[position] = outcome

        await asyncio.gather(*(write(positions) for positions in (first, later) if positions))
        return outcomes

    async def _write(
        self, pairs: Sequence[Pair], operations: Sequence[InsertOne[Any] | ReplaceOne[Any]]
    ) -> list[bool | Exception]:
        try:
            with _translated(lost=OutcomeUnknown), tracing.span("bulkWrite carts", tracing.Kind.CLIENT) as span:
                span.set("db.system.name", "mongodb")
                done = await self._carts.bulk_write(operations, ordered=False)
        except BulkWriteError as error:
            details = error.details or {}
            failed = {one["index"]: _write_error(one) for one in details.get("writeErrors", ())}
            written = details.get("nMatched", 0) + details.get("nInserted", 0)
            if details.get("writeConcernErrors"):  # it may be rolled back
                lost = OutcomeUnknown(_LOST[OutcomeUnknown])
                return [failed.get(index, lost) for index in range(len(pairs))]
        except Fault as fault:
            return [fault] * len(pairs)
        except Exception as error:  # noqa: BLE001 - one of the operations is refused: each goes alone
            if len(pairs) == 1:
                return [error]
            alone = [await self._write([pair], [one]) for pair, one in zip(pairs, operations, strict=True)]
            return [outcome for [outcome] in alone]
        else:
            failed = {}
            written = done.matched_count + done.inserted_count
        open_ = [index for index in range(len(pairs)) if index not in failed]
        won = await self._won([pairs[index] for index in open_], written)
        return [failed[index] if index in failed else next(won) for index in range(len(pairs))]

    async def _won(self, pairs: Sequence[Pair], written: int) -> Iterator[bool | Exception]:
        """Tell which of the pairs were written, of which it is known how many were."""
        if written in (0, len(pairs)):
            return iter([written > 0] * len(pairs))
        there = await self.read([before.user_id for before, _ in pairs])
        return iter(_settled(pairs, there, written))

    async def ready(self) -> str:
        """Say `ok`, or what is wrong, for a readiness page."""
        try:
            await self._client.admin.command("ping")
        except PyMongoError:
            return "does not answer"
        return "ok"


def _settled(pairs: Sequence[Pair], there: Sequence[Cart | Exception], written: int) -> list[bool | Exception]:
    """Decide which pairs were written, by what is there.

    A write that is there was made. One that met another write of the same version was not. Where the document is further on, or
    could not be read, the number of writes decides, or nobody knows.
    """
    outcomes: list[bool | Exception | None] = []
    for (before, after), cart in zip(pairs, there, strict=True):
        if isinstance(cart, Exception) or cart.version > before.version + 1:
            outcomes.append(None)
        else:
            outcomes.append(cart == after)
    left = written - outcomes.count(True)  # how many of those in doubt were written
    doubtful: bool | Exception = OutcomeUnknown("a write was made, and the cart has changed since")
    if left in (0, outcomes.count(None)):
        doubtful = left > 0
    return [doubtful if outcome is None else outcome for outcome in outcomes]


def _operation(pair: Pair) -> InsertOne[Any] | ReplaceOne[Any]:
    """Make an operation of a document that is encoded already, so that one that cannot be fails alone."""
    before, after = pair
    document = _document(after)
    if before.version == 0:
        document = {"_id": bson.ObjectId()} | document
    encoded = bson.encode(document)
    if len(encoded) > MAX_DOCUMENT_BYTES:
        raise DocumentTooLarge("a cart is larger than a document may be")
    if before.version == 0:
        return InsertOne(RawBSONDocument(encoded))
    return ReplaceOne({"user_id": before.user_id, "version": before.version}, RawBSONDocument(encoded))


def _write_error(details: Mapping[str, Any]) -> bool | Exception:
    """Say what an error about one operation of a bulk write means; False: there is a document already."""
    code = details.get("code")
    if code == _DUPLICATE_KEY:
        return False
    error = WriteError(str(details.get("errmsg", "")), code)
    if code in _ABOUT_ONE_DOCUMENT:
        return error
    lost = OutcomeUnknown(_LOST[OutcomeUnknown])
    lost.__cause__ = error
    return lost


@contextmanager
def _translated(*, lost: type[Unavailable | OutcomeUnknown]) -> Iterator[None]:
    """Turn what the driver says about MongoDB as a whole into faults; `lost` is what a lost reply means here.

    What it says about documents passes as it is: that request failed unexpectedly, and no other cart is affected.
    """
    try:
        yield
    except (ServerSelectionTimeoutError, WaitQueueTimeoutError) as error:  # it was not sent
        raise Unavailable("the carts are unavailable") from error
    except BulkWriteError:
        raise
    except OperationFailure as error:
        if error.code in _ABOUT_ONE_DOCUMENT:
            raise
        raise lost(_LOST[lost]) from error
    except PyMongoError as error:
        raise lost(_LOST[lost]) from error


def _read(document: Mapping[str, Any] | None, user_id: int) -> Cart | Exception:
    if document is None:
        return Cart(user_id)
    try:
        return _cart(document)
    except Exception as error:  # noqa: BLE001 - a document that is not ours, the outcome of this user
        return error


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
        "write_id": cart.write_id,
    }


def _cart(document: Mapping[str, Any]) -> Cart:
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
        write_id=str(document.get("write_id") or ""),
    )
