"""The operator is killed at every call that leaves it, before the call and after its reply; another takes up the work.

Each round has a namespace and operators of its own, so that many go on at once; the platform's operator sees none.
"""

import itertools
import os
import secrets
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from signal import SIGKILL, SIGTERM

import pytest
import yaml

from devstack.home import ROOT
from tests.dying_operator import Death, Operator
from tests.kube import MOUSE, Kube

pytestmark = [pytest.mark.e2e, pytest.mark.local, pytest.mark.timeout(300)]
AT_ONCE = 16
PAUSE = 0.2  # seconds between looks: sixteen rounds look at one API server
SETTINGS = {"listen_host": "127.0.0.1", "http_port": 0, "mirror_success_ttl": 600}


class Scene:
    """A namespace in which an operator has its role, and operators that work there."""

    def __init__(self, platform, name, eventually):
        self.kube = Kube(platform.stack.home.kubeconfig, name)
        self._eventually = eventually
        self._log = str(platform.stack.home.log("operators"))
        self._settings = SETTINGS | {"namespace": name, "checkout_addr": platform.urls["CHECKOUT_ADDR"]}
        self._make("/api/v1/namespaces", {"metadata": {"name": name}})
        for part in yaml.safe_load_all((ROOT / "manifests" / "operator-rbac.yaml").read_text()):
            part["metadata"]["namespace"] = name
            self._make(f"/apis/{part['apiVersion']}/namespaces/{name}/{part['kind'].lower()}s", part)

    def _make(self, path, body):
        answer = self.kube.session.post(self.kube.url + path, json=body, timeout=10)
        assert answer.status_code == 201, answer.text

    def play(self, settled, death, names, **settings):
        """Have an operator work until all is settled; where it dies first, another one. Give whether it died."""
        settings |= self._settings
        dying = Operator(settings, self._log, death, frozenset(names))
        self._eventually(lambda: dying.code() is not None or settled(), 60, every=PAUSE)
        if self._end(dying) == 0:
            return False
        assert dying.code() == -SIGKILL
        other = Operator(settings | {"compare_every": 1}, self._log)
        self._eventually(settled, 60, every=PAUSE)
        assert self._end(other) in {0, -SIGTERM}  # the second: nothing was left to do, and it had just begun
        return True

    def _end(self, operator):
        operator.terminate()
        self._eventually(lambda: operator.code() is not None, every=PAUSE)
        return operator.code()

    def told(self):
        """Count the events about each resource, by their reasons."""
        events = f"{self.kube.url}/api/v1/namespaces/{self.kube.namespace}/events"
        items = self.kube.session.get(events, timeout=10).json()["items"]
        return Counter((one["involvedObject"]["name"], one["reason"]) for one in items)


@pytest.fixture
def scene(platform, monkeypatch, eventually):
    """Make scenes, whose operators have the operator's identity."""
    monkeypatch.setenv("KUBECONFIG", str(platform.stack.home.operator_kubeconfig))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "operator")]))
    session, numbers = secrets.token_hex(3), itertools.count()
    return lambda: Scene(platform, f"killed-{session}-{next(numbers)}", eventually)


def every_death():
    """Give every moment at which an operator can die."""
    return (Death(at, after) for at in itertools.count() for after in (False, True))


def test_killed_at_every_call(platform, scene) -> None:
    """Whenever the operator dies, what was applied is bought once, declined once or cancelled, shown, and told of once."""
    buyer, declined, hung = (platform.shopper() for _ in range(3))
    platform.bank("decline", declined.user_id)
    platform.bank("hang", hung.user_id)
    uids = []

    def play(scene, death):
        kube = scene.kube
        _, fails, stops = names = [kube.apply(userId=one.user_id, items=MOUSE) for one in (buyer, declined, hung)]
        uids.extend(kube.get(name)["metadata"]["uid"] for name in names)

        def settled():
            phases = kube.phases()
            if phases.get(stops) == "Paying":
                kube.change(stops, {"spec": {"cancelRequested": True}})
            return [phases.get(name) for name in names] == ["Completed", "Failed", "Failed"]

        died = scene.play(settled, death, names, mirror_mode="None")
        assert [kube.reason(name) for name in names] == ["Completed", "PaymentDeclined", "Cancelled"], death
        assert scene.told() == {(fails, "PaymentDeclined"): 1, (stops, "Cancelled"): 1}, death
        return died

    deaths, fates = every_death(), []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while all(fates[-AT_ONCE:]):  # until one has lived to the end
            chosen = list(itertools.islice(deaths, AT_ONCE))
            fates += pool.map(play, [scene() for _ in chosen], chosen)
    assert sum(fates) >= AT_ONCE
    rows = platform.sql("SELECT id, status FROM checkout_sessions WHERE idempotency_key = ANY($1)", uids)
    assert Counter(row["status"] for row in rows) == {"COMPLETED": len(fates), "FAILED": 2 * len(fates)}
    users = [one.user_id for one in (buyer, declined, hung)]
    captured = "SELECT key FROM transactions WHERE user_id = ANY($1) AND state = 'CAPTURED'"
    paid = sorted(row["key"] for row in platform.sql(captured, users, bank=True))
    assert paid == sorted(str(row["id"]) for row in rows if row["status"] == "COMPLETED")


def test_killed_while_it_mirrors(platform, scene, shopper, eventually) -> None:
    """Whenever the operator dies, a checkout of REST is shown as one mirror to its end, and is not started again."""
    shopper.add(2, 1)
    platform.bank("hang", shopper.user_id)
    checkout_id = shopper.buy("mirrored").json()["checkout_id"]
    mirror = f"co-{checkout_id}"

    def play(scene, death):
        return scene.play(lambda: scene.kube.finished(mirror), death, {mirror})

    with ThreadPoolExecutor(AT_ONCE) as pool:
        chosen = list(itertools.islice(every_death(), AT_ONCE))
        scenes = [scene() for _ in chosen]
        rounds = pool.map(play, scenes, chosen)
        eventually(lambda: all(one.kube.status(mirror).get("phase") == "Paying" for one in scenes), 60)
        platform.bank("approve", shopper.user_id)
        fates = list(rounds)
    assert sum(fates) >= AT_ONCE // 2
    assert not all(fates)
    for one in scenes:
        assert (one.kube.reason(mirror), one.kube.status(mirror)["checkoutId"]) == ("Completed", checkout_id)
    rows = platform.sql("SELECT origin, status FROM checkout_sessions WHERE user_id = $1", shopper.user_id)
    assert rows == [{"origin": "rest", "status": "COMPLETED"}]
    assert len(eventually(shopper.orders)) == 1
