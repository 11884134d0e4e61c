from services.pb import checkout_pb2 as _checkout_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CheckoutFilter(_message.Message):
    __slots__ = ("user_id", "saga_steps", "reason", "origin", "product_id", "created_from_ms", "created_before_ms", "total_from_minor", "total_to_minor")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SAGA_STEPS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_FROM_MS_FIELD_NUMBER: _ClassVar[int]
    CREATED_BEFORE_MS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FROM_MINOR_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TO_MINOR_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    saga_steps: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    origin: _checkout_pb2.Origin
    product_id: int
    created_from_ms: int
    created_before_ms: int
    total_from_minor: int
    total_to_minor: int
    def __init__(self, user_id: _Optional[int] = ..., saga_steps: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ..., origin: _Optional[_Union[_checkout_pb2.Origin, str]] = ..., product_id: _Optional[int] = ..., created_from_ms: _Optional[int] = ..., created_before_ms: _Optional[int] = ..., total_from_minor: _Optional[int] = ..., total_to_minor: _Optional[int] = ...) -> None: ...

class SearchCheckoutsRequest(_message.Message):
    __slots__ = ("filter", "most", "cursor")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    filter: CheckoutFilter
    most: int
    cursor: str
    def __init__(self, filter: _Optional[_Union[CheckoutFilter, _Mapping]] = ..., most: _Optional[int] = ..., cursor: _Optional[str] = ...) -> None: ...

class SearchCheckoutsResponse(_message.Message):
    __slots__ = ("checkouts", "next_cursor", "searched_to_ms")
    CHECKOUTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    SEARCHED_TO_MS_FIELD_NUMBER: _ClassVar[int]
    checkouts: _containers.RepeatedCompositeFieldContainer[_checkout_pb2.Checkout]
    next_cursor: str
    searched_to_ms: int
    def __init__(self, checkouts: _Optional[_Iterable[_Union[_checkout_pb2.Checkout, _Mapping]]] = ..., next_cursor: _Optional[str] = ..., searched_to_ms: _Optional[int] = ...) -> None: ...

class FindCheckoutsRequest(_message.Message):
    __slots__ = ("text", "most")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    text: str
    most: int
    def __init__(self, text: _Optional[str] = ..., most: _Optional[int] = ...) -> None: ...

class FindCheckoutsResponse(_message.Message):
    __slots__ = ("checkouts",)
    CHECKOUTS_FIELD_NUMBER: _ClassVar[int]
    checkouts: _containers.RepeatedCompositeFieldContainer[_checkout_pb2.Checkout]
    def __init__(self, checkouts: _Optional[_Iterable[_Union[_checkout_pb2.Checkout, _Mapping]]] = ...) -> None: ...

class InspectCheckoutRequest(_message.Message):
    __slots__ = ("checkout_id",)
    CHECKOUT_ID_FIELD_NUMBER: _ClassVar[int]
    checkout_id: str
    def __init__(self, checkout_id: _Optional[str] = ...) -> None: ...

class InspectCheckoutResponse(_message.Message):
    __slots__ = ("checkout", "request_id", "traceparent", "buys_cart", "attempts", "lease_owner", "lease_epoch", "driven", "next_attempt_at_ms", "cancel_after_ms", "cancel_requested_at_ms", "event", "now_ms")
    CHECKOUT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    BUYS_CART_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    LEASE_OWNER_FIELD_NUMBER: _ClassVar[int]
    LEASE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    DRIVEN_FIELD_NUMBER: _ClassVar[int]
    NEXT_ATTEMPT_AT_MS_FIELD_NUMBER: _ClassVar[int]
    CANCEL_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    CANCEL_REQUESTED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    NOW_MS_FIELD_NUMBER: _ClassVar[int]
    checkout: _checkout_pb2.Checkout
    request_id: str
    traceparent: str
    buys_cart: bool
    attempts: int
    lease_owner: str
    lease_epoch: int
    driven: bool
    next_attempt_at_ms: int
    cancel_after_ms: int
    cancel_requested_at_ms: int
    event: OutboxEvent
    now_ms: int
    def __init__(self, checkout: _Optional[_Union[_checkout_pb2.Checkout, _Mapping]] = ..., request_id: _Optional[str] = ..., traceparent: _Optional[str] = ..., buys_cart: _Optional[bool] = ..., attempts: _Optional[int] = ..., lease_owner: _Optional[str] = ..., lease_epoch: _Optional[int] = ..., driven: _Optional[bool] = ..., next_attempt_at_ms: _Optional[int] = ..., cancel_after_ms: _Optional[int] = ..., cancel_requested_at_ms: _Optional[int] = ..., event: _Optional[_Union[OutboxEvent, _Mapping]] = ..., now_ms: _Optional[int] = ...) -> None: ...

