"""A port of this machine that leads to a Service in the cluster, by `kubectl port-forward`."""

import socket
import subprocess
import threading
from typing import Self

from devstack.kind.cluster import NAMESPACE, Cluster

SECONDS = 20


class Forward:
    """Leads to one pod of a Service; opened anew where that pod has gone."""

    def __init__(self, cluster: Cluster, service: str, port: int) -> None:
        self._command = ["kubectl", "--context", cluster.context, "-n", NAMESPACE]
        self._command += ["port-forward", f"svc/{service}", f":{port}"]
        self._env = cluster.programs.env
        self._process: subprocess.Popen[str] | None = None
        self._port = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def address(self) -> str:
        """Give `127.0.0.1:port`; AssertionError where there is no pod to lead to."""
        if self._process is None or self._process.poll() is not None or not self._answers():
            self.close()
            self._open()
        return f"127.0.0.1:{self._port}"

    def close(self) -> None:
        """End it."""
        if self._process:
            self._process.terminate()
            self._process.wait()
            self._process.stdout.close()
            self._process = None

    def _open(self) -> None:
        self._process = subprocess.Popen(
            self._command, env=self._env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        giving_up = threading.Timer(SECONDS, self._process.kill)
        giving_up.start()
        said = self._process.stdout.readline()  # Forwarding from 127.0.0.1:41234 -> 5432
        giving_up.cancel()
        assert said.startswith("Forwarding from"), f"{' '.join(self._command)}: {said}"
        self._port = int(said.split("->")[0].rpartition(":")[2])
        threading.Thread(target=self._process.stdout.read, daemon=True).start()  # so that it never blocks on its output

    def _answers(self) -> bool:
        """Whether the way is open: kubectl accepts, and closes at once where the pod has gone."""
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=2) as probe:
                probe.settimeout(0.2)
                return probe.recv(1) != b""
        except TimeoutError:
            return True  # nothing said, nothing closed: the server waits for the client to begin
        except OSError:
            return False
