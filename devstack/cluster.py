"""What an API server must hold before the operator can work: its migration, safe to run again at any time."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack.home import ROOT, Home

CRDS = ROOT / "crds" / "checkouts.yaml"
ROLE = ROOT / "manifests" / "operator-rbac.yaml"
ADMISSION = ROOT / "manifests" / "admission.yaml"
SECONDS = 30


class ClusterError(Exception):
    """The API server did not do what it was asked; `str()` has its words."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """An API server, spoken to as the one whom a kubeconfig names."""

    kubectl: Path
    kubeconfig: str
    home: Home
    env: Mapping[str, str]

    def check(self) -> str:
        """Give the server's address; ClusterError where it does not answer."""
        self.run("get", "--raw", "/version")
        return self.run("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")

    def prepare(self, *, role: bool) -> None:
        """Bring the Checkout resource up to date and wait until it is served. `role` adds the operator's role and the warning.

        The warning is for a Checkout that is created without an idempotency key.
        """
        files = [CRDS, ROLE, ADMISSION] if role else [CRDS]
        # Server-side, so that a field that a new version lacks goes, and by force: these objects are ours.
        named = [word for path in files for word in ("-f", str(path))]
        self.run("apply", "--server-side", "--force-conflicts", "--field-manager=cartwright", *named)
        self.run("wait", "--for=condition=Established", f"--timeout={SECONDS}s", "-f", str(CRDS))

    def run(self, *words: str) -> str:
        """Run kubectl, and give what it prints."""
        cache = self.home.path / "kubectl"  # what it remembers of a server goes with the server
        command = [str(self.kubectl), f"--cache-dir={cache}", f"--request-timeout={SECONDS}s", *words]
        env = dict(self.env) | {"KUBECONFIG": self.kubeconfig}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ClusterError(f"kubectl {words[0]}: {done.stderr.strip()}")
        return done.stdout
