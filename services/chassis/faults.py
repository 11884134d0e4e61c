"""How a fault travels between services: as a gRPC status code, alone for a whole call or in the refusal of one item."""

from typing import Protocol

import grpc

from services import errors
from services.error_codes import ErrorCode, code_named

_CODES: tuple[tuple[type[errors.Fault], grpc.StatusCode], ...] = (
    (errors.Invalid, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.NotFound, grpc.StatusCode.NOT_FOUND),
    (errors.Conflict, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.InternalError, grpc.StatusCode.INTERNAL),
    (errors.Unavailable, grpc.StatusCode.UNAVAILABLE),
    (errors.OutcomeUnknown, grpc.StatusCode.DEADLINE_EXCEEDED),
)
_KIND_OF_NUMBER = {code.value[0]: kind for kind, code in _CODES}
_REFUSALS = {code: kind for kind, code in _CODES[:3]}

OUTAGE = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED})
"""The codes that say that a service as a whole is away or overloaded. Any other code is the answer to one request."""

# The call was lost on its way, or was cut off, and repeating it can help.
_LOST = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
    }
)


class RefusalMessage(Protocol):
    """The generated `Refusal`, known here by its shape alone."""

    code: int
    message: str
    retry_after_ms: int
    error_code: str


def status_of(fault: errors.Fault) -> grpc.StatusCode:
    """Give the status code of a fault; a service's own fault has that of the one it inherits from."""
    for kind, code in _CODES:
        if isinstance(fault, kind):
            return code
    # A bare Transient does not say whether it was done, so it travels as the code that leaves this open.
    return grpc.StatusCode.DEADLINE_EXCEEDED if isinstance(fault, errors.Transient) else grpc.StatusCode.INTERNAL


def refuse(refusal: RefusalMessage, fault: errors.Fault) -> None:
    """Write `fault` into the refusal of an item."""
    refusal.code = status_of(fault).value[0]
    refusal.message = str(fault)
    refusal.error_code = fault.code
    if isinstance(fault, errors.Transient):
        refusal.retry_after_ms = max(1, int(fault.retry_after * 1000))


def fault_in(refusal: RefusalMessage) -> errors.Fault:
    """Read the fault out of a refusal.

    A status code that is not known here is an InternalError: nobody repeats it at once. An error code that is missing, or not
    known here, is that of the fault's type: two releases run side by side in an update.
    """
    kind = _KIND_OF_NUMBER.get(refusal.code, errors.InternalError)
    if issubclass(kind, errors.Transient):
        return kind(refusal.message, retry_after=refusal.retry_after_ms / 1000, code=code_named(refusal.error_code))
    return kind(refusal.message, code=code_named(refusal.error_code))


def code_of(error: grpc.RpcError) -> grpc.StatusCode:
    """Give the status code of a failed call; UNKNOWN where it has none."""
    return error.code() if isinstance(error, grpc.aio.AioRpcError) else grpc.StatusCode.UNKNOWN


def fault_of(error: grpc.RpcError, dependency: str) -> errors.Fault:
    """Say what a failed call means to its caller.

    Only a status that the other side gives before it acts means "not done". A deadline, a reset or a lost connection
    leaves the outcome open (docs/decisions/0002-unknown-is-not-failed.md). Every other code, such as INTERNAL, UNKNOWN,
    DATA_LOSS or UNIMPLEMENTED, is an unexpected failure of that part with this request: an InternalError.
    """
    code = code_of(error)
    if code in _REFUSALS:
        return _REFUSALS[code]((error.details() if isinstance(error, grpc.aio.AioRpcError) else "") or "")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:  # shed before it was looked at
        return errors.Unavailable(f"{dependency} is overloaded", code=ErrorCode.OVERLOADED)
    if code in _LOST:
        return errors.OutcomeUnknown(f"{dependency} did not answer")
    return errors.InternalError()
