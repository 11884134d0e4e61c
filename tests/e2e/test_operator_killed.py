"""The operator is killed at every outgoing call, before the call and after its reply; another one continues the work.

Each round has a namespace and operators of its own, so that many go on at once; the platform's operator sees none.
"""

import itertools
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from signal import SIGKILL, SIGTERM

import pytest

from tests.crashing_operator import CrashPoint
from tests.kube import MOUSE

pytestmark = [pytest.mark.e2e, pytest.mark.local, pytest.mark.timeout(300)]
AT_ONCE = 16
POLL = 0.2  # seconds between checks: sixteen rounds poll one API server
SELDOM = 600  # seconds between comparisons: those that come by the clock would count as calls, on a slow machine more of them


@pytest.fixture
def play(eventually):
    """Have an operator work in a scene until all is settled; where it crashes first, another one. Return whether it crashed."""

    def end(operator):
        operator.terminate()
        eventually(lambda: operator.exit_code() is not None, every=POLL)
        return operator.exit_code()

    def play(scene, settled, crash, names, **settings):
        crashing = scene.operator(crash, names, compare_every=SELDOM, **settings)
        eventually(lambda: crashing.exit_code() is not None or settled(), 60, every=POLL)
        if end(crashing) == 0:
            return False
        assert crashing.exit_code() == -SIGKILL
        other = scene.operator(compare_every=1, **settings)
        eventually(settled, 60, every=POLL)
        assert end(other) in {0, -SIGTERM}  # the second: nothing was left to do, and it had just begun
        return True

    return play


def crash_points():
    """Return every point at which an operator can crash."""
    return (CrashPoint(call, after) for call in itertools.count() for after in (False, True))


def test_killed_at_every_call(platform, scene, play) -> None:
    """Whenever the operator crashes, what was applied is bought once, declined once or cancelled, shown, and reported once."""
    buyer, declined, hung = (platform.shopper() for _ in range(3))
    platform.bank("decline", declined.user_id)
    platform.bank("hang", hung.user_id)
    uids = []

    def once(scene, crash):
        kube = scene.kube
        buys, fails, stops = names = [kube.apply(userId=one.user_id, items=MOUSE) for one in (buyer, declined, hung)]
        uids.extend(kube.get(name)["metadata"]["uid"] for name in names)

        def settled():
            phases = kube.phases()
            if phases.get(stops) == "Paying":
                kube.change(stops, {"spec": {"cancelRequested": True}})
            return [phases.get(name) for name in names] == ["Completed", "Failed", "Failed"]

        crashed = play(scene, settled, crash, names, mirror_mode="None")
        assert [kube.reason(name) for name in names] == ["Completed", "PaymentDeclined", "Cancelled"], crash
        # The payment that hangs is tried again while an operator is gone, and may have events of that too.
        ends = {told: number for told, number in scene.events().items() if told[1] not in {"Retrying", "Compensating"}}
        assert ends.pop((buys, "Completed"), 1) == 1, crash  # told of what was tried again, as on a slow machine
        assert ends == {(fails, "PaymentDeclined"): 1, (stops, "Cancelled"): 1}, crash
        return crashed

    crashes, under_way = [], set()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for crash in crash_points():
            if len(under_way) == AT_ONCE:
                ended, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                crashes += [one.result() for one in ended]
                if not all(crashes):  # one has lived to the end: it makes no more calls than that
                    break
            under_way.add(pool.submit(once, scene().allow(), crash))
        crashes += [one.result() for one in under_way]
    assert sum(crashes) >= AT_ONCE
    rows = platform.sql("SELECT id, status FROM checkout_sessions WHERE idempotency_key = ANY($1)", uids)
    assert Counter(row["status"] for row in rows) == {"COMPLETED": len(crashes), "FAILED": 2 * len(crashes)}
    users = [one.user_id for one in (buyer, declined, hung)]
    captured = "SELECT key FROM transactions WHERE user_id = ANY($1) AND state = 'CAPTURED'"
    paid = sorted(row["key"] for row in platform.sql(captured, users, bank=True))
    assert paid == sorted(str(row["id"]) for row in rows if row["status"] == "COMPLETED")


def test_killed_while_it_mirrors(platform, scene, play, shopper, eventually) -> None:
    """Whenever the operator crashes, a checkout of REST is shown as one mirror to its end, and is not started again."""
    shopper.add(2, 1)
    platform.bank("hang", shopper.user_id)
    checkout_id = shopper.buy("mirrored").json()["checkout_id"]
    mirror = f"co-{checkout_id}"

    def once(scene, crash):
        return play(scene, lambda: scene.kube.finished(mirror), crash, [mirror])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        chosen = list(itertools.islice(crash_points(), AT_ONCE))
        scenes = [scene().allow() for _ in chosen]
        rounds = pool.map(once, scenes, chosen)
        eventually(lambda: all(one.kube.status(mirror).get("phase") == "Paying" for one in scenes), 60)
        platform.bank("approve", shopper.user_id)
        crashes = list(rounds)
    assert sum(crashes) >= AT_ONCE // 2
    assert not all(crashes)
    for one in scenes:
        assert (one.kube.reason(mirror), one.kube.status(mirror)["checkoutId"]) == ("Completed", checkout_id)
    rows = platform.sql("SELECT origin, status FROM checkout_sessions WHERE user_id = $1", shopper.user_id)
    assert rows == [{"origin": "rest", "status": "COMPLETED"}]
    assert len(eventually(shopper.orders)) == 1
