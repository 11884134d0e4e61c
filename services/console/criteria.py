"""What the filter of the list asks for: the words of a URL, checked. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlencode

from services.console.words import PHASES, REASONS
from services.money import MINOR_PER_MAJOR
from services.pb import checkout_admin_pb2, checkout_pb2

FIELDS = ("user", "phase", "reason", "origin", "product", "from", "to", "least", "most")
RUNNING = "Running"
PHASE_NAMES = (RUNNING, *dict.fromkeys(phase.name for phase in PHASES.values()))
REASON_NAMES = tuple(REASONS)
ORIGINS = {"rest": checkout_pb2.REST, "resource": checkout_pb2.RESOURCE}
_LARGEST = 2**63 - 1
_ENDED = {"COMPLETED", "FAILED"}


@dataclass(frozen=True, slots=True)
class Criteria:
    """The filter as a person gave it, the message that it makes, and what is wrong with it, by field."""

    given: Mapping[str, str]
    message: checkout_admin_pb2.CheckoutFilter
    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def query(self) -> str:
        """The filter as the query of a URL."""
        return urlencode(dict(self.given))


class _Wrong(ValueError):
    """A field cannot be used; `str()` says what to write instead."""


def read(query: Mapping[str, str]) -> Criteria:
    """Return the criteria of a URL's query. A field that cannot be used is left out and named."""
    given = {name: query[name].strip() for name in FIELDS if query.get(name, "").strip()}
    made: dict[str, Any] = {}
    problems = {}
    for name, text in given.items():
        try:
            made |= _READERS[name](text)
        except _Wrong as error:
            problems[name] = str(error)
    return Criteria(given, checkout_admin_pb2.CheckoutFilter(**made), problems)


def _id(name: str) -> Any:
    def parse(text: str) -> dict[str, int]:
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _LARGEST:
            raise _Wrong("write a whole number, such as 7")
        return {name: int(text)}

    return parse


def _phase(text: str) -> dict[str, list[str]]:
    if text == RUNNING:
        return {"saga_steps": [step for step in PHASES if step not in _ENDED]}
    steps = [step for step, phase in PHASES.items() if phase.name == text]
    if not steps:
        raise _Wrong(f"choose one of {', '.join(PHASE_NAMES)}")
    return {"saga_steps": steps}


def _reason(text: str) -> dict[str, str]:
    if text not in REASONS:
        raise _Wrong(f"choose one of {', '.join(REASONS)}")
    return {"reason": text}


def _origin(text: str) -> dict[str, int]:
    if text not in ORIGINS:
        raise _Wrong(f"choose one of {', '.join(ORIGINS)}")
    return {"origin": ORIGINS[text]}


def _time(name: str) -> Any:
    def parse(text: str) -> dict[str, int]:
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            raise _Wrong("write a date and a time, such as 2026-11-26T14:00") from None
        when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
        return {name: int(when.timestamp() * 1000)}

    return parse


def _amount(name: str) -> Any:
    def parse(text: str) -> dict[str, int]:
        try:
            minor = Decimal(text.replace(",", "").lstrip("$€£")) * MINOR_PER_MAJOR
        except InvalidOperation:
            raise _Wrong("write an amount, such as 12.50") from None
        if not minor.is_finite() or minor != minor.to_integral_value() or not 0 <= minor <= _LARGEST:
            raise _Wrong("write an amount with at most two decimals, such as 12.50")
        return {name: int(minor)}

    return parse


_READERS: Mapping[str, Any] = {
    "user": _id("user_id"),
    "phase": _phase,
    "reason": _reason,
    "origin": _origin,
    "product": _id("product_id"),
    "from": _time("created_from_ms"),
    "to": _time("created_before_ms"),
    "least": _amount("total_from_minor"),
    "most": _amount("total_to_minor"),
}
