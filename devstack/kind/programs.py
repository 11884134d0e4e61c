"""Runs the programs that a kind cluster needs, and says what to do where one is missing or fails."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from devstack.home import ROOT

WHERE = {
    "docker": "install Docker, and start it: https://docs.docker.com/engine/install",
    "kind": "https://kind.sigs.k8s.io/docs/user/quick-start/#installation",
    "kubectl": "https://kubernetes.io/docs/tasks/tools",
    "helm": "https://helm.sh/docs/intro/install (version 3.14 or newer)",
}
LAST_LINES = 15


class KindError(Exception):
    """A step failed; `str()` says which, why, and what to do."""


class Programs:
    """The programs, run with one environment."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = dict(env)

    def check(self) -> None:
        """Raise KindError where one of them is missing or Docker does not answer."""
        path = self.env.get("PATH")
        if missing := [name for name in WHERE if not shutil.which(name, path=path)]:
            raise KindError("\n".join(f"{name} is missing: {WHERE[name]}" for name in missing))
        if self.code("docker", "info"):
            raise KindError("Docker does not answer: is it running, and may you use it? (docker info says more)")

    def run(self, *command: str, given: str = "") -> str:
        """Run a command to its end and return what it printed; KindError with its last lines where it fails."""
        done = subprocess.run(command, cwd=ROOT, env=self.env, input=given, capture_output=True, text=True, check=False)
        if done.returncode:
            last = "\n".join((done.stderr + done.stdout).strip().splitlines()[-LAST_LINES:])
            raise KindError(f"this failed: {' '.join(command)}\n{last}")
        return done.stdout

    def text(self, *command: str) -> str:
        """Run a command and return what it printed, empty where it fails."""
        return subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, check=False).stdout

    def code(self, *command: str) -> int:
        """Run a command and return its exit code; what it prints is not shown."""
        return subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, check=False).returncode

    def start(self, log: Path, *command: str) -> "subprocess.Popen[bytes]":
        """Start a command whose output goes to a file."""
        with log.open("wb") as out:
            return subprocess.Popen(command, cwd=ROOT, env=self.env, stdout=out, stderr=subprocess.STDOUT)
