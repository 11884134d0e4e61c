"""Which schedules there are: every point with every fault that applies to it, and seeded combinations of several.

A schedule is known by its name, and is the same for everyone who has the same recording.
"""

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

from tests.torture.orders import MOST_PASSES, Order
from tests.torture.points import APPLICABLE, Fault, Kind, Point

COMPANY = ("buys", "applies")
"""Who shops in every schedule, beside whoever passes the point."""
KILLS = (Fault.KILLED_BEFORE, Fault.KILLED_AFTER)
MOST_SKIPPED = 2
HANGS = "cancels"
"""The cast whose bank hangs: it takes seconds by itself."""
MOST_STEPS = 4
"""Later passes of a point, in the sample of cheap schedules, depend on how often something was repeated."""
SLOW_PAUSES = frozenset(
    {"checkout", "checkout-recovery", "checkout-relay", "cart", "cart-consumer", "orders-consumer", "operator"}
)
"""Parts with a lease, a token or a session: a pause must outlast it."""

Recording = Mapping[str, Mapping[Point, int]]
"""How often each cast passes which point, by its name. `nobody` has what is passed while nobody shops, `found` what only faults lead to."""
FOUND, NOBODY = "found", "nobody"
COMBINED = "random "
"""How the names of combinations begin."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Some faults, and who shops meanwhile."""

    name: str
    orders: tuple[Order, ...]
    casts: tuple[str, ...]

    @property
    def again(self) -> str:
        """The command that runs it alone."""
        if self.name.startswith(COMBINED):
            return f"make torture COMBINATION={self.name.split()[1]}"
        return (
            f'make torture POINT="{self.orders[0].point}" PASS={self.orders[0].skip + 1} FAULT={self.orders[0].fault}'
        )


def cast_of(recording: Recording, number: int = 1) -> dict[Point, str]:
    """Return a cast that passes each point so many times: the first that was recorded with it."""
    casts: dict[Point, str] = {}
    for cast, points in recording.items():
        for point, count in points.items():
            if count >= number:
                casts.setdefault(point, {FOUND: "cancels", NOBODY: "buys"}.get(cast, cast))
    return casts


def passes(recording: Recording) -> dict[Point, int]:
    """Return how many passes of each point a purchase has; of what is passed all the time, 1."""
    counts: dict[Point, int] = dict.fromkeys(recording.get(NOBODY, ()), 1)
    for cast, points in recording.items():
        if cast not in {FOUND, NOBODY}:
            for point, count in points.items():
                if point not in recording.get(NOBODY, ()):
                    counts[point] = max(count, counts.get(point, 1))
    return counts


def single(recording: Recording) -> list[Schedule]:
    """Return a schedule for each pass of each point in a purchase, and each fault that applies there."""
    casts = [cast_of(recording, number + 1) for number in range(MOST_PASSES)]
    return [
        one_fault(point, fault, casts[skip][point], skip)
        for point, count in sorted(passes(recording).items())
        for skip in range(count)
        for fault in APPLICABLE[point.kind]
    ]


def one_fault(point: Point, fault: Fault, cast: str, skip: int = 0) -> Schedule:
    """Return the schedule of one fault, at a pass of a point after `skip` others."""
    who = (cast, *(one for one in COMPANY if one != cast))
    return Schedule(f"{point} #{skip + 1} {fault}", (Order(str(point), fault, skip),), who)


def single_of(name: str) -> tuple[Point, Fault] | None:
    """Return the point and the fault of the schedule that `one_fault` gave a name; None for the name of a combination."""
    if name.startswith(COMBINED):
        return None
    place, _, last = name.rpartition(" #")
    return Point.parse(place), Fault(last.split(" ")[1])


def combined(recording: Recording, seed: int) -> Schedule:
    """Return the schedule of a seed: two or three faults at points drawn from all that are known, in an order that chance decides."""
    draw = random.Random(seed)
    casts = cast_of(recording)
    points = sorted(casts)
    found = sorted(set(recording.get(FOUND, ())) & set(points))
    chosen = [draw.choice(points) for _ in range(draw.choice((1, 2, 2, 2, 3)))]
    orders = [Order(str(point), draw.choice(APPLICABLE[point.kind]), draw.randint(0, MOST_SKIPPED)) for point in chosen]
    if found and draw.random() < 0.5:
        sagas = [point for point in points if point.part == "checkout" and point.kind in {Kind.SQL, Kind.RPC}]
        late = draw.choice(found)
        orders[:] = [
            Order(str(draw.choice(sagas)), draw.choice(KILLS)),
            Order(str(late), draw.choice(APPLICABLE[late.kind])),
        ]
    who = dict.fromkeys([*(casts[point] for point in chosen), *COMPANY])
    return Schedule(f"{COMBINED}{seed}", tuple(orders), tuple(who))


def campaign(recording: Recording, *, seed: int, schedules: int | None) -> list[Schedule]:
    """Return every single fault in a seeded order, and combinations up to `schedules` in all; None: single faults only."""
    planned = single(recording)
    random.Random(seed).shuffle(planned)
    if schedules is None:
        return planned
    more = max(0, schedules - len(planned))
    return [*planned[:schedules], *(combined(recording, seed * 1_000_000 + number) for number in range(more))]


def sample(recording: Recording, number: int) -> list[Schedule]:
    """Return a choice of cheap schedules: each fault of each kind of the saga's calls, and each other part in turn.

    A point that is added or lost changes little else in it.
    """
    groups: dict[tuple[str, ...], list[Schedule]] = {}
    for schedule in single(recording):
        order = schedule.orders[0]
        point = Point.parse(order.point)
        idle = point in recording.get(NOBODY, ())  # of no purchase in particular
        if idle or is_slow(point, order.fault) or HANGS in schedule.casts or order.skip > MOST_STEPS:
            continue
        saga = point.part == "checkout"
        groups.setdefault((point.kind, order.fault) if saga else (point.part,), []).append(schedule)
    for group in groups.values():
        group.sort(key=lambda one: crc32(one.name.encode()))
    chosen: list[Schedule] = []
    for key in itertools.cycle(sorted(groups, key=lambda one: crc32(repr(one).encode()))):
        if len(chosen) == number or not any(groups.values()):
            return chosen
        if groups[key]:
            chosen.append(groups[key].pop())
    return chosen


def is_slow(point: Point, fault: Fault) -> bool:
    """Whether a schedule takes many seconds: a long pause, a store that starts slowly, or a bank that hangs first."""
    if fault is Fault.PAUSED:
        return point.part in SLOW_PAUSES
    return fault is Fault.STORE_KILLED and point.kind in {Kind.PRODUCE, Kind.OFFSETS, Kind.MONGO}


def struck_parts(orders: Sequence[Order]) -> set[str]:
    """Return the parts whose process dies or is paused by these orders."""
    return {one.point.split(" ", 1)[0] for one in orders if one.fault in {*KILLS, Fault.PAUSED}}