class OutboxEvent(_message.Message):
    __slots__ = ("event_id", "created_at_ms", "published_at_ms", "given_up_at_ms", "attempts", "last_error")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    GIVEN_UP_AT_MS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    created_at_ms: int
    published_at_ms: int
    given_up_at_ms: int
    attempts: int
    last_error: str
    def __init__(self, event_id: _Optional[str] = ..., created_at_ms: _Optional[int] = ..., published_at_ms: _Optional[int] = ..., given_up_at_ms: _Optional[int] = ..., attempts: _Optional[int] = ..., last_error: _Optional[str] = ...) -> None: ...

class CancelCheckoutRequest(_message.Message):
    __slots__ = ("checkout_id",)
    CHECKOUT_ID_FIELD_NUMBER: _ClassVar[int]
    checkout_id: str
    def __init__(self, checkout_id: _Optional[str] = ...) -> None: ...

class CancelCheckoutResponse(_message.Message):
    __slots__ = ("checkout",)
    CHECKOUT_FIELD_NUMBER: _ClassVar[int]
    checkout: _checkout_pb2.Checkout
    def __init__(self, checkout: _Optional[_Union[_checkout_pb2.Checkout, _Mapping]] = ...) -> None: ...

class SummarizeCheckoutsRequest(_message.Message):
    __slots__ = ("since_ms",)
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    since_ms: int
    def __init__(self, since_ms: _Optional[int] = ...) -> None: ...

class RunningStep(_message.Message):
    __slots__ = ("saga_step", "count", "oldest_created_at_ms")
    SAGA_STEP_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    OLDEST_CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    saga_step: str
    count: int
    oldest_created_at_ms: int
    def __init__(self, saga_step: _Optional[str] = ..., count: _Optional[int] = ..., oldest_created_at_ms: _Optional[int] = ...) -> None: ...

class EndedInMinute(_message.Message):
    __slots__ = ("minute_ms", "status", "reason", "count")
    MINUTE_MS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    minute_ms: int
    status: _checkout_pb2.Status
    reason: str
    count: int
    def __init__(self, minute_ms: _Optional[int] = ..., status: _Optional[_Union[_checkout_pb2.Status, str]] = ..., reason: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class StepTime(_message.Message):
    __slots__ = ("name", "count", "p50_ms", "p99_ms")
    NAME_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    P50_MS_FIELD_NUMBER: _ClassVar[int]
    P99_MS_FIELD_NUMBER: _ClassVar[int]
    name: str
    count: int
    p50_ms: float
    p99_ms: float
    def __init__(self, name: _Optional[str] = ..., count: _Optional[int] = ..., p50_ms: _Optional[float] = ..., p99_ms: _Optional[float] = ...) -> None: ...

class SummarizeCheckoutsResponse(_message.Message):
    __slots__ = ("running", "ended", "steps", "now_ms")
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    NOW_MS_FIELD_NUMBER: _ClassVar[int]
    running: _containers.RepeatedCompositeFieldContainer[RunningStep]
    ended: _containers.RepeatedCompositeFieldContainer[EndedInMinute]
    steps: _containers.RepeatedCompositeFieldContainer[StepTime]
    now_ms: int
    def __init__(self, running: _Optional[_Iterable[_Union[RunningStep, _Mapping]]] = ..., ended: _Optional[_Iterable[_Union[EndedInMinute, _Mapping]]] = ..., steps: _Optional[_Iterable[_Union[StepTime, _Mapping]]] = ..., now_ms: _Optional[int] = ...) -> None: ...
