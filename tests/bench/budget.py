"""What a request may cost, and what differs from it: a committed table, which is held in both directions."""

import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parent / "budget.toml"
_NEARLY = 1e-9


@dataclass(frozen=True, slots=True)
class Allowed:
    """What one request may cost of something, from the least to the most."""

    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Budget:
    """The table: what each load may cost a request, and what is background."""

    loads: Mapping[str, Mapping[str, Allowed]]
    background_parts: tuple[str, ...]
    background_whole: frozenset[str]
    background_rpcs: frozenset[str]

    def is_background(self, sql: str) -> bool:
        """Whether the clock paces a statement, and not the users."""
        return sql in self.background_whole or any(words in sql for words in self.background_parts)


def read(text: str) -> Budget:
    """Read the table; ValueError where a cost is neither a number nor a pair of them."""
    table = tomllib.loads(text)
    background = table.pop("background")
    loads = {f"{load} {how}": _costs(costs) for load, ways in table.items() for how, costs in ways.items()}
    return Budget(loads, tuple(background["statements"]), frozenset(background["whole"]), frozenset(background["rpcs"]))


def _costs(table: Mapping[str, Any]) -> dict[str, Allowed]:
    found: dict[str, Allowed] = {}
    for name, value in table.items():
        parts = {f"{name}.{below}": one for below, one in value.items()} if isinstance(value, dict) else {name: value}
        found |= {key: _allowed(key, one) for key, one in parts.items()}
    return found


def _allowed(name: str, value: Any) -> Allowed:
    match value:
        case int() | float():
            return Allowed(value, value)
        case [int() | float() as least, int() | float() as most] if least < most:
            return Allowed(least, most)
    raise ValueError(f"{name} = {value!r}: give a number, or [least, most]")


def differences(allowed: Mapping[str, Allowed], counted: Counter[str], requests: int) -> list[str]:
    """Say what differs: what costs more than is allowed, and what has become cheaper than the table knows."""
    said = []
    for name in sorted({*allowed, *(name for name, count in counted.items() if count)}):
        cost, may = counted[name] / requests, allowed.get(name, Allowed(0, 0))
        if cost > may.most + _NEARLY:
            said.append(f"{name}: {cost:g} a request, the table allows {may.most:g}")
        elif cost < may.least - _NEARLY:
            said.append(
                f"{name}: {cost:g} a request, the table says {may.least:g}: it has become cheaper, lower the table"
            )
    return said


def shown(load: str, counted: Counter[str], requests: int) -> str:
    """Give what was counted as a section of the table."""
    name, how = load.split(" ")
    groups: dict[str, list[str]] = {}
    for key, count in sorted(counted.items()):
        if count:
            group, _, below = key.partition(".")
            groups.setdefault(group, []).append(f"{below} = {count / requests:g}" if below else f"{count / requests:g}")
    lines = [
        f"{group} = {{ {', '.join(costs)} }}" if "=" in costs[0] else f"{group} = {costs[0]}"
        for group, costs in groups.items()
    ]
    return "\n".join([f"[{name}.{how}]", *lines])
