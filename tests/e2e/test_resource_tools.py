"""Checkouts in the hands of people and of GitOps tools: kubectl as it is, against the API server and the operator."""

import subprocess

import pytest
import yaml

from tests.e2e.outages import away
from tests.kube import MOUSE

pytestmark = [pytest.mark.e2e, pytest.mark.local]  # kubectl is the platform's own
CAT = [{"productId": 3, "quantity": 1}]


@pytest.fixture
def manifest(tmp_path):
    """Write the manifest of a Checkout, and give its path."""

    def manifest(metadata, status=None, **spec):
        body = {"apiVersion": "cartwright.dev/v1alpha1", "kind": "Checkout", "metadata": metadata, "spec": spec}
        path = tmp_path / "checkout.yaml"
        path.write_text(yaml.safe_dump(body | ({"status": status} if status else {})))
        return str(path)

    return manifest


def refused(kube, *words):
    """Run kubectl where it must fail, and give what it says."""
    with pytest.raises(subprocess.CalledProcessError) as error:
        kube.kubectl(*words)
    return error.value.stderr


def metadata_of(kube, name):
    """Give its labels and annotations."""
    metadata = kube.get(name)["metadata"]
    return metadata.get("labels", {}), metadata.get("annotations", {})


def story(kube, name):
    """Give (type, reason, message) of each event that `kubectl describe` shows, in its order."""
    _, _, events = kube.kubectl("describe", "co", name).partition("\nEvents:")
    lines = [line.split(None, 4) for line in events.splitlines() if "cartwright-operator" in line]
    return [(kind, reason, message) for kind, reason, _, _, message in lines]


def test_labels_and_annotations(kube, platform, shopper, manifest, eventually, bought) -> None:
    """Labels and annotations are kept by the operator, may be changed at any time, and buy nothing."""
    platform.bank("hang", shopper.user_id)
    name, team = f"labels-{shopper.user_id}", {"team": "shop", "cartwright.dev/origin": "ours"}
    metadata = {"name": name, "labels": team, "annotations": {"note": "a gift"}}
    kube.kubectl("apply", "-f", manifest(metadata, userId=shopper.user_id, items=MOUSE))
    eventually(lambda: kube.status(name).get("phase") == "Paying")
    kube.kubectl("label", "co", name, "team-", "stage=paying")
    kube.kubectl("annotate", "--overwrite", "co", name, "note=two gifts")
    platform.bank("approve", shopper.user_id)
    status = eventually(lambda: kube.finished(name), 60)
    labels, annotations = metadata_of(kube, name)
    assert labels == {"stage": "paying", "cartwright.dev/origin": "ours"}
    assert annotations["note"] == "two gifts"
    kube.kubectl("label", "co", name, "stage=done", "--overwrite")
    assert kube.kubectl("get", "co", "-l", "stage=done", "-o", "name") == f"checkout.cartwright.dev/{name}\n"
    assert kube.status(name) == status
    assert kube.get(name)["metadata"]["generation"] == status["observedGeneration"] == 1
    assert bought(shopper) == 1


def test_replace(kube, shopper, manifest, eventually, bought) -> None:
    """`kubectl replace` changes what may be changed, keeps the status, and refuses the rest in words."""
    name = kube.apply(userId=shopper.user_id, items=MOUSE)
    status = eventually(lambda: kube.finished(name))
    kept = {"userId": shopper.user_id, "items": MOUSE}
    changed = manifest({"name": name, "labels": {"a": "b"}}, {"phase": "Failed"}, **kept, ttlSecondsAfterFinished=900)
    assert "replaced" in kube.kubectl("replace", "-f", changed)
    shown = eventually(lambda: (now := kube.status(name)).get("observedGeneration") == 2 and now, 40)
    assert {field for field in shown if shown[field] != status[field]} == {"observedGeneration", "conditions"}
    assert kube.get(name)["spec"]["ttlSecondsAfterFinished"] == 900
    other = manifest({"name": name}, userId=shopper.user_id, items=CAT)
    assert "spec cannot be changed after creation" in refused(kube, "replace", "-f", other)
    assert bought(shopper) == 1


