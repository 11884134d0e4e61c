from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PurchasedLine(_message.Message):
    __slots__ = ("line_id", "product_id", "product_name", "quantity", "unit_price_minor")
    LINE_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_NAME_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    UNIT_PRICE_MINOR_FIELD_NUMBER: _ClassVar[int]
    line_id: str
    product_id: int
    product_name: str
    quantity: int
    unit_price_minor: int
    def __init__(self, line_id: _Optional[str] = ..., product_id: _Optional[int] = ..., product_name: _Optional[str] = ..., quantity: _Optional[int] = ..., unit_price_minor: _Optional[int] = ...) -> None: ...

class CheckoutCompleted(_message.Message):
    __slots__ = ("event_id", "checkout_id", "user_id", "order_id", "lines", "total_minor", "currency", "completed_at_ms")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    CHECKOUT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MINOR_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    checkout_id: str
    user_id: int
    order_id: str
    lines: _containers.RepeatedCompositeFieldContainer[PurchasedLine]
    total_minor: int
    currency: str
    completed_at_ms: int
    def __init__(self, event_id: _Optional[str] = ..., checkout_id: _Optional[str] = ..., user_id: _Optional[int] = ..., order_id: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[PurchasedLine, _Mapping]]] = ..., total_minor: _Optional[int] = ..., currency: _Optional[str] = ..., completed_at_ms: _Optional[int] = ...) -> None: ...
