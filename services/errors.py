"""The faults everyone speaks, drawn once.

Fault
├── Invalid            the request can never succeed as it is
├── NotFound           what it names is not there, or not the caller's
├── Conflict           the state that is there does not allow it
├── InternalError      a part of ours failed unexpectedly: it may have been done; do not repeat it at once
└── Transient          the same request may succeed later (`retry_after`)
    ├── Unavailable    it was not done
    └── OutcomeUnknown it may have been done: repeat the same call, or cancel; never guess

A service's own errors inherit from one of these and stand in its `domain.py`. Stop or retry is the type, never the text.
What a program of the shopper's may branch on is the `code`, which goes along with the fault to the REST answer.
"""

from typing import ClassVar

from services.error_codes import ErrorCode


class Fault(Exception):
    """Something that a caller must know; `str()` is fit for the shopper's eyes."""

    default_code: ClassVar[ErrorCode] = ErrorCode.INTERNAL_ERROR
    """The code of a fault of this type that is raised without one."""

    def __init__(self, message: str = "", *, code: ErrorCode | None = None) -> None:
        super().__init__(message)
        self.code = code or self.default_code


class Invalid(Fault):
    """The request can never succeed as it is."""

    default_code = ErrorCode.INVALID_REQUEST


class NotFound(Fault):
    """What the request names is not there, or belongs to somebody else."""

    default_code = ErrorCode.NOT_FOUND


class Conflict(Fault):
    """The state that is there does not allow what was asked."""

    default_code = ErrorCode.CONFLICT


class InternalError(Fault):
    """A part failed in a way that nobody foresaw, so the outcome is unknown.

    It is about this one request, not about the part: the part is up, and other requests are not affected. The same request
    most likely fails again, so nobody repeats it at once. A saga repeats it after its growing pauses, as it does after
    any unknown outcome.
    """

    def __init__(self, message: str = "internal error", *, code: ErrorCode | None = None) -> None:
        super().__init__(message, code=code)


class Transient(Fault):
    """The same request may succeed later; `retry_after` is in seconds."""

    default_code = ErrorCode.SERVICE_UNAVAILABLE

    def __init__(self, message: str, *, retry_after: float = 1.0, code: ErrorCode | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class Unavailable(Transient):
    """It was not done, and may be tried again."""


class OutcomeUnknown(Transient):
    """It may or may not have been done. A lost reply is never a refusal."""

    default_code = ErrorCode.OUTCOME_UNKNOWN
