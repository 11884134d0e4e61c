"""Migrations: everything that is kept is made before it is needed, in little room, and nothing of it is left over."""

import json
import threading

import pytest

from tests.charts.cases import BASE, CHART, Case, merged
from tests.charts.test_settings import process

HELM_WAITS = 300  # seconds, without --timeout
JOB = "/apis/batch/v1/namespaces/{}/jobs/cartwright-migrations"


def asked(rendering):
    """Give what a case says of its migrations."""
    return {"enabled": True, "hook": True} | rendering.case.values.get("migrations", {})


def keeping(rendering):
    """Give the services that keep something."""
    return {service for service, _ in (process(one) for _, one in rendering.platform)} - {
        "gateway",
        "console",
        "operator",
        "auditor",
    }


def migrated(pod):
    """Give the services whose migrations run in a pod, in order."""
    found = [process(container) for container in pod.containers]
    return [service for service, role in found if role == "migrate"]


def test_every_service_is_migrated(rendering):
    """Whatever keeps something is migrated before it runs: by the Job, or in each pod, or by somebody else."""
    told = asked(rendering)
    jobs = [pod for pod in rendering.pods if pod.component == "migrations"]
    assert len(jobs) == (told["enabled"] and told["hook"])
    for pod in jobs:
        assert sorted(migrated(pod)) == sorted(keeping(rendering))
    for pod in (one for one in rendering.pods if one.lasts):
        service = pod.component.partition("-")[0]
        own = told["enabled"] and not told["hook"] and service in keeping(rendering)
        assert migrated(pod) == ([service] if own else []), pod.name


def test_a_pod_migrates_before_anything_else_runs(rendered):
    """Without the hook a pod's workers and its service start once its migration is through."""
    for case in ("no-hook", "no-hook-deployments"):
        for pod in (one for one in rendered[case].pods if migrated(one)):
            assert process(pod.containers[0])[1] == "migrate", pod.name


def millicores(container):
    """Give the CPU that a container asks for."""
    return int(container["resources"]["requests"]["cpu"].removesuffix("m"))


def test_migrations_need_little_room(rendering):
    """The Job's migrations run one after the other: its pod asks for 50m of CPU in all."""
    for pod in (one for one in rendering.pods if one.component == "migrations"):
        assert not pod.sidecars
        most = max(millicores(one) for one in pod.spec["initContainers"])
        assert max(most, sum(millicores(one) for one in pod.spec["containers"])) == 50


def test_the_job_ends_before_helm_gives_up(rendered):
    """The Job is over before Helm's own time is, so that Helm says why it failed; what Helm forgets goes by itself."""
    (job,) = rendered["production"].of("Job")
    assert job["spec"]["activeDeadlineSeconds"] < HELM_WAITS
    assert job["spec"]["ttlSecondsAfterFinished"] <= 3600
    assert (
        job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    )  # the pods of each try, with their logs, stay as long
    tries = [10 * 2**number for number in range(job["spec"]["backoffLimit"])]
    assert sum(tries) < job["spec"]["activeDeadlineSeconds"]


def test_all_of_the_hook_is_deleted(rendering):
    """Every object of the hook is deleted whether it ended well or badly; the Job stays for an hour where that is asked for."""
    for one in rendering.objects:
        annotations = one["metadata"].get("annotations", {})
        if "pre-install" in annotations.get("helm.sh/hook", ""):
            assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
            wanted = {"before-hook-creation", "hook-succeeded", "hook-failed"}
            if one["kind"] == "Job" and asked(rendering).get("keepFailed"):
                wanted -= {"hook-failed"}
            assert set(annotations["helm.sh/hook-delete-policy"].split(",")) == wanted


def test_a_job_that_must_wait_longer(rendered):
    """The time, the tries and what becomes of a failed Job are as told."""
    (job,) = rendered["failed-job-kept"].of("Job")
    assert (job["spec"]["activeDeadlineSeconds"], job["spec"]["backoffLimit"]) == (900, 6)


@pytest.fixture(name="release")
def release_fixture(server, helm_on):
    """Install a release into a namespace of its own, and give how that ended; the release goes at the end."""
    namespace = "migrating"
    server.keep({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})

    def install(*words):
        values = json.dumps(merged(BASE, {"crds": {"enabled": False}, "operator": {"enabled": False}}))
        command = ("upgrade", "--install", "cartwright", str(CHART), "-n", namespace, "-f", "-", *words)
        return helm_on(*command, given=values)

    install.namespace = namespace
    yield install
    helm_on("uninstall", "cartwright", "-n", namespace, "--no-hooks")


def left(server, namespace):
    """Give the names of the hook's objects that are there."""
    found = []
    for path in ("apis/batch/v1", "apis/networking.k8s.io/v1", "api/v1"):
        kinds = {"apis/batch/v1": "jobs", "apis/networking.k8s.io/v1": "networkpolicies", "api/v1": "secrets"}
        url = f"{server.kube.url}/{path}/namespaces/{namespace}/{kinds[path]}"
        items = server.kube.session.get(url, timeout=10).json()["items"]
        found += [f"{kinds[path]}/{one['metadata']['name']}" for one in items]
    return [one for one in found if one.endswith("-migrations")]


@pytest.mark.real
def test_nothing_is_left_where_helm_gives_up(server, release):
    """Where stores never answer and Helm's time is over, neither the Job nor what it needed is left."""
    url = "stores.postgresql.url=postgresql://u:p@db.example/ecommerce,stores.postgresql.existingSecret="
    done = release("--timeout", "3s", "--set", url)
    assert done.returncode != 0
    assert "pre-install" in done.stderr
    assert left(server, release.namespace) == []


@pytest.mark.real
def test_helm_says_why(server, release, eventually):
    """Where the Job gives up, Helm says that it did and why, and nothing of it is left."""
    url = f"{server.kube.url}{JOB.format(release.namespace)}"
    ended = []
    helm = threading.Thread(target=lambda: ended.append(release("--timeout", "60s")))
    helm.start()
    try:
        eventually(lambda: server.kube.session.get(url, timeout=10).ok, 60)
        at = "2026-01-01T00:00:00Z"
        failed = {
            "status": "True",
            "reason": "DeadlineExceeded",
            "message": "Job was active longer than specified deadline",
        }
        conditions = [{"type": kind, "lastTransitionTime": at, **failed} for kind in ("FailureTarget", "Failed")]
        status = {"status": {"startTime": at, "failed": 1, "conditions": conditions}}
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = server.kube.session.patch(f"{url}/status", data=json.dumps(status), headers=headers, timeout=10)
        assert answer.ok, answer.text
    finally:
        helm.join(90)
    (done,) = ended
    assert done.returncode != 0
    assert "DeadlineExceeded" in done.stderr
    assert left(server, release.namespace) == []


@pytest.mark.real
def test_no_hook_waits(release):
    """With `migrations.hook=false` an installation waits for nothing that is not there yet."""
    done = release("--timeout", "60s", "--set", "migrations.hook=false")
    assert done.returncode == 0, done.stderr


def test_values_of_the_job(render):
    """What stands under `migrations` is the Job's alone."""
    values = merged(BASE, {"migrations": {"serviceAccountAnnotations": {"example.com/role": "migrator"}}})
    rendering = render(Case(values))
    account = rendering.named("ServiceAccount")["cartwright-migrations"]
    assert account["metadata"]["annotations"]["example.com/role"] == "migrator"
    assert account["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert rendering.pod("migrations").spec["serviceAccountName"] == "cartwright-migrations"
