from services.pb import call_pb2 as _call_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PaymentState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PAYMENT_STATE_UNSPECIFIED: _ClassVar[PaymentState]
    INTENT: _ClassVar[PaymentState]
    CAPTURED: _ClassVar[PaymentState]
    DECLINED: _ClassVar[PaymentState]
    CANCELLED: _ClassVar[PaymentState]
    ASKING: _ClassVar[PaymentState]
PAYMENT_STATE_UNSPECIFIED: PaymentState
INTENT: PaymentState
CAPTURED: PaymentState
DECLINED: PaymentState
CANCELLED: PaymentState
ASKING: PaymentState

class Charge(_message.Message):
    __slots__ = ("call", "checkout_id", "user_id", "amount_minor", "currency", "wait_ms")
    CALL_FIELD_NUMBER: _ClassVar[int]
    CHECKOUT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    call: _call_pb2.Call
    checkout_id: str
    user_id: int
    amount_minor: int
    currency: str
    wait_ms: int
    def __init__(self, call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ..., checkout_id: _Optional[str] = ..., user_id: _Optional[int] = ..., amount_minor: _Optional[int] = ..., currency: _Optional[str] = ..., wait_ms: _Optional[int] = ...) -> None: ...

class ChargeRequest(_message.Message):
    __slots__ = ("items", "call")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Charge]
    call: _call_pb2.Call
    def __init__(self, items: _Optional[_Iterable[_Union[Charge, _Mapping]]] = ..., call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ...) -> None: ...

class CancelPayment(_message.Message):
    __slots__ = ("call", "checkout_id")
    CALL_FIELD_NUMBER: _ClassVar[int]
    CHECKOUT_ID_FIELD_NUMBER: _ClassVar[int]
    call: _call_pb2.Call
    checkout_id: str
    def __init__(self, call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ..., checkout_id: _Optional[str] = ...) -> None: ...

class CancelRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[CancelPayment]
    def __init__(self, items: _Optional[_Iterable[_Union[CancelPayment, _Mapping]]] = ...) -> None: ...

class Payment(_message.Message):
    __slots__ = ("checkout_id", "state", "provider_ref")
    CHECKOUT_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_REF_FIELD_NUMBER: _ClassVar[int]
    checkout_id: str
    state: PaymentState
    provider_ref: str
    def __init__(self, checkout_id: _Optional[str] = ..., state: _Optional[_Union[PaymentState, str]] = ..., provider_ref: _Optional[str] = ...) -> None: ...

class PaymentResult(_message.Message):
    __slots__ = ("payment", "refusal")
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    payment: Payment
    refusal: _call_pb2.Refusal
    def __init__(self, payment: _Optional[_Union[Payment, _Mapping]] = ..., refusal: _Optional[_Union[_call_pb2.Refusal, _Mapping]] = ...) -> None: ...

class PaymentsResponse(_message.Message):
    __slots__ = ("results", "leaving")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[PaymentResult]
    leaving: bool
    def __init__(self, results: _Optional[_Iterable[_Union[PaymentResult, _Mapping]]] = ..., leaving: _Optional[bool] = ...) -> None: ...

class GetPayment(_message.Message):
    __slots__ = ("call", "checkout_id")
    CALL_FIELD_NUMBER: _ClassVar[int]
    CHECKOUT_ID_FIELD_NUMBER: _ClassVar[int]
    call: _call_pb2.Call
    checkout_id: str
    def __init__(self, call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ..., checkout_id: _Optional[str] = ...) -> None: ...

class GetPaymentsRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[GetPayment]
    def __init__(self, items: _Optional[_Iterable[_Union[GetPayment, _Mapping]]] = ...) -> None: ...

class PaymentRecord(_message.Message):
    __slots__ = ("checkout_id", "state", "provider_ref", "amount_minor", "currency", "attempts", "created_at_ms", "decided_at_ms")
    CHECKOUT_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_REF_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    checkout_id: str
    state: PaymentState
    provider_ref: str
    amount_minor: int
    currency: str
    attempts: int
    created_at_ms: int
    decided_at_ms: int
    def __init__(self, checkout_id: _Optional[str] = ..., state: _Optional[_Union[PaymentState, str]] = ..., provider_ref: _Optional[str] = ..., amount_minor: _Optional[int] = ..., currency: _Optional[str] = ..., attempts: _Optional[int] = ..., created_at_ms: _Optional[int] = ..., decided_at_ms: _Optional[int] = ...) -> None: ...

class GetPaymentResult(_message.Message):
    __slots__ = ("payment", "refusal")
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    payment: PaymentRecord
    refusal: _call_pb2.Refusal
    def __init__(self, payment: _Optional[_Union[PaymentRecord, _Mapping]] = ..., refusal: _Optional[_Union[_call_pb2.Refusal, _Mapping]] = ...) -> None: ...

class GetPaymentsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[GetPaymentResult]
    def __init__(self, results: _Optional[_Iterable[_Union[GetPaymentResult, _Mapping]]] = ...) -> None: ...
