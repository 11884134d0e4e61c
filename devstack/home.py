"""Where a stack keeps its data, logs and state, and where fetched programs are cached."""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEFAULT = ".cartwright"
LONGEST_SOCKET = 100  # a unix socket's path holds 107 bytes


class NotWritable(Exception):
    """A folder cannot be written to; `str()` names it, the reason, and what to do."""


def user_environment() -> dict[str, str]:
    """Return the environment that the user started us with."""
    return dict(os.environ)  # noqa: TID251 - devstack's one place


@contextmanager
def writing(folder: Path, remedy: str) -> Iterator[None]:
    """Raise NotWritable, with the remedy, where a file or folder in `folder` cannot be written."""
    try:
        yield
    except OSError as error:
        place = error.filename or folder
        raise NotWritable(f"cannot write {place}: {error.strerror}; {remedy}") from error


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    scratch = path.with_name(f".{path.name}.new")
    scratch.unlink(missing_ok=True)
    scratch.touch(mode=0o600)
    scratch.write_text(text)
    scratch.replace(path)


@dataclass(frozen=True, slots=True)
class Home:
    """One stack's folder."""

    path: Path

    @property
    def shown(self) -> Path:
        """The folder that a person knows it by: that of the checkout, unless DEVSTACK_HOME names another."""
        return self.path.parent if self.path.name == DEFAULT else self.path

    @property
    def plan(self) -> Path:
        """The file that tells the supervisor what to run."""
        return self.path / "plan.json"

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
        """The kubeconfig of the operator, which may do less."""
        return self.path / "operator.kubeconfig"

    @property
    def auditor_kubeconfig(self) -> Path:
        """The kubeconfig of the auditor, which may list Checkouts and nothing else."""
        return self.path / "auditor.kubeconfig"

    @property
    def own_cluster_kubeconfig(self) -> Path:
        """The kubeconfig of the user's own cluster: the one context that was current at `make up`."""
        return self.path / "own-cluster.kubeconfig"

    def writing(self) -> AbstractContextManager[None]:
        """Raise NotWritable where this folder cannot be written to."""
        return writing(self.path, "make that folder writable, or choose another: DEVSTACK_HOME=/path/to/folder make up")

    def make(self) -> None:
        """Make the folder; NotWritable where that is impossible."""
        with self.writing():
            (self.path / "logs").mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass

    def data(self, name: str) -> Path:
        """Return the folder of a store's data."""
        return self.path / "data" / name

    def log(self, name: str) -> Path:
        """Return the log of a part."""
        return self.path / "logs" / f"{name}.log"


def default_home(env: Mapping[str, str]) -> Home:
    """Return the home of `make up`."""
    return Home(Path(env.get("DEVSTACK_HOME") or ROOT / DEFAULT).resolve())


def cache(env: Mapping[str, str]) -> Path:
    """Return the folder of fetched programs."""
    base = env.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "cartwright"
