"""Which schedules there are, and how a campaign goes on."""

import json

from tests.torture.journal import Entry, Journal, Verdict, code
from tests.torture.orders import Desk, Order, Post
from tests.torture.plan import FOUND, NOBODY, campaign, combined, sample, single
from tests.torture.points import APPLICABLE, Fault, Kind, Point

RESERVE = Point("checkout", Kind.RPC, "InventoryService.Reserve")
MOVE = Point("checkout", Kind.SQL, "steps.move: UPDATE checkout_sessions")
POLL = Point("checkout-relay", Kind.SQL, "outbox.waiting: SELECT outbox_events")
TAKEN = Point("checkout-recovery", Kind.RPC, "InventoryService.Reserve")
RECORDING = {NOBODY: {POLL: 8}, "buys": {RESERVE: 1, MOVE: 4, POLL: 8}, "cancels": {MOVE: 5}, FOUND: {TAKEN: 1}}


def test_every_fault_strikes_at_every_pass_of_every_point() -> None:
    """A point that a purchase passes several times is tortured at each pass; one that is passed all the time, once."""
    names = {one.name for one in single(RECORDING)}
    assert len(names) == len(single(RECORDING)) == 7 + 5 * 6 + 6
    assert f"{MOVE} #5 lost" in names
    assert f"{POLL} #2 lost" not in names
    assert not any(str(TAKEN) in name for name in names)


def test_a_campaign_is_the_same_for_everyone() -> None:
    """A seed gives the same schedules; beyond the single faults come combinations, each known by its own seed."""
    assert campaign(RECORDING, seed=7, schedules=100) == campaign(RECORDING, seed=7, schedules=100)
    planned = campaign(RECORDING, seed=7, schedules=100)
    assert len({one.name for one in planned}) == 100
    assert planned[-1] == combined(RECORDING, int(planned[-1].name.split()[1]))
    assert campaign(RECORDING, seed=7, schedules=None) == planned[: len(single(RECORDING))]
    assert any(order.point == str(TAKEN) for one in planned for order in one.orders)


def test_the_sample_is_spread() -> None:
    """The fixed choice for every change has each fault of the saga and each other part before it has one twice, and none that is slow."""
    chosen = sample(RECORDING, 12)
    assert len({one.orders[0].fault for one in chosen}) == len(Fault) - 1
    assert not any(one.orders[0].point == str(POLL) for one in chosen)
    assert all(one.orders[0].fault is not Fault.PAUSED for one in chosen)
    assert all(one.orders[0].fault in APPLICABLE[Point.parse(one.orders[0].point).kind] for one in chosen)


def test_a_campaign_goes_on_where_it_was_stopped(tmp_path, monkeypatch) -> None:
    """The journal keeps what was run and recorded, a torn last line is passed over, and other code begins anew."""
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.record("buys", {RESERVE: 2})
    entry = Entry("a schedule", Verdict.VIOLATED, (Fault.LOST,), 0.5, "I1", "make torture")
    journal.add(entry)
    with path.open("a") as file:
        file.write(json.dumps({"name": "torn"})[:-3])
    again = Journal(path)
    assert (again.entries, again.recording) == ({"a schedule": entry}, {"buys": {RESERVE: 2}})
    monkeypatch.setattr("tests.torture.journal.code_digest", lambda: "other")
    assert Journal(path, only_read=True).entries == {"a schedule": entry}
    assert Journal(path).began_anew
    assert not Journal(path).entries


def test_a_comment_is_no_other_code(tmp_path) -> None:
    """What was run still counts once a comment or a docstring has changed, and no longer once a statement has."""
    path = tmp_path / "module.py"

    def written(text):
        path.write_text(text)
        return code(path)

    before = written("ATTEMPTS = 3  # of a call\n")
    assert written("# How often a call is tried.\nATTEMPTS = 3\n") == before
    assert written('"""Calls."""\n\nATTEMPTS = 3\n"""How often a call is tried."""\n') == before
    assert written("ATTEMPTS = 4  # of a call\n") != before


def test_a_fault_strikes_once(tmp_path) -> None:
    """A fault strikes at the pass that was ordered, and not again in the process that comes after the one that it killed."""
    desk = Desk(tmp_path)
    orders = [Order(str(MOVE), Fault.KILLED_AFTER, skip=1)]
    number = desk.give(orders, recording="buys", stores={}, pauses={})
    first = Post(tmp_path, "checkout")
    passed = [first.passes(str(MOVE)) for _ in range(3)]
    assert [one and one.fault for one in passed] == [None, Fault.KILLED_AFTER, None]
    assert desk.struck(number, orders) == [False], "it was given to the process, and is not carried out yet"
    passed[1].carried_out()
    assert desk.struck(number, orders) == [True]
    second = Post(tmp_path, "checkout")
    assert [second.passes(str(MOVE)) for _ in range(3)] == [None, None, None]
    assert Post(tmp_path, "cart").passes(str(MOVE)) is None
    assert desk.seen("buys") == {MOVE: 7}
    desk.clear()
    assert second.passes(str(MOVE)) is None
