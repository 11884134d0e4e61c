"""Several operators share the work of a namespace; one is killed, stopped or ended, and nothing is lost or done twice."""

from collections import Counter

import pytest

from tests.kube import MOUSE
from tests.replicas import Replicas
from tests.takeover import play

pytestmark = [pytest.mark.e2e, pytest.mark.local, pytest.mark.timeout(600)]
COUNT = 200


@pytest.fixture
def apply(platform):
    """Apply Checkouts of one user, and give their names."""
    user = platform.shopper().user_id

    def apply(kube, count):
        return [kube.apply(userId=user, items=MOUSE, ttlSecondsAfterFinished=3600) for _ in range(count)]

    return apply


def ended(kube, names):
    """Return whether all of these have completed."""
    phases = kube.phases()
    return {phases.get(name) for name in names} == {"Completed"}


def test_one_of_two_is_killed(platform, scene) -> None:
    """What a killed operator leaves, sagas that run and resources that wait, is taken over; each ends once."""
    story = play(platform, scene(), COUNT)
    applied = story.before | story.after
    lost = story.share("b", story.before)
    assert lost <= story.taken.keys() <= story.share("b", applied)
    assert story.unfinished & lost  # some of its sagas were running
    assert story.rows.keys() == story.phases.keys() == applied.keys()
    ends = Counter(row["status"] for row in story.rows.values())
    assert ends == {"COMPLETED": story.charged, "FAILED": COUNT - story.charged}
    failed = {name for name, phase in story.phases.items() if phase == "Failed"}
    assert len(failed) == ends["FAILED"]
    told = {name: number for (name, reason), number in story.events.items() if reason == "PaymentDeclined"}
    assert told == dict.fromkeys(failed, 1)


def test_one_is_stopped_and_wakes(platform, scene, apply, eventually) -> None:
    """An operator that stands still for longer than its Lease is replaced, and takes its part again when it wakes."""
    replicas = Replicas(scene(), "ab", mirror_mode="None")
    kube = replicas.scene.kube
    eventually(lambda: replicas.all_know("a", "b"), 60)
    names = apply(kube, 20)
    replicas.running["b"].pause()
    try:
        names += apply(kube, 20)
        eventually(lambda: ended(kube, names), 60)
        assert replicas.members("a") == {"a"}
        assert replicas.taken("a")
    finally:
        replicas.running["b"].resume()
    eventually(lambda: replicas.all_know("a", "b"), 60)
    names += apply(kube, 20)
    eventually(lambda: ended(kube, names), 60)
    assert once(platform, kube, names)


def test_three_and_a_clean_end(platform, scene, apply, eventually) -> None:
    """The part of one of three goes to both others; one that ends leaves no Lease, and none has to run out for its part."""
    replicas = Replicas(scene(), "abc", mirror_mode="None")
    kube = replicas.scene.kube
    eventually(lambda: replicas.all_know("a", "b", "c"), 60)
    names = apply(kube, 60)
    eventually(lambda: ended(kube, names), 60)
    replicas.running["c"].terminate()
    eventually(lambda: replicas.running["c"].exit_code() is not None, 60)
    assert "c" not in replicas.leases()
    eventually(lambda: replicas.all_know("a", "b"), 60)
    eventually(lambda: replicas.taken("a") and replicas.taken("b"), 60)
    assert not replicas.taken("a").keys() & replicas.taken("b").keys()
    names += apply(kube, 20)
    eventually(lambda: ended(kube, names), 60)
    replicas.start("c")
    eventually(lambda: replicas.all_know("a", "b", "c"), 60)
    names += apply(kube, 20)
    eventually(lambda: ended(kube, names), 60)
    assert once(platform, kube, names)


def test_mirrors_have_one_owner(platform, scene, shopper, eventually) -> None:
    """A checkout of REST has its mirror, and its end is shown, though the operator that made the mirror is killed."""
    platform.bank("hang", shopper.user_id)
    replicas = Replicas(scene(), "ab")
    kube = replicas.scene.kube
    eventually(lambda: replicas.all_know("a", "b"), 60)
    shopper.add(2, 1)
    mirror = f"co-{shopper.buy('shared').json()['checkout_id']}"
    eventually(lambda: kube.status(mirror).get("phase") == "Paying", 60)
    replicas.running["a"].kill()
    platform.bank("approve", shopper.user_id)
    assert eventually(lambda: kube.finished(mirror), 60)["phase"] == "Completed"


def once(platform, kube, names):
    """Return whether each has a saga of its own, which has charged once."""
    uids = [kube.get(name)["metadata"]["uid"] for name in names]
    rows = platform.sql("SELECT id, user_id FROM checkout_sessions WHERE idempotency_key = ANY($1)", uids)
    captured = "SELECT key FROM transactions WHERE user_id = $1 AND state = 'CAPTURED'"
    paid = {row["key"] for row in platform.sql(captured, rows[0]["user_id"], bank=True)}
    return len(rows) == len(names) and paid == {str(row["id"]) for row in rows}