def test_generate_name(kube, shopper, manifest, eventually, bought) -> None:
    """`generateName` with a key is one purchase under each name, and without a key each creation buys."""
    for key, purchases in (("a ticket", 1), (None, 3)):
        spec = {"userId": shopper.user_id, "items": MOUSE} | ({"idempotencyKey": key} if key else {})
        path = manifest({"generateName": "ticket-"}, **spec)
        names = [kube.kubectl("create", "-f", path, "-o", "name").strip().partition("/")[2] for _ in range(2)]
        assert len(set(names)) == 2
        orders = {eventually(lambda name=name: kube.finished(name))["orderId"] for name in names}
        assert len(orders) == (1 if key else 2)
        assert bought(shopper) == purchases


def test_server_side_apply(kube, shopper, manifest, eventually, bought) -> None:
    """Applied again it changes nothing; two tools that want different things meet a conflict, and never the operator."""
    name = f"applied-{shopper.user_id}"
    gitops = ("apply", "--server-side", "--field-manager=gitops", "-f")
    spec = {"userId": shopper.user_id, "items": MOUSE, "ttlSecondsAfterFinished": 900}
    kube.kubectl(*gitops, manifest({"name": name, "labels": {"by": "gitops"}}, **spec))
    eventually(lambda: kube.finished(name))
    before = kube.get(name)["metadata"]["resourceVersion"]
    kube.kubectl(*gitops, manifest({"name": name, "labels": {"by": "gitops"}}, **spec))
    assert kube.get(name)["metadata"]["resourceVersion"] == before
    person = ("apply", "--server-side", "--field-manager=person", "-f")
    shorter = manifest({"name": name}, userId=shopper.user_id, ttlSecondsAfterFinished=800)
    assert 'conflict with "gitops": .spec.ttlSecondsAfterFinished' in refused(kube, *person, shorter)
    kube.kubectl(*person, shorter, "--force-conflicts")
    assert kube.get(name)["spec"]["ttlSecondsAfterFinished"] == 800
    without = manifest({"name": name}, userId=shopper.user_id, items=MOUSE)
    kube.kubectl(*gitops, without)  # what a tool no longer lists, and nobody else has, goes
    assert metadata_of(kube, name)[0] == {}
    assert kube.get(name)["spec"]["ttlSecondsAfterFinished"] == 800
    assert bought(shopper) == 1


def test_wait(kube, platform, shopper, eventually) -> None:
    """`kubectl wait` waits for a field, for a condition, and for the deletion after its time to live."""
    platform.bank("hang", shopper.user_id)
    name = kube.apply(userId=shopper.user_id, items=MOUSE, ttlSecondsAfterFinished=2)
    of = f"checkout/{name}"
    kube.kubectl("wait", "--for=jsonpath={.status.phase}=Paying", of, "--timeout=30s")
    kube.kubectl("wait", "--for=condition=InventoryReserved", of, "--timeout=30s")
    kube.kubectl("wait", '--for=jsonpath={.status.conditions[?(@.type=="Finished")].status}=False', of)
    assert "condition not met" in refused(kube, "wait", "--for=condition=Finished", of, "--timeout=0s")
    platform.bank("approve", shopper.user_id)
    kube.kubectl("wait", "--for=jsonpath={.status.orderId}", of, "--timeout=30s")
    kube.kubectl("wait", "--for=delete", of, "--timeout=30s")


def test_field_selectors(kube, platform, shopper, eventually) -> None:
    """Checkouts are found, waited for and deleted by their phase, by their user and by who manages them."""
    platform.bank("decline", shopper.user_id)
    failed = kube.apply(userId=shopper.user_id, items=MOUSE)
    eventually(lambda: kube.finished(failed))
    platform.bank("approve", shopper.user_id)
    bought = kube.apply(userId=shopper.user_id, items=MOUSE)
    eventually(lambda: kube.finished(bought))

    def found(phase):
        selector = f"status.phase={phase},spec.userId={shopper.user_id},spec.managedBy=operator"
        return kube.kubectl("get", "co", "-o", "name", "--field-selector", selector).split()

    assert found("Completed") == [f"checkout.cartwright.dev/{bought}"]
    assert found("Failed") == [f"checkout.cartwright.dev/{failed}"]
    kube.kubectl("delete", "co", "--field-selector", f"status.phase=Failed,spec.userId={shopper.user_id}")
    assert (kube.get(failed), found("Failed")) == (None, [])
    assert kube.get(bought)


