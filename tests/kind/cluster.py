"""The platform on the cluster of `make kind-up`, with the interface that the end-to-end tests use on devstack."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from devstack.home import ROOT, user_environment
from devstack.kind.cluster import NAMESPACE, Cluster, of
from devstack.kind.helm import PLATFORM, STORES, helm, install_platform
from devstack.kind.images import TARGETS, name
from devstack.kind.programs import KindError
from devstack.table import part
from tests.kind.forward import Forward
from tests.kube import Kube
from tests.platforms import Platform, total

RELEASE = PLATFORM
BEFORE = "before"
KILL = ("ctr", "-n", "k8s.io", "task", "kill", "-s", "SIGKILL")
STORE_NAMES = {"postgres": "postgresql", "redis": "redis", "mongodb": "mongodb", "kafka": "kafka"}


class Pods:
    """The parts of the platform on a cluster: deployments of one pod, which can be stopped, started and killed."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def kubectl(self, *words: str, given: str = "") -> str:
        """Run kubectl in the platform's namespace, and return what it prints; KindError where it fails."""
        return self.cluster.kubectl("-n", NAMESPACE, *words, given=given)

    def get(self, *words: str) -> dict[str, Any]:
        """Return what `kubectl get` finds."""
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def of(self, name: str) -> list[dict[str, Any]]:
        """Return the pods of a part that are not on their way out."""
        found = self.get("pods", "-l", _selector(name))["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def all(self, release: str) -> list[dict[str, Any]]:
        """Return the pods of a release that are there to stay."""
        jobs = "migrations,test"
        selector = f"app.kubernetes.io/instance={release},app.kubernetes.io/component notin ({jobs})"
        return self.get("pods", "-l", selector)["items"]

    def pid(self, name: str) -> str | int:
        """Return the id of the container that a part runs in; 0 where none is ready."""
        for pod in self.of(name):
            status = pod["status"]
            for one in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
                if one["name"] == _container(name) and one["ready"]:
                    return one["containerID"].removeprefix("containerd://")
        return 0

    def kill(self, name: str) -> str | int:
        """Kill a part's process by SIGKILL, and return the id of its container; the kubelet starts it again."""
        before = self.pid(name)
        self.cluster.programs.run("docker", "exec", self.cluster.node, *KILL, str(before))
        return before

    def stop(self, name: str) -> None:
        """Stop a part, and keep it stopped."""
        self.kubectl("scale", _workload(name), "--replicas=0")
        self.kubectl("wait", "--for=delete", "pod", "-l", _selector(name), "--timeout=90s")

    def start(self, name: str) -> None:
        """Start a part that was stopped."""
        self.kubectl("scale", _workload(name), "--replicas=1")

    def wait_ready(self, name: str, timeout: float = 120) -> None:
        """Wait until a part is ready."""
        self.kubectl("rollout", "status", _workload(name), f"--timeout={max(timeout, 120):.0f}s")


class OnKind(Platform):
    """The platform on kind, with access to the databases, the bank and the metrics for tests."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.stack = Pods(cluster)
        self._tag = json.loads(self.helm("get", "values", RELEASE, "-o", "json"))["image"]["tag"]
        self._postgres = Forward(cluster, _selector("postgres"), 5432)
        self._secret = {
            key: base64.b64decode(value).decode() for key, value in self.stack.get("secret", STORES)["data"].items()
        }
        self._kubeconfig = ROOT / ".cartwright" / "kind" / "kubeconfig"
        self._kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        self._kubeconfig.write_text(cluster.programs.run("kind", "get", "kubeconfig", "--name", cluster.name))

    @property
    def urls(self) -> dict[str, str]:
        """The addresses, as this machine reaches them."""
        there = f"{STORES}-postgresql:5432"
        here = self._postgres.address()
        return {
            "CARTWRIGHT_URL": f"http://127.0.0.1:{self.cluster.port()}",
            "POSTGRES_URL": self._secret["postgresql"].replace(there, here),
            "BANK_POSTGRES_URL": self._secret["bankPostgresql"].replace(there, here),
        }

    def helm(self, *words: str) -> str:
        """Run helm in the platform's namespace, and return what it prints."""
        return self.cluster.programs.run(*helm(self.cluster, *words))

    def install(self) -> None:
        """Install the platform or upgrade it as `make kind-up` does."""
        self.cluster.programs.run(*install_platform(self.cluster, self._tag))

    def install_before(self, chart: Path) -> None:
        """Install another chart in its place, as the release before: under another tag, so that an upgrade makes new pods."""
        for target in TARGETS:
            names = (name(target, self._tag), name(target, BEFORE))
            tag = ("ctr", "-n", "k8s.io", "images", "tag", "--force", *names)
            self.cluster.programs.run("docker", "exec", self.cluster.node, *tag)
        self.cluster.programs.run(*install_platform(self.cluster, BEFORE, chart))

    def kube(self) -> Kube:
        """Return the cluster's API server."""
        return Kube(self._kubeconfig, NAMESPACE, Path("kubectl"))

    def metric(self, part_name: str, name: str) -> float:
        """Return the sum of a metric's samples in the pod of a part."""
        pod = self.stack.of(part_name)[0]["metadata"]["name"]
        port = part(part_name).ports[-1][1]
        page = self.stack.kubectl("get", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:{port}/proxy/metrics")
        return total(page, name)

    @contextmanager
    def bank_address(self) -> Iterator[str]:
        """Return the address of the bank, which is reachable inside the `with` block."""
        with Forward(self.cluster, _selector("bank"), 50058) as forward:
            yield forward.address()

    def close(self) -> None:
        """Close the connections into the cluster."""
        self._postgres.close()


def on_kind() -> Iterator[OnKind]:
    """Return the running platform of `make kind-up`; its bank approves while the tests run."""
    cluster = of(user_environment())
    try:
        cluster.programs.check()
        there = cluster.exists()
        if there:
            cluster.check()
    except KindError as error:
        pytest.exit(str(error), returncode=1)
    if not there:
        pytest.exit(f"there is no cluster {cluster.name!r}: make kind-up", returncode=1)
    platform = OnKind(cluster)
    platform.bank("approve")
    yield platform
    platform.bank("reset")
    platform.close()


def _selector(name: str) -> str:
    if name in STORE_NAMES:
        return f"app.kubernetes.io/instance={STORES},app.kubernetes.io/component={STORE_NAMES[name]}"
    return f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={_service(name)}"


def _workload(name: str) -> str:
    if name in STORE_NAMES:
        return f"statefulset/{STORES}-{STORE_NAMES[name]}"
    return f"deployment/{RELEASE}-{_service(name)}"


def _container(name: str) -> str:
    """Return the container of a part: a worker's is called after its role, `consumer`."""
    return STORE_NAMES.get(name) or name.rpartition("-")[2]


def _service(name: str) -> str:
    """Return the service that a part runs in: workers are sidecars, `orders-consumer` of `orders`."""
    return name.split("-", maxsplit=1)[0]
