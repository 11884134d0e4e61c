"""The cluster itself: made, found again, deleted.

kind makes its cluster the current context of the user's kubeconfig. Here that stays what it was, so that a command in
another terminal never reaches a cluster that its user has not chosen; every command of ours names its context.
"""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from devstack.home import ROOT, default_home
from devstack.kind.programs import KindError, Programs
from devstack.ports import holder, is_taken

CONFIG = ROOT / "manifests" / "kind.yaml"
NAMESPACE = "cartwright"
NODE_PORT = 30080  # the gateway's, as in manifests/kind.yaml
WAIT = "180s"
FOLDER = "cartwright.dev/folder"
"""The annotation of the namespace that names the folder whose `make kind-up` made it."""


class Cluster:
    """A kind cluster by its name."""

    def __init__(self, programs: Programs, name: str) -> None:
        self.programs = programs
        self.name = name
        self.context = f"kind-{name}"
        self.node = f"{name}-control-plane"

    def exists(self) -> bool:
        """Return whether kind knows it."""
        return self.name in self.programs.run("kind", "get", "clusters").split()

    def check(self) -> None:
        """Raise KindError, with what to do, where it does not answer or is another folder's."""
        if not self.answers():
            raise KindError(
                f"the cluster {self.name!r} is there but does not answer: docker start {self.node} wakes one that sleeps; "
                "otherwise make kind-down deletes it"
            )
        self.check_folder()

    def answers(self) -> bool:
        """Return whether its API server is ready."""
        ready = ("get", "--raw", "/readyz", "--request-timeout=10s")
        return not self.programs.code("kubectl", "--context", self.context, *ready)

    def check_folder(self) -> None:
        """Raise KindError where another folder of this machine made it: its platform is that folder's to change."""
        path = f"jsonpath={{.metadata.annotations.{FOLDER.replace('.', chr(92) + '.')}}}"
        folder = self.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", "-o", path).strip()
        if folder and folder != str(ROOT) and Path(folder).is_dir():
            raise KindError(
                f"the cluster {self.name!r} is that of {folder}: use it there, or have one of your own:"
                f" make kind-up KIND_CLUSTER={self.name}-2 GATEWAY_PORT=8090"
            )

    def current_context(self) -> str:
        """Return the context that kubectl uses where none is named; empty where there is none."""
        return self.programs.text("kubectl", "config", "current-context").strip()

    @contextmanager
    def keeping_context(self) -> Iterator[None]:
        """Keep the user's current context what it is, where they have one."""
        before = self.current_context()
        try:
            yield
        finally:
            if before not in {"", self.context, self.current_context()}:
                self.programs.run("kubectl", "config", "use-context", before)

    def make(self, image: str, port: int) -> None:
        """Make it, with the gateway's port mapped to `port` of this machine; KindError where that port is taken.

        Nothing of it stays where that fails or is interrupted.
        """
        if is_taken(port):
            raise KindError(
                f"port {port} is taken by {holder(port)}; end it, or choose another: make kind-up GATEWAY_PORT=8090"
            )
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
            config.write(re.sub(r"hostPort: \d+", f"hostPort: {port}", CONFIG.read_text()))
            config.flush()
            words = ["--name", self.name, "--config", config.name, "--wait", WAIT]
            try:
                with self.keeping_context():
                    self.programs.run("kind", "create", "cluster", *words, *(["--image", image] if image else []))
            except BaseException:
                self.delete()
                raise

    def delete(self) -> None:
        """Delete it with all that is in it."""
        with self.keeping_context():
            self.programs.run("kind", "delete", "cluster", "--name", self.name)

    def port(self) -> int:
        """Return the port of this machine that leads to the gateway."""
        shown = self.programs.run("docker", "inspect", self.node)
        ports = json.loads(shown)[0]["NetworkSettings"]["Ports"]
        return int(ports[f"{NODE_PORT}/tcp"][0]["HostPort"])

    def has(self, image: str) -> bool:
        """Return whether the node has an image."""
        return not self.programs.code("docker", "exec", self.node, "crictl", "inspecti", image)

    def load(self, images: Sequence[str]) -> None:
        """Put images of this machine into the node, in one archive: layers that they share are written once."""
        self.programs.run("kind", "load", "docker-image", "--name", self.name, *images)

    def prepare(self) -> None:
        """Make the namespace, with the strictest pod security standard, and make it the default of the context."""
        namespace = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": NAMESPACE,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
                "annotations": {FOLDER: str(ROOT)},
            },
        }
        self.kubectl("apply", "-f", "-", given=json.dumps(namespace))
        self.programs.run("kubectl", "config", "set-context", self.context, f"--namespace={NAMESPACE}")

    def kubectl(self, *words: str, given: str = "") -> str:
        """Run kubectl on it, and return what it prints."""
        return self.programs.run("kubectl", "--context", self.context, *words, given=given)

    def pods(self) -> dict[str, str]:
        """Return the state of each pod of the platform: `2/3 Running`."""
        listed = json.loads(self.kubectl("-n", NAMESPACE, "get", "pods", "-o", "json"))["items"]
        return {pod["metadata"]["name"]: _state(pod["status"]) for pod in listed}


def of(env: Mapping[str, str]) -> Cluster:
    """Return the cluster that KIND_CLUSTER names.

    A kubeconfig of `make up`, as `make env` sets it, is written anew at each `make up`, so it is not used for this cluster.
    """
    home = default_home(env)
    ours = {str(home.kubeconfig), str(home.own_cluster_kubeconfig)}
    env = {name: value for name, value in env.items() if name != "KUBECONFIG" or value not in ours}
    return Cluster(Programs(env), env.get("KIND_CLUSTER") or "cartwright")


def _state(status: dict[str, object]) -> str:
    containers = [*_list(status, "initContainerStatuses"), *_list(status, "containerStatuses")]
    waiting = [one["state"]["waiting"].get("reason", "") for one in containers if "waiting" in one["state"]]
    trouble = next((reason for reason in waiting if reason not in ("", "PodInitializing")), status["phase"])
    ready = sum(bool(one["ready"]) for one in containers)
    return f"{ready}/{len(containers)} {trouble}"


def _list(status: dict[str, object], name: str) -> list[dict[str, dict[str, dict[str, str]]]]:
    found = status.get(name, [])
    return found if isinstance(found, list) else []
