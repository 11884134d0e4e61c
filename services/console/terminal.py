"""Prints the story of one purchase to a terminal: what the console shows, and the lines of the logs that tell of it.

`python -m services.console.terminal <name> [log …]`, where the name is any that the console finds a checkout by. The
addresses of the services are the console's own settings.
"""

import asyncio
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from services.chassis import call
from services.chassis.env import process_environment
from services.chassis.telemetry import Metrics
from services.console.clients import Services, connected, load_story
from services.console.config import Config
from services.console.story import Story
from services.console.words import counted, money
from services.errors import Fault
from services.pb import inventory_pb2, payment_pb2

MOST_FOUND = 20
MOST_LINES = 200
SECONDS = 5.0
_USAGE = "usage: python -m services.console.terminal <id, order id, key, request id or trace id> [log …]"
_QUIET = frozenset({"timestamp", "level", "event", "service", "role", "request_id", "checkout_id"})


async def stories(services: Services, name: str) -> list[Story]:
    """Return the stories of the checkouts that have this name."""
    found = await services.find(name, MOST_FOUND)
    return [await load_story(services, checkout.id) for checkout in found]


def text(story: Story) -> Iterator[str]:
    """Yield the lines of a story."""
    checkout, inspected = story.checkout, story.parts.inspected
    yield f"Checkout {checkout.id}: {story.phase.name}"
    yield story.headline
    yield from story.explanation
    yield ""
    for moment in story.moments:
        if moment.gap:
            yield f"  {'':12}  … {moment.gap} without anything"
        state = f" ({moment.state})" if moment.state in {"failed", "running"} else ""
        yield f"  {_clock(moment.at_ms)}  {moment.title + state:<28} {moment.took:>9}  {moment.detail}"
    yield ""
    for line in story.lines:
        yield f"  {line.quantity:>5} × {line.name or f'product {line.product_id}':<30} {line.price:>14} {line.total:>14}"
    yield f"  {'total':<38} {'':>14} {story.total:>14}"
    yield ""
    yield from _facts(story)
    yield f"  user        {checkout.user_id}, key {checkout.idempotency_key}, resource {story.resource}"
    yield f"  request id  {inspected.request_id or 'none'}, trace id {story.trace_id or 'none'}"


def _facts(story: Story) -> Iterator[str]:
    payment, reservation, order = story.parts.payment, story.parts.reservation, story.parts.order
    if payment.value:
        state = payment_pb2.PaymentState.Name(payment.value.state)
        amount = money(payment.value.amount_minor, payment.value.currency)
        asked = counted(payment.value.attempts, "time")
        yield f"  payment     {state}, {amount}, asked {asked}, {payment.value.provider_ref or 'no reference'}"
    if reservation.value:
        lines = ", ".join(f"{line.quantity} of product {line.product_id}" for line in reservation.value.lines)
        yield f"  stock       {inventory_pb2.ReservationState.Name(reservation.value.state)}, {lines or 'nothing'}"
    if order.value:
        yield f"  order       {order.value.id}"
    for answer in (payment, reservation, order):
        if answer.is_away:
            yield f"  {answer.part:<11} does not answer"


def log_lines(files: Iterable[tuple[str, Iterable[str]]], wanted: Sequence[str]) -> list[str]:
    """Return the lines of logs that tell of a checkout, in the order of time; `wanted` are its ids."""
    found = []
    for part, lines in files:
        for line in lines:
            if any(one in line for one in wanted) and (event := _event(line)):
                facts = " ".join(f"{name}={value}" for name, value in event.items() if name not in _QUIET)
                at = str(event.get("timestamp", ""))
                found.append(
                    (at, f"  {at[11:23]}  {part:<20} {event.get('level', ''):<8} {event.get('event', '')} {facts}")
                )
    return [line for _, line in sorted(found)][-MOST_LINES:]


def _event(line: str) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None


def _clock(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]


async def _tell(name: str, logs: Sequence[Path]) -> int:
    config, metrics = Config.from_env(process_environment()), Metrics()
    async with connected(config, metrics) as (services, _):
        with call.within(call.incoming("", "", seconds=SECONDS)):
            found = await stories(services, name)
    if not found:
        sys.stderr.write(f"no checkout has the id, order id, key, request id, trace id or resource name {name!r}\n")
        return 1
    for story in found:
        print_lines(text(story))
        ids = [story.checkout.id, story.parts.inspected.request_id, story.parts.inspected.event.event_id]
        opened = ((log.stem, log.read_text(errors="replace").splitlines()) for log in logs if log.exists())
        if lines := log_lines(opened, [one for one in ids if one]):
            print_lines(["", "What the logs say of it (UTC):", *lines])
        print_lines([""])
    return 0


def print_lines(lines: Iterable[str]) -> None:
    """Write lines to the terminal."""
    for line in lines:
        sys.stdout.write(f"{line}\n")


def main(arguments: Sequence[str]) -> int:
    """Print the stories of the checkouts that the first argument names, and return the exit code."""
    if not arguments:
        sys.stderr.write(f"{_USAGE}\n")
        return 2
    try:
        return asyncio.run(_tell(arguments[0], [Path(log) for log in arguments[1:]]))
    except Fault as fault:
        sys.stderr.write(f"the story cannot be told now: {fault}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
