"""How a fault travels between services: as a gRPC status code, alone for a whole call or in the refusal of one item."""

from typing import Protocol

import grpc

from services import errors

_CODES: tuple[tuple[type[errors.Fault], grpc.StatusCode], ...] = (
    (errors.Invalid, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.NotFound, grpc.StatusCode.NOT_FOUND),
    (errors.Conflict, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.Unavailable, grpc.StatusCode.UNAVAILABLE),
    (errors.OutcomeUnknown, grpc.StatusCode.DEADLINE_EXCEEDED),
)
_BY_NUMBER = {code.value[0]: kind for kind, code in _CODES}


class RefusalMessage(Protocol):
    """The generated `Refusal`, known here by its shape alone."""

    code: int
    message: str
    retry_after_ms: int


def status_of(fault: errors.Fault) -> grpc.StatusCode:
    """Give the status code of a fault; a service's own fault has that of the one it inherits from."""
    return next(code for kind, code in _CODES if isinstance(fault, kind))


def refuse(refusal: RefusalMessage, fault: errors.Fault) -> None:
    """Write `fault` into the refusal of an item."""
    refusal.code = status_of(fault).value[0]
    refusal.message = str(fault)
    if isinstance(fault, errors.Transient):
        refusal.retry_after_ms = max(1, int(fault.retry_after * 1000))


def fault_in(refusal: RefusalMessage) -> errors.Fault:
    """Read the fault out of a refusal; an unknown code is taken for an outcome that is not known."""
    kind = _BY_NUMBER.get(refusal.code, errors.OutcomeUnknown)
    if issubclass(kind, errors.Transient):
        return kind(refusal.message, retry_after=refusal.retry_after_ms / 1000)
    return kind(refusal.message)


def fault_of(error: grpc.RpcError, dependency: str) -> errors.Fault:
    """Say what a failed call means to its caller.

    Only a status that the other side gives before it acts is taken for "not done"; a deadline, a reset or a lost
    connection leaves the outcome open (docs/decisions/0002-unknown-is-not-failed.md).
    """
    code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
    details = (error.details() if isinstance(error, grpc.Call) else "") or ""
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return errors.Invalid(details)
    if code is grpc.StatusCode.NOT_FOUND:
        return errors.NotFound(details)
    if code is grpc.StatusCode.FAILED_PRECONDITION:
        return errors.Conflict(details)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:  # shed before it was looked at
        return errors.Unavailable(f"{dependency} is overloaded")
    return errors.OutcomeUnknown(f"{dependency} did not answer")
