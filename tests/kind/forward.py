"""A port of this machine that leads to a pod in the cluster, by `kubectl port-forward`."""

import json
import subprocess
import threading
from typing import Self

from devstack.kind.cluster import NAMESPACE, Cluster

SECONDS = 20


class Forward:
    """Leads to the one pod of a component; opened anew where another has taken its place."""

    def __init__(self, cluster: Cluster, selector: str, port: int) -> None:
        self._cluster = cluster
        self._selector = selector
        self._target = port
        self._opening = threading.Lock()  # tests ask from many threads
        self._process: subprocess.Popen[str] | None = None
        self._uid = ""
        self._port = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def address(self) -> str:
        """Return `127.0.0.1:port`; AssertionError where there is no pod to lead to."""
        with self._opening:
            pod = self._pod()
            if self._process is None or self._process.poll() is not None or pod["uid"] != self._uid:
                self.close()
                self._open(pod)
            return f"127.0.0.1:{self._port}"

    def close(self) -> None:
        """End it."""
        if self._process:
            self._process.terminate()
            self._process.wait()
            self._process.stdout.close()
            self._process = None

    def _pod(self) -> dict[str, str]:
        query = ("-n", NAMESPACE, "get", "pods", "-l", self._selector, "-o", "json")
        pods = [pod["metadata"] for pod in json.loads(self._cluster.kubectl(*query))["items"]]
        found = [pod for pod in pods if "deletionTimestamp" not in pod]
        assert found, f"there is no pod {self._selector}"
        return found[0]

    def _open(self, pod: dict[str, str]) -> None:
        command = ["kubectl", "--context", self._cluster.context, "-n", NAMESPACE]
        command += ["port-forward", f"pod/{pod['name']}", f":{self._target}"]
        self._process = subprocess.Popen(
            command, env=self._cluster.programs.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        giving_up = threading.Timer(SECONDS, self._process.kill)
        giving_up.start()
        said = self._process.stdout.readline()  # Forwarding from 127.0.0.1:41234 -> 5432
        giving_up.cancel()
        assert said.startswith("Forwarding from"), f"{' '.join(command)}: {said}"
        self._uid = pod["uid"]
        self._port = int(said.split("->")[0].rpartition(":")[2])
        threading.Thread(target=self._process.stdout.read, daemon=True).start()  # so that it never blocks on its output
