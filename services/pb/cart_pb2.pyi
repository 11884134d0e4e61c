from services.pb import call_pb2 as _call_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CartLine(_message.Message):
    __slots__ = ("line_id", "product_id", "product_name", "unit_price_minor", "quantity", "unavailable")
    LINE_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_PRICE_MINOR_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABLE_FIELD_NUMBER: _ClassVar[int]
    line_id: str
    product_id: int
    product_name: str
    unit_price_minor: int
    quantity: int
    unavailable: bool
    def __init__(self, line_id: _Optional[str] = ..., product_id: _Optional[int] = ..., product_name: _Optional[str] = ..., unit_price_minor: _Optional[int] = ..., quantity: _Optional[int] = ..., unavailable: _Optional[bool] = ...) -> None: ...

class Cart(_message.Message):
    __slots__ = ("cart_id", "user_id", "lines", "version", "updated_at_ms")
    CART_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    cart_id: str
    user_id: int
    lines: _containers.RepeatedCompositeFieldContainer[CartLine]
    version: int
    updated_at_ms: int
    def __init__(self, cart_id: _Optional[str] = ..., user_id: _Optional[int] = ..., lines: _Optional[_Iterable[_Union[CartLine, _Mapping]]] = ..., version: _Optional[int] = ..., updated_at_ms: _Optional[int] = ...) -> None: ...

class CartResult(_message.Message):
    __slots__ = ("cart", "refusal")
    CART_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    cart: Cart
    refusal: _call_pb2.Refusal
    def __init__(self, cart: _Optional[_Union[Cart, _Mapping]] = ..., refusal: _Optional[_Union[_call_pb2.Refusal, _Mapping]] = ...) -> None: ...

class CartsResponse(_message.Message):
    __slots__ = ("results", "leaving")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[CartResult]
    leaving: bool
    def __init__(self, results: _Optional[_Iterable[_Union[CartResult, _Mapping]]] = ..., leaving: _Optional[bool] = ...) -> None: ...

class PurchasedLine(_message.Message):
    __slots__ = ("line_id", "quantity")
    LINE_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    line_id: str
    quantity: int
    def __init__(self, line_id: _Optional[str] = ..., quantity: _Optional[int] = ...) -> None: ...

class Purchase(_message.Message):
    __slots__ = ("checkout_id", "lines")
    CHECKOUT_ID_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    checkout_id: str
    lines: _containers.RepeatedCompositeFieldContainer[PurchasedLine]
    def __init__(self, checkout_id: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[PurchasedLine, _Mapping]]] = ...) -> None: ...

class GetCart(_message.Message):
    __slots__ = ("call", "user_id", "for_claim", "bought")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    FOR_CLAIM_FIELD_NUMBER: _ClassVar[int]
    BOUGHT_FIELD_NUMBER: _ClassVar[int]
    call: _call_pb2.Call
    user_id: int
    for_claim: bool
    bought: _containers.RepeatedCompositeFieldContainer[Purchase]
    def __init__(self, call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ..., user_id: _Optional[int] = ..., for_claim: _Optional[bool] = ..., bought: _Optional[_Iterable[_Union[Purchase, _Mapping]]] = ...) -> None: ...

class GetCartsRequest(_message.Message):
    __slots__ = ("items", "call")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[GetCart]
    call: _call_pb2.Call
    def __init__(self, items: _Optional[_Iterable[_Union[GetCart, _Mapping]]] = ..., call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ...) -> None: ...

class AddItem(_message.Message):
    __slots__ = ("call", "user_id", "product_id", "quantity")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    call: _call_pb2.Call
    user_id: int
    product_id: int
    quantity: int
    def __init__(self, call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ..., user_id: _Optional[int] = ..., product_id: _Optional[int] = ..., quantity: _Optional[int] = ...) -> None: ...

class AddItemsRequest(_message.Message):
    __slots__ = ("items", "call")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[AddItem]
    call: _call_pb2.Call
    def __init__(self, items: _Optional[_Iterable[_Union[AddItem, _Mapping]]] = ..., call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ...) -> None: ...

class SetQuantity(_message.Message):
    __slots__ = ("call", "user_id", "product_id", "quantity")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    call: _call_pb2.Call
    user_id: int
    product_id: int
    quantity: int
    def __init__(self, call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ..., user_id: _Optional[int] = ..., product_id: _Optional[int] = ..., quantity: _Optional[int] = ...) -> None: ...

class SetQuantitiesRequest(_message.Message):
    __slots__ = ("items", "call")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[SetQuantity]
    call: _call_pb2.Call
    def __init__(self, items: _Optional[_Iterable[_Union[SetQuantity, _Mapping]]] = ..., call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ...) -> None: ...

class RemoveItem(_message.Message):
    __slots__ = ("call", "user_id", "product_id")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    call: _call_pb2.Call
    user_id: int
    product_id: int
    def __init__(self, call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ..., user_id: _Optional[int] = ..., product_id: _Optional[int] = ...) -> None: ...

class RemoveItemsRequest(_message.Message):
    __slots__ = ("items", "call")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[RemoveItem]
    call: _call_pb2.Call
    def __init__(self, items: _Optional[_Iterable[_Union[RemoveItem, _Mapping]]] = ..., call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ...) -> None: ...

class ClearCart(_message.Message):
    __slots__ = ("call", "user_id")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    call: _call_pb2.Call
    user_id: int
    def __init__(self, call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ..., user_id: _Optional[int] = ...) -> None: ...

class ClearCartsRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[ClearCart]
    def __init__(self, items: _Optional[_Iterable[_Union[ClearCart, _Mapping]]] = ...) -> None: ...
