from services.pb import call_pb2 as _call_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReservationState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESERVATION_STATE_UNSPECIFIED: _ClassVar[ReservationState]
    HELD: _ClassVar[ReservationState]
    PINNED: _ClassVar[ReservationState]
    CONFIRMED: _ClassVar[ReservationState]
    RELEASED: _ClassVar[ReservationState]
    EXPIRED: _ClassVar[ReservationState]
    INSUFFICIENT: _ClassVar[ReservationState]
RESERVATION_STATE_UNSPECIFIED: ReservationState
HELD: ReservationState
PINNED: ReservationState
CONFIRMED: ReservationState
RELEASED: ReservationState
EXPIRED: ReservationState
INSUFFICIENT: ReservationState

class ReservationLine(_message.Message):
    __slots__ = ("product_id", "quantity")
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    product_id: int
    quantity: int
    def __init__(self, product_id: _Optional[int] = ..., quantity: _Optional[int] = ...) -> None: ...

class Reserve(_message.Message):
    __slots__ = ("call", "checkout_id", "lines", "pin")
    CALL_FIELD_NUMBER: _ClassVar[int]
    CHECKOUT_ID_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    PIN_FIELD_NUMBER: _ClassVar[int]
    call: _call_pb2.Call
    checkout_id: str
    lines: _containers.RepeatedCompositeFieldContainer[ReservationLine]
    pin: bool
    def __init__(self, call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ..., checkout_id: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[ReservationLine, _Mapping]]] = ..., pin: _Optional[bool] = ...) -> None: ...

class ReserveRequest(_message.Message):
    __slots__ = ("items", "call")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Reserve]
    call: _call_pb2.Call
    def __init__(self, items: _Optional[_Iterable[_Union[Reserve, _Mapping]]] = ..., call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ...) -> None: ...

class ReservationRef(_message.Message):
    __slots__ = ("call", "checkout_id")
    CALL_FIELD_NUMBER: _ClassVar[int]
    CHECKOUT_ID_FIELD_NUMBER: _ClassVar[int]
    call: _call_pb2.Call
    checkout_id: str
    def __init__(self, call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ..., checkout_id: _Optional[str] = ...) -> None: ...

class ReservationsRequest(_message.Message):
    __slots__ = ("items", "call")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[ReservationRef]
    call: _call_pb2.Call
    def __init__(self, items: _Optional[_Iterable[_Union[ReservationRef, _Mapping]]] = ..., call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ...) -> None: ...

class Reservation(_message.Message):
    __slots__ = ("checkout_id", "state", "product_id")
    CHECKOUT_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    checkout_id: str
    state: ReservationState
    product_id: int
    def __init__(self, checkout_id: _Optional[str] = ..., state: _Optional[_Union[ReservationState, str]] = ..., product_id: _Optional[int] = ...) -> None: ...

class ReservationResult(_message.Message):
    __slots__ = ("reservation", "refusal")
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    reservation: Reservation
    refusal: _call_pb2.Refusal
    def __init__(self, reservation: _Optional[_Union[Reservation, _Mapping]] = ..., refusal: _Optional[_Union[_call_pb2.Refusal, _Mapping]] = ...) -> None: ...

class ReservationsResponse(_message.Message):
    __slots__ = ("results", "leaving")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[ReservationResult]
    leaving: bool
    def __init__(self, results: _Optional[_Iterable[_Union[ReservationResult, _Mapping]]] = ..., leaving: _Optional[bool] = ...) -> None: ...

class Restock(_message.Message):
    __slots__ = ("call", "restock_id", "product_id", "quantity")
    CALL_FIELD_NUMBER: _ClassVar[int]
    RESTOCK_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    call: _call_pb2.Call
    restock_id: str
    product_id: int
    quantity: int
    def __init__(self, call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ..., restock_id: _Optional[str] = ..., product_id: _Optional[int] = ..., quantity: _Optional[int] = ...) -> None: ...

class RestockRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Restock]
    def __init__(self, items: _Optional[_Iterable[_Union[Restock, _Mapping]]] = ...) -> None: ...

class Stock(_message.Message):
    __slots__ = ("product_id", "available", "reserved", "sold")
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    RESERVED_FIELD_NUMBER: _ClassVar[int]
    SOLD_FIELD_NUMBER: _ClassVar[int]
    product_id: int
    available: int
    reserved: int
    sold: int
    def __init__(self, product_id: _Optional[int] = ..., available: _Optional[int] = ..., reserved: _Optional[int] = ..., sold: _Optional[int] = ...) -> None: ...

class RestockResult(_message.Message):
    __slots__ = ("stock", "refusal")
    STOCK_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    stock: Stock
    refusal: _call_pb2.Refusal
    def __init__(self, stock: _Optional[_Union[Stock, _Mapping]] = ..., refusal: _Optional[_Union[_call_pb2.Refusal, _Mapping]] = ...) -> None: ...

class RestockResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[RestockResult]
    def __init__(self, results: _Optional[_Iterable[_Union[RestockResult, _Mapping]]] = ...) -> None: ...

class ReservationRecord(_message.Message):
    __slots__ = ("checkout_id", "state", "lines", "created_at_ms", "changed_at_ms", "expires_at_ms")
    CHECKOUT_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_MS_FIELD_NUMBER: _ClassVar[int]
    checkout_id: str
    state: ReservationState
    lines: _containers.RepeatedCompositeFieldContainer[ReservationLine]
    created_at_ms: int
    changed_at_ms: int
    expires_at_ms: int
    def __init__(self, checkout_id: _Optional[str] = ..., state: _Optional[_Union[ReservationState, str]] = ..., lines: _Optional[_Iterable[_Union[ReservationLine, _Mapping]]] = ..., created_at_ms: _Optional[int] = ..., changed_at_ms: _Optional[int] = ..., expires_at_ms: _Optional[int] = ...) -> None: ...

class GetReservationResult(_message.Message):
    __slots__ = ("reservation", "refusal")
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    reservation: ReservationRecord
    refusal: _call_pb2.Refusal
    def __init__(self, reservation: _Optional[_Union[ReservationRecord, _Mapping]] = ..., refusal: _Optional[_Union[_call_pb2.Refusal, _Mapping]] = ...) -> None: ...

class GetReservationsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[GetReservationResult]
    def __init__(self, results: _Optional[_Iterable[_Union[GetReservationResult, _Mapping]]] = ...) -> None: ...

class ListStockRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListStockResponse(_message.Message):
    __slots__ = ("stock",)
    STOCK_FIELD_NUMBER: _ClassVar[int]
    stock: _containers.RepeatedCompositeFieldContainer[Stock]
    def __init__(self, stock: _Optional[_Iterable[_Union[Stock, _Mapping]]] = ...) -> None: ...
