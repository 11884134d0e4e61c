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
"""


class Fault(Exception):
    """Something that a caller must know; `str()` is fit for the shopper's eyes."""


class Invalid(Fault):
    """The request can never succeed as it is."""


class NotFound(Fault):
    """What the request names is not there, or belongs to somebody else."""


class Conflict(Fault):
    """The state that is there does not allow what was asked."""


class InternalError(Fault):
    """A part failed in a way that nobody foresaw, so the outcome is unknown.

    It is about this one request, not about the part: the part is up, and other requests are not affected. The same request
    most likely fails again, so nobody repeats it at once. A saga repeats it after its growing pauses, as it does after
    any unknown outcome.
    """

    def __init__(self, message: str = "internal error") -> None:
        super().__init__(message)


class Transient(Fault):
    """The same request may succeed later; `retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(Transient):
    """It was not done, and may be tried again."""


class OutcomeUnknown(Transient):
    """It may or may not have been done. A lost reply is never a refusal."""
