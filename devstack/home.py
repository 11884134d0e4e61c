"""Where a stack keeps its data, logs and state, and where fetched programs are cached."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONGEST_SOCKET = 100  # a unix socket's path holds 107 bytes


def user_environment() -> dict[str, str]:
    """Give the environment that the user started us with."""
    return dict(os.environ)  # noqa: TID251 - devstack's one place


@dataclass(frozen=True, slots=True)
class Home:
    """One stack's folder."""

    path: Path

    @property
    def state(self) -> Path:
        """The file that names the supervisor and every process it started."""
        return self.path / "state.json"

    @property
    def ports(self) -> Path:
        """The file that keeps the ports that were chosen."""
        return self.path / "ports.json"

    @property
    def socket(self) -> Path:
        """The supervisor's control socket."""
        inside = self.path / "control.sock"
        if len(str(inside)) <= LONGEST_SOCKET:
            return inside
        digest = hashlib.sha256(str(inside).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"cartwright-{digest}.sock"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of the person who started it."""
        return self.path / "kubeconfig"

    @property
    def operator_kubeconfig(self) -> Path:
        """The kubeconfig of the operator, who may do less."""
        return self.path / "operator.kubeconfig"

    def data(self, name: str) -> Path:
        """Give the folder of a store's data."""
        return self.path / "data" / name

    def log(self, name: str) -> Path:
        """Give the log of a part."""
        return self.path / "logs" / f"{name}.log"


def default_home(env: Mapping[str, str]) -> Home:
    """Give the home of `make up`."""
    return Home(Path(env.get("DEVSTACK_HOME") or ROOT / ".cartwright").resolve())


def cache(env: Mapping[str, str]) -> Path:
    """Give the folder of fetched programs."""
    base = env.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "cartwright"
