"""How the parts of a running stack are: what each says of itself on `/ready`, and how far the events are behind."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from devstack import own_stores
from devstack.ports import HOST
from devstack.table import PARTS
from services.console.history import Sample
from services.console.measuring import sample

SECONDS = 3.0
_AT_ONCE = 8
_WELL = frozenset({"ok", "serving"})
RELAY, CONSUMERS = "checkout-relay", ("cart-consumer", "orders-consumer")


@dataclass(frozen=True, slots=True)
class Health:
    """How a part is."""

    name: str
    state: str
    """That of its process; "degraded" where it lacks something, "silent" where it does not answer, "yours" for a store of the user's."""
    address: str
    pid: int = 0
    restarts: int = 0
    seconds: int = 0
    """How long its process has run."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    """What it needs and has not, and how that is."""

    @property
    def is_ready(self) -> bool:
        """Whether it serves, perhaps without something that it needs."""
        return self.state in {"ready", "degraded", "yours"}


def ask(rows: Sequence[Mapping[str, Any]], env: Mapping[str, str]) -> tuple[list[Health], Sample]:
    """Ask every part of a stack, and return how each is and what their metrics say. `rows` and `env` are those of its status."""
    ours = [row for row in rows if not PARTS[row["name"]].is_store and row["state"] == "ready"]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        ready = dict(zip((row["name"] for row in ours), pool.map(lambda row: _get(row, "ready"), ours), strict=True))
        pages = dict(zip((row["name"] for row in ours), pool.map(lambda row: _get(row, "metrics"), ours), strict=True))
    listed = [_health(row, ready.get(row["name"])) for row in rows]
    measured = {name: None if page is None else [page] for name, page in pages.items()}
    return [*_own(rows, env), *listed], sample(measured, round(time.time() * 1000), None)


def _get(row: Mapping[str, Any], page: str) -> str | None:
    """Return a page of a part; None where it does not answer."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{row['ports'][-1]}/{page}", timeout=SECONDS) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode(errors="replace")  # 503, with the reason in the body
    except OSError:
        return None


def _health(row: Mapping[str, Any], page: str | None) -> Health:
    part, state = PARTS[row["name"]], row["state"]
    lacks: dict[str, str] = {}
    if state == "ready" and not part.is_store:
        state, lacks = _judged(page)
    address = f"{HOST}:{', '.join(str(port) for port in row['ports'])}"
    return Health(part.name, state, address, row["pid"], row["restarts"], row["seconds"], lacks)


def _judged(page: str | None) -> tuple[str, dict[str, str]]:
    """Return the state of a part by its page, and what it lacks."""
    try:
        said = json.loads(page or "")
        lacks = {name: how for name, how in said.get("dependencies", {}).items() if how not in _WELL}
        status = str(said["status"])
    except (ValueError, KeyError, AttributeError):
        return "silent", {}
    if status not in _WELL:
        return status, lacks
    return ("degraded" if lacks else "ready"), lacks


def _own(rows: Sequence[Mapping[str, Any]], env: Mapping[str, str]) -> list[Health]:
    """Return the stores of the user's own, which have no process here. Their URLs may hold passwords, so hosts alone are shown."""
    running = {row["name"] for row in rows}
    found = []
    for one in PARTS.values():
        named = [variable for variable in one.urls if env.get(variable) and variable != "KUBECONFIG"]
        if named and one.name not in running:
            where = own_stores.address(named[0], env[named[0]], one.ports[0][1])
            found.append(Health(one.name, "yours", f"{where[0]}:{where[1]}" if where else named[0]))
    return found


def behind(measured: Sample, parts: Sequence[Health]) -> list[tuple[str, str]]:
    """Return how far the events are behind: those that wait in the outbox, and those that each consumer has not applied."""
    told = []
    names = {one.name for one in parts}
    if RELAY in names:
        told.append(("outbox", _outbox(measured)))
    for name in CONSUMERS:
        if name in names:
            lag = measured.lag.get(name)
            told.append((name, "unknown" if lag is None else f"{lag:,.0f} messages behind"))
    if measured.dead_messages:
        told.append(("dead letters", f"{measured.dead_messages:,.0f} since the parts started"))
    if measured.breakers:
        told.append(("breakers open", ", ".join(f"{one.part} to {one.dependency}" for one in measured.breakers)))
    return told


def _outbox(measured: Sample) -> str:
    waiting, oldest = measured.outbox_waiting, measured.outbox_oldest_seconds
    if waiting is None or oldest is None:
        return "unknown"
    return f"{waiting:,.0f} events wait, the oldest for {oldest:,.0f} s" if waiting else "no event waits"
