from services.pb import call_pb2 as _call_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TransactionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRANSACTION_STATE_UNSPECIFIED: _ClassVar[TransactionState]
    CAPTURED: _ClassVar[TransactionState]
    DECLINED: _ClassVar[TransactionState]
    CANCELLED: _ClassVar[TransactionState]

class Behaviour(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BEHAVIOUR_UNSPECIFIED: _ClassVar[Behaviour]
    APPROVE: _ClassVar[Behaviour]
    DECLINE: _ClassVar[Behaviour]
    HANG: _ClassVar[Behaviour]
    CHARGE_AND_DROP: _ClassVar[Behaviour]
TRANSACTION_STATE_UNSPECIFIED: TransactionState
CAPTURED: TransactionState
DECLINED: TransactionState
CANCELLED: TransactionState
BEHAVIOUR_UNSPECIFIED: Behaviour
APPROVE: Behaviour
DECLINE: Behaviour
HANG: Behaviour
CHARGE_AND_DROP: Behaviour

class Transaction(_message.Message):
    __slots__ = ("key", "state", "amount_minor", "currency", "reference", "leaving")
    KEY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    key: str
    state: TransactionState
    amount_minor: int
    currency: str
    reference: str
    leaving: bool
    def __init__(self, key: _Optional[str] = ..., state: _Optional[_Union[TransactionState, str]] = ..., amount_minor: _Optional[int] = ..., currency: _Optional[str] = ..., reference: _Optional[str] = ..., leaving: _Optional[bool] = ...) -> None: ...

class ChargeRequest(_message.Message):
    __slots__ = ("key", "amount_minor", "currency", "user_id", "request_id", "call")
    KEY_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    key: str
    amount_minor: int
    currency: str
    user_id: int
    request_id: str
    call: _call_pb2.Call
    def __init__(self, key: _Optional[str] = ..., amount_minor: _Optional[int] = ..., currency: _Optional[str] = ..., user_id: _Optional[int] = ..., request_id: _Optional[str] = ..., call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ...) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    def __init__(self, key: _Optional[str] = ...) -> None: ...

class CancelRequest(_message.Message):
    __slots__ = ("key", "request_id")
    KEY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    key: str
    request_id: str
    def __init__(self, key: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetBehaviourRequest(_message.Message):
    __slots__ = ("user_id", "checkout_id", "everyone", "behaviour", "times")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CHECKOUT_ID_FIELD_NUMBER: _ClassVar[int]
    EVERYONE_FIELD_NUMBER: _ClassVar[int]
    BEHAVIOUR_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    checkout_id: str
    everyone: bool
    behaviour: Behaviour
    times: int
    def __init__(self, user_id: _Optional[int] = ..., checkout_id: _Optional[str] = ..., everyone: _Optional[bool] = ..., behaviour: _Optional[_Union[Behaviour, str]] = ..., times: _Optional[int] = ...) -> None: ...

class SetBehaviourResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
