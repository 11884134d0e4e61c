from services.pb import call_pb2 as _call_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Product(_message.Message):
    __slots__ = ("id", "name", "description", "price_minor", "currency", "image_url", "created_at_ms")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PRICE_MINOR_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    IMAGE_URL_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    id: int
    name: str
    description: str
    price_minor: int
    currency: str
    image_url: str
    created_at_ms: int
    def __init__(self, id: _Optional[int] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., price_minor: _Optional[int] = ..., currency: _Optional[str] = ..., image_url: _Optional[str] = ..., created_at_ms: _Optional[int] = ...) -> None: ...

class ListProductsRequest(_message.Message):
    __slots__ = ("call",)
    CALL_FIELD_NUMBER: _ClassVar[int]
    call: _call_pb2.Call
    def __init__(self, call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ...) -> None: ...

class ListProductsResponse(_message.Message):
    __slots__ = ("products", "leaving")
    PRODUCTS_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    products: _containers.RepeatedCompositeFieldContainer[Product]
    leaving: bool
    def __init__(self, products: _Optional[_Iterable[_Union[Product, _Mapping]]] = ..., leaving: _Optional[bool] = ...) -> None: ...

class GetProduct(_message.Message):
    __slots__ = ("call", "product_id")
    CALL_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    call: _call_pb2.Call
    product_id: int
    def __init__(self, call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ..., product_id: _Optional[int] = ...) -> None: ...

class GetProductsRequest(_message.Message):
    __slots__ = ("items", "call")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[GetProduct]
    call: _call_pb2.Call
    def __init__(self, items: _Optional[_Iterable[_Union[GetProduct, _Mapping]]] = ..., call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ...) -> None: ...

class GetProductResult(_message.Message):
    __slots__ = ("product", "refusal")
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    product: Product
    refusal: _call_pb2.Refusal
    def __init__(self, product: _Optional[_Union[Product, _Mapping]] = ..., refusal: _Optional[_Union[_call_pb2.Refusal, _Mapping]] = ...) -> None: ...

class GetProductsResponse(_message.Message):
    __slots__ = ("results", "leaving")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[GetProductResult]
    leaving: bool
    def __init__(self, results: _Optional[_Iterable[_Union[GetProductResult, _Mapping]]] = ..., leaving: _Optional[bool] = ...) -> None: ...
