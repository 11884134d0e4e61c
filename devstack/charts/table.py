"""Makes the table of a chart's README: every value, what it is where nothing is said, and what it means."""

import json
from typing import Any

from devstack.charts.values import Value

BEGIN, END = "<!-- values: made by `make charts` -->", "<!-- end of values -->"


class NoPlace(ValueError):
    """A README does not say where its table goes."""


def put(readme: str, values: Value) -> str:
    """Give the README with the table in its place; NoPlace where it has none."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise NoPlace(f"the table goes between {BEGIN} and {END}")
    rows = [f"| `{leaf.name}` | {_code(leaf.default)} | {_cell(leaf.says)} |" for leaf in values.leaves()]
    return "\n".join([f"{before}{BEGIN}", "| value | default | meaning |", "|---|---|---|", *rows, f"{END}{after}"])


def _code(default: Any) -> str:
    text = default if isinstance(default, str) else json.dumps(default)
    return f"`{_cell(text)}`" if text else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
