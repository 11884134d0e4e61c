"""The cluster itself: made, found again, deleted."""

import json
import re
import tempfile

from devstack.home import ROOT
from devstack.kind.programs import KindError, Programs
from devstack.ports import holder, is_taken

CONFIG = ROOT / "manifests" / "kind.yaml"
NAMESPACE = "cartwright"
NODE_PORT = 30080  # the gateway's, as in manifests/kind.yaml
WAIT = "180s"


class Cluster:
    """A kind cluster by its name."""

    def __init__(self, programs: Programs, name: str) -> None:
        self.programs = programs
        self.name = name
        self.context = f"kind-{name}"
        self.node = f"{name}-control-plane"

    def exists(self) -> bool:
        """Whether kind knows it."""
        return self.name in self.programs.run("kind", "get", "clusters").split()

    def check(self) -> None:
        """Do nothing where it answers; KindError with what to do where it does not."""
        if self.programs.code("kubectl", "--context", self.context, "get", "--raw", "/readyz", "--request-timeout=10s"):
            raise KindError(
                f"the cluster {self.name!r} is there but does not answer: docker start {self.node} wakes one that sleeps; "
                "otherwise make kind-down deletes it"
            )

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
                self.programs.run("kind", "create", "cluster", *words, *(["--image", image] if image else []))
            except BaseException:
                self.delete()
                raise

    def delete(self) -> None:
        """Delete it with all that is in it."""
        self.programs.run("kind", "delete", "cluster", "--name", self.name)

    def port(self) -> int:
        """Give the port of this machine at which the gateway is."""
        shown = self.programs.run("docker", "inspect", self.node)
        ports = json.loads(shown)[0]["NetworkSettings"]["Ports"]
        return int(ports[f"{NODE_PORT}/tcp"][0]["HostPort"])

    def has(self, image: str) -> bool:
        """Whether the node has an image."""
        return not self.programs.code("docker", "exec", self.node, "crictl", "inspecti", image)

    def load(self, image: str) -> None:
        """Put an image of this machine into the node."""
        self.programs.run("kind", "load", "docker-image", "--name", self.name, image)

    def prepare(self) -> None:
        """Make the namespace, held to the strictest pod security standard, and make it the context's own."""
        namespace = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        }
        self.kubectl("apply", "-f", "-", given=json.dumps(namespace))
        self.programs.run("kubectl", "config", "set-context", self.context, f"--namespace={NAMESPACE}")

    def kubectl(self, *words: str, given: str = "") -> str:
        """Run kubectl on it, and give what it prints."""
        return self.programs.run("kubectl", "--context", self.context, *words, given=given)

    def pods(self) -> dict[str, str]:
        """Give how each pod of the platform is: `2/3 Running`."""
        listed = json.loads(self.kubectl("-n", NAMESPACE, "get", "pods", "-o", "json"))["items"]
        return {pod["metadata"]["name"]: _state(pod["status"]) for pod in listed}


def _state(status: dict[str, object]) -> str:
    containers = [*_list(status, "initContainerStatuses"), *_list(status, "containerStatuses")]
    waiting = [one["state"]["waiting"].get("reason", "") for one in containers if "waiting" in one["state"]]
    trouble = next((reason for reason in waiting if reason not in ("", "PodInitializing")), status["phase"])
    ready = sum(bool(one["ready"]) for one in containers)
    return f"{ready}/{len(containers)} {trouble}"


def _list(status: dict[str, object], name: str) -> list[dict[str, dict[str, dict[str, str]]]]:
    found = status.get(name, [])
    return found if isinstance(found, list) else []