def test_a_watch_reads_well(kube, platform, shopper, eventually, tmp_path) -> None:
    """`kubectl get co -w` prints what happens line by line, each within 100 characters, and goes forward only."""
    platform.bank("hang", shopper.user_id)
    command = [str(kube.program), f"--kubeconfig={kube.kubeconfig}", f"--namespace={kube.namespace}", "get", "co", "-w"]
    command += [f"--cache-dir={kube.kubeconfig.parent / 'kubectl'}", f"--field-selector=spec.userId={shopper.user_id}"]
    shown = tmp_path / "shown"
    with shown.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as watching:
        try:
            name = kube.apply(userId=shopper.user_id, items=MOUSE)
            eventually(lambda: "Paying" in shown.read_text(), 30)
            platform.bank("approve", shopper.user_id)
            eventually(lambda: "Completed" in shown.read_text(), 60)
        finally:
            watching.terminate()
    head, *lines = shown.read_text().splitlines()
    assert head.split() == ["NAME", "PHASE", "STEP", "PROGRESS", "TOTAL", "ORDER", "AGE"]
    assert all(line.startswith(name) and len(line) <= 100 for line in lines)
    phases = [line.split()[1] for line in lines if len(line.split()) > 2]  # the first line may have an age only
    assert phases == sorted(phases, key=["Pending", "Reserving", "Paying", "Confirming", "Completed"].index)


def test_the_story_of_a_good_purchase(kube, shopper, eventually) -> None:
    """A purchase that goes straight on has no events."""
    name = kube.apply(userId=shopper.user_id, items=MOUSE)
    eventually(lambda: kube.finished(name))
    *_, last = kube.kubectl("describe", "co", name).splitlines()
    assert last.split() == ["Events:", "<none>"]


def test_the_story_of_waiting(kube, platform, shopper, eventually) -> None:
    """A checkout that waits for another one of the same cart says for which, once, and then how it ended."""
    shopper.add(2, 1)
    platform.bank("hang", shopper.user_id)
    first = kube.apply(userId=shopper.user_id)
    eventually(lambda: kube.status(first).get("phase") == "Paying")
    second = kube.apply(userId=shopper.user_id)
    eventually(lambda: story(kube, second), 60)
    platform.bank("approve", shopper.user_id)
    eventually(lambda: kube.finished(second), 90)
    waiting, ended = story(kube, second)
    assert waiting[:2] == ("Normal", "Waiting")
    assert kube.status(first)["checkoutId"] in waiting[2]
    assert ended == ("Warning", "EmptyCart", "the cart was empty: there was nothing to buy")


def test_the_story_of_an_outage(kube, platform, shopper, eventually) -> None:
    """A step that is tried again says what does not answer and since when, and the purchase that follows ends the story."""
    with away(platform, "inventory"):
        name = kube.apply(userId=shopper.user_id, items=MOUSE)
        eventually(lambda: story(kube, name), 60)
    status = eventually(lambda: kube.finished(name), 90)
    retrying, ended = story(kube, name)
    assert retrying[:2] == ("Warning", "Retrying")
    assert retrying[2].startswith("Reserve, which asks the inventory, has been tried again since 20")
    assert "inventory" in retrying[2].rpartition(": ")[2]
    assert ended == ("Normal", "Completed", f"the order {status['orderId']} is made")


def test_the_story_of_a_compensation(kube, platform, shopper, eventually) -> None:
    """A compensation that lasts is told, then what delays it, then the failure with what was given back."""
    platform.bank("hang", shopper.user_id)
    name = kube.apply(userId=shopper.user_id, items=MOUSE)
    eventually(lambda: kube.status(name).get("phase") == "Paying")
    with away(platform, "inventory"):
        platform.bank("decline", shopper.user_id)
        eventually(lambda: any("Release" in message for _, _, message in story(kube, name)), 90)
    eventually(lambda: kube.finished(name), 90)
    compensating, retrying, ended = story(kube, name)[-3:]
    assert compensating == ("Normal", "Compensating", "the bank declined the payment: what is held is being given back")
    assert retrying[:2] == ("Warning", "Retrying")
    assert "Release, which asks the inventory" in retrying[2]
    assert ended == (
        "Warning",
        "PaymentDeclined",
        "the bank declined the payment; the stock that was held is back",
    )


def test_the_story_without_the_checkout_service(kube, platform, shopper, eventually) -> None:
    """A resource that cannot even be started says that the checkout service does not answer."""
    with away(platform, "checkout"):
        name = kube.apply(userId=shopper.user_id, items=MOUSE)
        eventually(lambda: story(kube, name), 60)
    eventually(lambda: kube.finished(name), 90)
    assert [(kind, reason) for kind, reason, _ in story(kube, name)] == [("Warning", "Retrying")]
    assert "the checkout service: UNAVAILABLE" in story(kube, name)[0][2]
