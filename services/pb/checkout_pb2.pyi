from services.pb import call_pb2 as _call_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Origin(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORIGIN_UNSPECIFIED: _ClassVar[Origin]
    REST: _ClassVar[Origin]
    RESOURCE: _ClassVar[Origin]

class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATUS_UNSPECIFIED: _ClassVar[Status]
    PROCESSING: _ClassVar[Status]
    COMPLETED: _ClassVar[Status]
    FAILED: _ClassVar[Status]
ORIGIN_UNSPECIFIED: Origin
REST: Origin
RESOURCE: Origin
STATUS_UNSPECIFIED: Status
PROCESSING: Status
COMPLETED: Status
FAILED: Status

class WantedItem(_message.Message):
    __slots__ = ("product_id", "quantity")
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    product_id: int
    quantity: int
    def __init__(self, product_id: _Optional[int] = ..., quantity: _Optional[int] = ...) -> None: ...

class ResourceRef(_message.Message):
    __slots__ = ("uid", "namespace", "name")
    UID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    uid: str
    namespace: str
    name: str
    def __init__(self, uid: _Optional[str] = ..., namespace: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class StartCheckout(_message.Message):
    __slots__ = ("call", "user_id", "origin", "idempotency_key", "items", "resource", "timeout_seconds", "wait_ms")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    call: _call_pb2.Call
    user_id: int
    origin: Origin
    idempotency_key: str
    items: _containers.RepeatedCompositeFieldContainer[WantedItem]
    resource: ResourceRef
    timeout_seconds: int
    wait_ms: int
    def __init__(self, call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ..., user_id: _Optional[int] = ..., origin: _Optional[_Union[Origin, str]] = ..., idempotency_key: _Optional[str] = ..., items: _Optional[_Iterable[_Union[WantedItem, _Mapping]]] = ..., resource: _Optional[_Union[ResourceRef, _Mapping]] = ..., timeout_seconds: _Optional[int] = ..., wait_ms: _Optional[int] = ...) -> None: ...

class StartCheckoutsRequest(_message.Message):
    __slots__ = ("items", "call")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[StartCheckout]
    call: _call_pb2.Call
    def __init__(self, items: _Optional[_Iterable[_Union[StartCheckout, _Mapping]]] = ..., call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ...) -> None: ...

class StartCheckoutResult(_message.Message):
    __slots__ = ("answer", "refusal", "pending", "running_checkout_id", "unknown_products")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    RUNNING_CHECKOUT_ID_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_PRODUCTS_FIELD_NUMBER: _ClassVar[int]
    answer: Answer
    refusal: _call_pb2.Refusal
    pending: Pending
    running_checkout_id: str
    unknown_products: _containers.RepeatedCompositeFieldContainer[UnknownProduct]
    def __init__(self, answer: _Optional[_Union[Answer, _Mapping]] = ..., refusal: _Optional[_Union[_call_pb2.Refusal, _Mapping]] = ..., pending: _Optional[_Union[Pending, _Mapping]] = ..., running_checkout_id: _Optional[str] = ..., unknown_products: _Optional[_Iterable[_Union[UnknownProduct, _Mapping]]] = ...) -> None: ...

class Pending(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UnknownProduct(_message.Message):
    __slots__ = ("product_id", "product_name")
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_NAME_FIELD_NUMBER: _ClassVar[int]
    product_id: int
    product_name: str
    def __init__(self, product_id: _Optional[int] = ..., product_name: _Optional[str] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("checkout_id", "status", "replayed", "body", "checkout")
    CHECKOUT_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    CHECKOUT_FIELD_NUMBER: _ClassVar[int]
    checkout_id: str
    status: Status
    replayed: bool
    body: bytes
    checkout: Checkout
    def __init__(self, checkout_id: _Optional[str] = ..., status: _Optional[_Union[Status, str]] = ..., replayed: _Optional[bool] = ..., body: _Optional[bytes] = ..., checkout: _Optional[_Union[Checkout, _Mapping]] = ...) -> None: ...

class StartCheckoutsResponse(_message.Message):
    __slots__ = ("results", "leaving")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[StartCheckoutResult]
    leaving: bool
    def __init__(self, results: _Optional[_Iterable[_Union[StartCheckoutResult, _Mapping]]] = ..., leaving: _Optional[bool] = ...) -> None: ...

class Line(_message.Message):
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

class StepRecord(_message.Message):
    __slots__ = ("name", "state", "attempts", "started_at_ms", "finished_at_ms")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: str
    attempts: int
    started_at_ms: int
    finished_at_ms: int
    def __init__(self, name: _Optional[str] = ..., state: _Optional[str] = ..., attempts: _Optional[int] = ..., started_at_ms: _Optional[int] = ..., finished_at_ms: _Optional[int] = ...) -> None: ...

class Checkout(_message.Message):
    __slots__ = ("id", "user_id", "status", "step", "reason", "total_minor", "currency", "lines", "steps", "order_id", "version", "created_at_ms", "finished_at_ms", "saga_step", "origin", "idempotency_key", "resource", "note", "traceparent")
    ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MINOR_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    SAGA_STEP_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    id: str
    user_id: int
    status: Status
    step: str
    reason: str
    total_minor: int
    currency: str
    lines: _containers.RepeatedCompositeFieldContainer[Line]
    steps: _containers.RepeatedCompositeFieldContainer[StepRecord]
    order_id: str
    version: int
    created_at_ms: int
    finished_at_ms: int
    saga_step: str
    origin: Origin
    idempotency_key: str
    resource: ResourceRef
    note: str
    traceparent: str
    def __init__(self, id: _Optional[str] = ..., user_id: _Optional[int] = ..., status: _Optional[_Union[Status, str]] = ..., step: _Optional[str] = ..., reason: _Optional[str] = ..., total_minor: _Optional[int] = ..., currency: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[Line, _Mapping]]] = ..., steps: _Optional[_Iterable[_Union[StepRecord, _Mapping]]] = ..., order_id: _Optional[str] = ..., version: _Optional[int] = ..., created_at_ms: _Optional[int] = ..., finished_at_ms: _Optional[int] = ..., saga_step: _Optional[str] = ..., origin: _Optional[_Union[Origin, str]] = ..., idempotency_key: _Optional[str] = ..., resource: _Optional[_Union[ResourceRef, _Mapping]] = ..., note: _Optional[str] = ..., traceparent: _Optional[str] = ...) -> None: ...

class GetCheckout(_message.Message):
    __slots__ = ("call", "user_id", "checkout_id", "origin", "idempotency_key")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CHECKOUT_ID_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    call: _call_pb2.Call
    user_id: int
    checkout_id: str
    origin: Origin
    idempotency_key: str
    def __init__(self, call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ..., user_id: _Optional[int] = ..., checkout_id: _Optional[str] = ..., origin: _Optional[_Union[Origin, str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class CancelCheckout(_message.Message):
    __slots__ = ("call", "user_id", "origin", "idempotency_key", "items", "resource")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    call: _call_pb2.Call
    user_id: int
    origin: Origin
    idempotency_key: str
    items: _containers.RepeatedCompositeFieldContainer[WantedItem]
    resource: ResourceRef
    def __init__(self, call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ..., user_id: _Optional[int] = ..., origin: _Optional[_Union[Origin, str]] = ..., idempotency_key: _Optional[str] = ..., items: _Optional[_Iterable[_Union[WantedItem, _Mapping]]] = ..., resource: _Optional[_Union[ResourceRef, _Mapping]] = ...) -> None: ...

class CancelCheckoutsRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[CancelCheckout]
    def __init__(self, items: _Optional[_Iterable[_Union[CancelCheckout, _Mapping]]] = ...) -> None: ...

class CancelCheckoutResult(_message.Message):
    __slots__ = ("checkout", "refusal")
    CHECKOUT_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    checkout: Checkout
    refusal: _call_pb2.Refusal
    def __init__(self, checkout: _Optional[_Union[Checkout, _Mapping]] = ..., refusal: _Optional[_Union[_call_pb2.Refusal, _Mapping]] = ...) -> None: ...

class CancelCheckoutsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[CancelCheckoutResult]
    def __init__(self, results: _Optional[_Iterable[_Union[CancelCheckoutResult, _Mapping]]] = ...) -> None: ...

class ListCheckoutsRequest(_message.Message):
    __slots__ = ("origin", "ended_within_ms", "most", "cursor")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    ENDED_WITHIN_MS_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    origin: Origin
    ended_within_ms: int
    most: int
    cursor: str
    def __init__(self, origin: _Optional[_Union[Origin, str]] = ..., ended_within_ms: _Optional[int] = ..., most: _Optional[int] = ..., cursor: _Optional[str] = ...) -> None: ...

class ListCheckoutsResponse(_message.Message):
    __slots__ = ("checkouts", "next_cursor")
    CHECKOUTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    checkouts: _containers.RepeatedCompositeFieldContainer[Checkout]
    next_cursor: str
    def __init__(self, checkouts: _Optional[_Iterable[_Union[Checkout, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class WatchCheckoutsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchCheckoutsResponse(_message.Message):
    __slots__ = ("checkouts",)
    CHECKOUTS_FIELD_NUMBER: _ClassVar[int]
    checkouts: _containers.RepeatedCompositeFieldContainer[Checkout]
    def __init__(self, checkouts: _Optional[_Iterable[_Union[Checkout, _Mapping]]] = ...) -> None: ...

class GetCheckoutsRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[GetCheckout]
    def __init__(self, items: _Optional[_Iterable[_Union[GetCheckout, _Mapping]]] = ...) -> None: ...

class GetCheckoutResult(_message.Message):
    __slots__ = ("checkout", "refusal")
    CHECKOUT_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    checkout: Checkout
    refusal: _call_pb2.Refusal
    def __init__(self, checkout: _Optional[_Union[Checkout, _Mapping]] = ..., refusal: _Optional[_Union[_call_pb2.Refusal, _Mapping]] = ...) -> None: ...

class GetCheckoutsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[GetCheckoutResult]
    def __init__(self, results: _Optional[_Iterable[_Union[GetCheckoutResult, _Mapping]]] = ...) -> None: ...
