"""What has had its time is deleted, and nothing else."""

from dataclasses import replace

import structlog

from checkout_operator.cluster import Refused
from checkout_operator.live import Live
from checkout_operator.sweeper import Sweeper, due

START = 1_767_225_600.0  # when the resources were created, in seconds since 1970
ENDED = {"finishedAt": "2026-01-01T00:00:00Z", "phase": "Failed"}


def ended(second):
    """The status of what failed so many seconds after it was created."""
    return ENDED | {"finishedAt": f"2026-01-01T00:00:{second:02}Z"}


def test_what_has_had_its_time(make, mirror, config):
    """Each resource has its own time; of the mirrors of failed checkouts the newest stay."""
    mirrors = [mirror(f"c{n}", ended(n)) for n in range(5)]
    own = make("first", status=ENDED)
    settings = config.model_copy(update={"mirror_max_failures": 3, "mirror_failure_ttl": 90.0})
    assert [one.name for one in due([own, *mirrors], settings, START + 5, {})] == ["co-c0", "co-c1"]
    assert {one.name for one in due([own, *mirrors], settings, START + 299, {})} == {one.name for one in mirrors}
    assert own in due([own], settings, START + 300, {})
    assert due([make("first")], settings, START + 10**6, {}) == []


def test_a_mirror_that_was_made_while_its_checkout_ran(mirror, config):
    """A mirror stays for the time of what became of its checkout: of a failure, though it was made before that."""
    completed = mirror("c1", ENDED | {"phase": "Completed"}, ttlSecondsAfterFinished=30)
    failed = mirror("c2", ENDED, ttlSecondsAfterFinished=30)
    assert due([completed, failed], config, START + 30, {}) == [completed]
    assert due([failed], config, START + config.mirror_failure_ttl - 1, {}) == []
    assert due([failed], config, START + config.mirror_failure_ttl, {}) == [failed]


def test_what_is_being_deleted(make, mirror, config):
    """What has been deleted and is held by somebody's finalizer is not deleted again, nor takes another's place."""
    own = replace(make("first", status=ENDED), deleting=True)
    held = replace(mirror("c1", ended(1)), deleting=True)
    settings = config.model_copy(update={"mirror_max_failures": 1})
    assert due([own, held, mirror("c2", ended(2))], settings, START + 400, {}) == []


def test_an_old_purchase_is_shown_for_its_time(make, config):
    """A resource under the key of a purchase made long ago stays for its time to live, counted from its creation."""
    shown = make("first", status={"finishedAt": "2025-01-01T00:00:00Z", "phase": "Completed"})
    assert due([shown], config, START + 299, {}) == []
    assert due([shown], config, START + 300, {}) == [shown]


def test_applied_while_no_operator_was_there(make, config):
    """What an operator shows only long after it was applied stays for its time to live, counted from then."""
    shown = make("first", status={"finishedAt": "2025-01-01T00:00:00Z", "phase": "Completed"})
    assert due([shown], config, START + 1299, {"uid-first": START + 1000}) == []
    assert due([shown], config, START + 1300, {"uid-first": START + 1000}) == [shown]


def test_a_time_that_cannot_be_read(make, config):
    """A time that the schema lets through and nobody can read deletes nothing, and ends nothing."""
    for text in ("2026-01-01t00:00:00z", "2026-01-01T00:00:00x1Z"):
        assert due([make("first", status={"finishedAt": text})], config, START + 10**6, {}) == []


async def test_what_is_gone_already(make, cluster, config):
    """What the API server no longer has is not asked for again, though the watch never told of its end."""
    live = Live()
    sweeper = Sweeper(live, cluster, config, structlog.get_logger())
    for name in ("there", "gone"):
        live.put(make(name, status=ENDED))
    cluster.objects["there"] = {}
    assert await sweeper.run_once() == 2
    assert [one.name for one in live.all()] == ["there"]
    live.put(make("gone", uid="another"))
    assert await sweeper.run_once() == 1
    assert live.get("gone").uid == "another"


async def test_one_that_may_not_be_deleted(make, cluster, config, away):
    """What the API server refuses to delete stays, and stops none of the others."""
    live = Live()
    sweeper = Sweeper(live, cluster, config, structlog.get_logger())
    for name in ("held", "away", "last"):
        live.put(make(name, status=ENDED))
        cluster.objects[name] = {}
    cluster.faults["delete"] = [away(), Refused("by a policy")]
    assert await sweeper.run_once() == 1
    assert set(cluster.objects) == {"held", "away"}
    assert len(live.all()) == 3  # the watch tells of ends


async def test_room_for_those_that_run(mirror, cluster, config):
    """At the cap of mirrors the oldest that has ended makes room, before its time; those that run stay."""
    live = Live()
    settings = config.model_copy(update={"mirror_max_objects": 3, "mirror_failure_ttl": 1e9})
    sweeper = Sweeper(live, cluster, settings, structlog.get_logger())
    for one in (mirror("c1"), mirror("c2", ended(2))):
        live.put(one)
    assert await sweeper.run_once() == 0
    live.put(mirror("c3", ended(1)))
    assert await sweeper.run_once() == 1
    assert cluster.calls == [("delete", "co-c3")]
    live.put(replace(mirror("c3", ended(1)), deleting=True))  # held by somebody's finalizer
    assert await sweeper.run_once() == 1
    assert cluster.calls[1:] == [("delete", "co-c2")]
