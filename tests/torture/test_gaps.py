"""A campaign that shows too little fails, whatever it found."""

from tests.torture.gaps import BY_THE_CLOCK, unrecorded, unshown
from tests.torture.journal import Entry, Verdict
from tests.torture.points import Fault, Kind, Point


def entries(fault, struck, *, count=3):
    """Return so many schedules of a fault at a command to Redis."""
    verdict = Verdict.HELD if struck else Verdict.NOT_REACHED
    return [
        Entry(f"cart redis GET #{n} {fault}", verdict, (fault,) if struck else (), 0.1) for n in range(1, count + 1)
    ]


def test_a_fault_that_never_strikes_is_missed() -> None:
    """A fault that was tried at several calls of a kind and never carried out is named: its hook does nothing."""
    there = entries(Fault.REFUSED, struck=True, count=100)
    assert unshown([*there, *entries(Fault.LOST, struck=False)]) == [
        "lost never struck at a redis call, in 3 schedules: its hook has no effect"
    ]
    assert unshown([*there, *entries(Fault.LOST, struck=False, count=2)]) == []


def test_many_points_that_are_not_reached_are_missed() -> None:
    """More than a tenth of the single faults not reached is too many; combinations reach less."""
    some = entries(Fault.LOST, struck=True, count=20)
    combined = [Entry(f"random {n}", Verdict.NOT_REACHED, (), 0.1) for n in range(50)]
    assert unshown([*some, *entries(Fault.LOST, struck=False, count=2), *combined]) == []
    assert unshown([*some, *entries(Fault.LOST, struck=False, count=3)]) == ["3 of 23 single faults were not reached"]


def test_a_kind_that_is_never_recorded_is_missed() -> None:
    """A library whose calls pass no hook any more is named."""
    points = {Point("cart", kind, "call") for kind in set(Kind) - BY_THE_CLOCK}
    assert unrecorded({"buys": points}) == []
    assert unrecorded({"buys": {one for one in points if one.kind is not Kind.MONGO}}) == [
        "no mongo call was recorded: its hook has no effect"
    ]
