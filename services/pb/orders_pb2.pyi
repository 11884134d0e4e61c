from services.pb import call_pb2 as _call_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OrderLine(_message.Message):
    __slots__ = ("product_id", "product_name", "quantity", "unit_price_minor")
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_NAME_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    UNIT_PRICE_MINOR_FIELD_NUMBER: _ClassVar[int]
    product_id: int
    product_name: str
    quantity: int
    unit_price_minor: int
    def __init__(self, product_id: _Optional[int] = ..., product_name: _Optional[str] = ..., quantity: _Optional[int] = ..., unit_price_minor: _Optional[int] = ...) -> None: ...

class Order(_message.Message):
    __slots__ = ("id", "checkout_id", "user_id", "total_minor", "currency", "status", "lines", "created_at_ms")
    ID_FIELD_NUMBER: _ClassVar[int]
    CHECKOUT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MINOR_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    id: str
    checkout_id: str
    user_id: int
    total_minor: int
    currency: str
    status: str
    lines: _containers.RepeatedCompositeFieldContainer[OrderLine]
    created_at_ms: int
    def __init__(self, id: _Optional[str] = ..., checkout_id: _Optional[str] = ..., user_id: _Optional[int] = ..., total_minor: _Optional[int] = ..., currency: _Optional[str] = ..., status: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[OrderLine, _Mapping]]] = ..., created_at_ms: _Optional[int] = ...) -> None: ...

class ListOrders(_message.Message):
    __slots__ = ("call", "user_id", "limit", "cursor")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    call: _call_pb2.Call
    user_id: int
    limit: int
    cursor: str
    def __init__(self, call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ..., user_id: _Optional[int] = ..., limit: _Optional[int] = ..., cursor: _Optional[str] = ...) -> None: ...

class ListOrdersRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[ListOrders]
    def __init__(self, items: _Optional[_Iterable[_Union[ListOrders, _Mapping]]] = ...) -> None: ...

class OrderPage(_message.Message):
    __slots__ = ("orders", "next_cursor")
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    orders: _containers.RepeatedCompositeFieldContainer[Order]
    next_cursor: str
    def __init__(self, orders: _Optional[_Iterable[_Union[Order, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class ListOrdersResult(_message.Message):
    __slots__ = ("page", "refusal")
    PAGE_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    page: OrderPage
    refusal: _call_pb2.Refusal
    def __init__(self, page: _Optional[_Union[OrderPage, _Mapping]] = ..., refusal: _Optional[_Union[_call_pb2.Refusal, _Mapping]] = ...) -> None: ...

class ListOrdersResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[ListOrdersResult]
    def __init__(self, results: _Optional[_Iterable[_Union[ListOrdersResult, _Mapping]]] = ...) -> None: ...

class GetOrder(_message.Message):
    __slots__ = ("call", "user_id", "order_id")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    call: _call_pb2.Call
    user_id: int
    order_id: str
    def __init__(self, call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ..., user_id: _Optional[int] = ..., order_id: _Optional[str] = ...) -> None: ...

class GetOrdersRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[GetOrder]
    def __init__(self, items: _Optional[_Iterable[_Union[GetOrder, _Mapping]]] = ...) -> None: ...

class GetOrderResult(_message.Message):
    __slots__ = ("order", "refusal")
    ORDER_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    order: Order
    refusal: _call_pb2.Refusal
    def __init__(self, order: _Optional[_Union[Order, _Mapping]] = ..., refusal: _Optional[_Union[_call_pb2.Refusal, _Mapping]] = ...) -> None: ...

class GetOrdersResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[GetOrderResult]
    def __init__(self, results: _Optional[_Iterable[_Union[GetOrderResult, _Mapping]]] = ...) -> None: ...
