"""The words of the console: phases, reasons, money and spans of time. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.money import MINOR_PER_MAJOR


class Tone(StrEnum):
    """How something stands. The pages show each with a colour and a word, never with a colour alone."""

    RUNNING = "running"
    GOOD = "good"
    BAD = "bad"
    WARNING = "warning"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Phase:
    """What a person calls a step of the saga."""

    name: str
    tone: Tone


PHASES: Mapping[str, Phase] = {
    "ACCEPTED": Phase("Pending", Tone.RUNNING),
    "CLAIMED": Phase("Reserving", Tone.RUNNING),
    "RESERVED": Phase("Paying", Tone.RUNNING),
    "PAYING": Phase("Paying", Tone.RUNNING),
    "PAID": Phase("Confirming", Tone.RUNNING),
    "CANCELLING": Phase("Compensating", Tone.WARNING),
    "RELEASING": Phase("Compensating", Tone.WARNING),
    "COMPLETED": Phase("Completed", Tone.GOOD),
    "FAILED": Phase("Failed", Tone.BAD),
}
"""The vocabulary of the Checkout resource, by the step as stored."""

REASONS: Mapping[str, str] = {
    "EmptyCart": "the cart was empty",
    "UnknownProduct": "a product is not in the catalogue",
    "OutOfStock": "there was too little stock",
    "PaymentDeclined": "the bank declined the payment",
    "ReservationExpired": "the reserved stock expired before the payment began",
    "Cancelled": "it was cancelled",
    "TimedOut": "it took too long, and was cancelled",
    "IdempotencyKeyReused": "its key was used for other items before",
}

_SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£"}
_NO_CURRENCY = "XXX"  # ISO 4217's code for none: the checkout has claimed nothing yet
_SECOND, _MINUTE, _HOUR, _DAY = 1000, 60_000, 3_600_000, 86_400_000


def phase_of(saga_step: str) -> Phase:
    """Return the phase of a step; an unknown step, as a newer service may have, is shown as it is."""
    return PHASES.get(saga_step, Phase(saga_step.capitalize() or "Unknown", Tone.QUIET))


def reason_of(reason: str) -> str:
    """Return a reason in words."""
    return REASONS.get(reason, reason)


def money(minor: int, currency: str) -> str:
    """Return an amount with its currency, such as `$1,299.98`."""
    if currency in {"", _NO_CURRENCY}:
        return "–"
    amount = f"{abs(minor) // MINOR_PER_MAJOR:,}.{abs(minor) % MINOR_PER_MAJOR:02}"
    sign = "-" if minor < 0 else ""
    return f"{sign}{_SYMBOLS[currency]}{amount}" if currency in _SYMBOLS else f"{sign}{amount} {currency}"


def span(milliseconds: float) -> str:
    """Return a length of time, as exact as a person needs it."""
    ms = max(0.0, milliseconds)
    if ms < _SECOND:
        return f"{ms:.0f} ms"
    if ms < _MINUTE:
        return f"{ms / _SECOND:.1f} s"
    if ms < _HOUR:
        return f"{int(ms // _MINUTE)} min {int(ms % _MINUTE // _SECOND)} s"
    if ms < _DAY:
        return f"{int(ms // _HOUR)} h {int(ms % _HOUR // _MINUTE)} min"
    days = int(ms // _DAY)
    return f"{days} day{'s' if days > 1 else ''}"


def ago(then_ms: int, now_ms: int) -> str:
    """Return when something was, or will be, as a person would say it."""
    ms = now_ms - then_ms
    if abs(ms) < _SECOND:
        return "now"
    for unit, name in ((_DAY, "day"), (_HOUR, "h"), (_MINUTE, "min"), (_SECOND, "s")):
        if abs(ms) >= unit:
            count = abs(ms) // unit
            text = f"{count} {name}{'s' if name == 'day' and count > 1 else ''}"
            return f"{text} ago" if ms > 0 else f"in {text}"
    raise AssertionError("a second is the least")


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
