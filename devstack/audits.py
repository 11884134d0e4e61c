"""Shows what one audit found, to people: the log lines of `services.auditor.main once` as a table."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

COMPARED = {
    "money": "payments and the bank's ledger, with the checkouts",
    "orders": "orders, with the checkouts",
    "reservations": "reservations, with the checkouts",
    "stock": "stock, with the reservations and deliveries",
    "carts": "carts, with what was bought from them",
    "cache": "cached carts, with their documents",
    "outbox": "the outbox, with the checkouts and the topic",
    "resources": "Checkout resources, with the checkouts",
}
_IDS = ("checkout_id", "order_id", "user_id", "product_id", "event_id", "name")


def render(lines: Iterable[str]) -> Iterator[RenderableType]:
    """Yield a table of what was compared, each difference with its ids and the command of its story, and what was not compared."""
    logged = [one for one in map(_fields, lines) if one]
    table = Table("BOOKS", "COMPARED", "DIFFERENCES", "OLDEST")
    for one in logged:
        if one["event"] == "compared":
            count = Text(str(one["count"]), style="bold red" if one["count"] else "green")
            oldest = f"{one['age']:.0f} s" if one["count"] else ""
            table.add_row(COMPARED.get(one["kind"], one["kind"]), f"{one['compared']:,}", count, oldest)
    if table.row_count:
        yield table
    for one in logged:
        if one["event"] == "the books differ":
            yield _difference(one)
        elif one["event"] in {"a book is not compared", "a book cannot be read"}:
            yield Text(
                f"{one['book']} {one['event'].removeprefix('a book ')}: {one.get('reason') or one['error']}",
                style="yellow",
            )


def _difference(one: dict[str, Any]) -> Text:
    ids = ", ".join(f"{name} {one[name]}" for name in _IDS if name in one)
    shown = Text.assemble((f"{one['kind']}: ", "bold red"), one["what"], f" for {one['age']:.0f} s ({ids})")
    if one["detail"]:
        shown.append(f"\n    {one['detail']}")
    if one.get("command"):
        shown.append(f"\n    {one['command']}", "dim")
    return shown


def _fields(line: str) -> dict[str, Any] | None:
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) and "event" in fields else None
