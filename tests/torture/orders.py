"""How the test tells running processes which fault to strike where, and learns what they did: by files in one folder.

Files outlive a process that is killed in the middle, need no connection, and `O_EXCL` makes a fault strike exactly once,
whichever process meets it first.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.torture.points import Fault, Point

DESK = "TORTURE_DESK"
"""The variable that names the folder; without it a process takes no orders."""
MOST_PASSES = 8
"""How many passes of one point are told apart: the steps of a saga are written by one statement."""
CLAIMED, STRUCK = "claimed", "struck"
"""The folders of the faults that a process has made its own, and of those that it has carried out."""


@dataclass(frozen=True, slots=True)
class Order:
    """A fault to strike at a point, after that point was passed `skip` times."""

    point: str
    fault: Fault
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Injection:
    """A fault that this process is to carry out, at the call that passes now."""

    fault: Fault
    _struck: Path

    def carried_out(self) -> None:
        """Tell the test that it has struck. Whoever kills or stops this process tells so just before."""
        self._struck.touch()


class Desk:
    """The folder, as the test has it: it gives orders, and reads what was struck and what was seen."""

    def __init__(self, folder: Path) -> None:
        """Make the folder, or go on with what is in it."""
        self.folder = folder
        for name in (CLAIMED, STRUCK):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._number = time.time_ns()
        self._given: dict[str, Any] = {}

    def give(
        self, orders: Sequence[Order], *, recording: str = "", stores: Mapping[str, int], pauses: Mapping[str, float]
    ) -> str:
        """Replace the orders; return their number. `stores` has process ids, `pauses` seconds, by part."""
        self._number += 1
        self._given = {
            "number": str(self._number),
            "recording": recording,
            "orders": [asdict(one) for one in orders],
            "stores": dict(stores),
            "pauses": dict(pauses),
        }
        self._write()
        return str(self._number)

    def take_back(self) -> None:
        """Take the orders back. What is recorded goes on, and so do pauses that have begun."""
        self._given["orders"] = []
        self._write()

    def _write(self) -> None:
        scratch = self.folder / ".orders"
        scratch.write_text(json.dumps(self._given))
        scratch.replace(self.folder / "orders.json")

    def struck(self, number: str, orders: Sequence[Order]) -> list[bool]:
        """Return which of the orders were carried out."""
        return [(self.folder / STRUCK / f"{number}-{index}").exists() for index in range(len(orders))]

    def clear(self) -> None:
        """Have nothing struck or recorded any more."""
        (self.folder / "orders.json").unlink(missing_ok=True)

    def seen(self, recording: str) -> Counter[Point]:
        """Return how often each point was passed during a recording, by every process."""
        folder = self.folder / "seen" / recording
        lines = [line for path in folder.glob("*") for line in path.read_text().splitlines()]
        return Counter(map(Point.parse, lines))


class Post:
    """The same folder, as a process of the platform has it."""

    def __init__(self, folder: Path, part: str) -> None:
        self.part = part
        self.folder = folder
        self._path = folder / "orders.json"
        self._stamp = (0, 0)
        self._number = ""
        self._recording = ""
        self._orders: dict[str, list[tuple[int, Order]]] = {}
        self._seen: Counter[str] = Counter()
        self.stores: dict[str, int] = {}
        self.pauses: dict[str, float] = {}

    def passes(self, point: str) -> Injection | None:
        """Note that a point is passed, and return the fault that is to strike now; None where none is."""
        self._look()
        if self._recording and self._seen[point] < MOST_PASSES:
            self._seen[point] += 1
            self._note(point)
        for index, order in enumerate(waiting := self._orders.get(point, [])):
            number, one = order
            if one.skip:
                waiting[index] = (number, Order(one.point, one.fault, one.skip - 1))
                continue
            del waiting[index]
            name = f"{self._number}-{number}"
            return Injection(one.fault, self.folder / STRUCK / name) if self._claim(name) else None
        return None

    def _look(self) -> None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._stamp, self._orders, self._recording = (0, 0), {}, ""
            return
        if (stamp := (found.st_mtime_ns, found.st_ino)) == self._stamp:
            return
        given = json.loads(self._path.read_text())
        self._stamp, self._number = stamp, given["number"]
        if given["recording"] != self._recording:
            self._recording, self._seen = given["recording"], Counter()
        self.stores, self.pauses = given["stores"], given["pauses"]
        self._orders = {}
        for number, one in enumerate(given["orders"]):
            if one["point"].startswith(f"{self.part} "):
                order = Order(one["point"], Fault(one["fault"]), one["skip"])
                self._orders.setdefault(order.point, []).append((number, order))

    def _claim(self, name: str) -> bool:
        """Make the fault this process's own; False where it was another's, which may have died of it."""
        try:
            os.close(os.open(self.folder / CLAIMED / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        return True

    def _note(self, point: str) -> None:
        folder = self.folder / "seen" / self._recording
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / self.part).open("a") as file:
            file.write(f"{point}\n")
