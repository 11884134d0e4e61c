"""The release itself: its memory at rest, its own test, and what stays after it is uninstalled."""

import json
from typing import Any

import pytest

from devstack.kind.cluster import NAMESPACE
from tests.kind.cluster import RELEASE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
MOST_MIB = 1536


def test_its_own_test(helm) -> None:
    """`helm test` applies a Checkout and waits until it has ended."""
    assert "Phase:          Succeeded" in helm("test", RELEASE, "--timeout", "120s")


def test_what_it_takes_at_rest(platform, eventually, figure) -> None:
    """Without stores, the pods hold less than 1.5 GiB of memory when nothing is bought."""
    stack = platform.stack
    names = {pod["metadata"]["name"] for pod in stack.all(RELEASE)}

    def taken() -> dict[str, tuple[float, float]]:
        page = json.loads(stack.kubectl("get", "--raw", f"/api/v1/nodes/{platform.cluster.node}/proxy/stats/summary"))
        pods = {pod["podRef"]["name"]: pod for pod in page["pods"] if pod["podRef"]["namespace"] == NAMESPACE}
        return {
            name: (pod["memory"]["workingSetBytes"] / 2**20, pod["cpu"]["usageNanoCores"] / 1e6)
            for name, pod in pods.items()
            if name in names and {"memory", "cpu"} <= pod.keys()
        }

    found = eventually(lambda: (shown := taken()).keys() == names and shown, 60)
    for name, (mib, millicores) in sorted(found.items()):
        figure(f"{name:<44} {mib:6.0f} MiB {millicores:6.0f} m")
    total = sum(mib for mib, _ in found.values())
    figure(f"{len(found)} pods at rest: {total:.0f} MiB, {sum(cpu for _, cpu in found.values()):.0f} m")
    assert total < MOST_MIB


def test_an_audit_by_hand(platform, shopper, eventually) -> None:
    """A Job made of the CronJob compares every book once, finds that they agree, and succeeds; with a changed one it fails and names it."""
    stack = platform.stack
    shopper.add()
    checkout_id = shopper.buy("audited").json()["checkout_id"]
    eventually(lambda: shopper.orders() and not shopper.cart()["items"], 60)
    ended = "SELECT completed_at < clock_timestamp() - interval '30 seconds' AS is_due FROM checkout_sessions WHERE id = $1::text::uuid"
    eventually(lambda: platform.sql(ended, checkout_id)[0]["is_due"], 60)

    def ends(job: str) -> set[str]:
        conditions = stack.get("job", job)["status"].get("conditions", ())
        return {one["type"] for one in conditions} & {"Complete", "Failed"}

    def audit(job: str) -> tuple[str, list[dict[str, Any]]]:
        """Return the condition in which the Job ended, and what its pod logged."""
        stack.kubectl("create", "job", f"--from=cronjob/{RELEASE}-audit", job)
        try:
            (ended_as,) = eventually(lambda: ends(job), 180)
            lines = stack.kubectl("logs", f"job/{job}").splitlines()
            return ended_as, [json.loads(line) for line in lines if line.startswith("{")]
        finally:
            stack.kubectl("delete", "job", job, "--wait=true")

    sql = "UPDATE orders.orders SET total_minor = total_minor + $2::int WHERE checkout_id = $1"
    ended_as, lines = audit("audit-agreeing")
    assert ended_as == "Complete", [one for one in lines if one["event"] != "compared"]
    assert {one["kind"] for one in lines if one["event"] == "compared" and one["compared"]} >= {
        "money",
        "orders",
        "stock",
    }
    platform.sql(sql, checkout_id, 1)
    try:
        ended_as, lines = audit("audit-differing")
    finally:
        platform.sql(sql, checkout_id, -1)
    named = [one["checkout_id"] for one in lines if one["event"] == "the books differ" and one["kind"] == "orders"]
    assert (ended_as, named) == ("Failed", [checkout_id])


def test_uninstalled(platform, helm, kube, shopper, eventually) -> None:
    """Uninstalled, it leaves nothing but the Checkouts and their definition; installed again, it has all its data."""
    stack = platform.stack
    name = kube.apply(userId=shopper.user_id, items=[{"productId": 2, "quantity": 1}], ttlSecondsAfterFinished=86400)
    eventually(lambda: kube.finished(name), 60)
    helm("uninstall", RELEASE, "--wait")
    try:
        mine = f"app.kubernetes.io/instance={RELEASE}"
        eventually(lambda: not stack.kubectl("get", "pods", "-l", mine, "-o", "name"), 90)
        every = stack.kubectl("api-resources", "--verbs=list,delete", "-o", "name").split()
        kinds = ",".join(kind for kind in every if not kind.startswith("events"))
        left = stack.kubectl("get", kinds, "-A", "-l", mine, "-o", "name").split()
        assert left == ["customresourcedefinition.apiextensions.k8s.io/checkouts.cartwright.dev"]
        assert kube.status(name)["phase"] == "Completed"
    finally:
        platform.install()
    assert [order["id"] for order in eventually(shopper.orders, 60)] == [kube.status(name)["orderId"]]
    kube.delete(name)
