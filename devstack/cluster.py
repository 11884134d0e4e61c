"""What an API server must hold before the operator can work, and how a cluster of the user's own is chosen.

The user's own cluster is used on an explicit word alone, `CLUSTER=mine`: KUBECONFIG is exported in many shells, and often
names a cluster that others work on.
"""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from devstack import apiserver, fetch
from devstack.home import ROOT, Home, write_secret
from devstack.progress import Say

CRDS = ROOT / "crds" / "checkouts.yaml"
ROLE = ROOT / "manifests" / "operator-rbac.yaml"
AUDITOR_ROLE = ROOT / "manifests" / "auditor-rbac.yaml"
ADMISSION = ROOT / "manifests" / "admission.yaml"
SECONDS = 30
ANSWER_SECONDS = 10
MINE = "mine"
WITHOUT = "leave CLUSTER=mine out to have an API server started here"


class ClusterError(Exception):
    """The API server did not do what it was asked; `str()` has its words."""


@dataclass(frozen=True, slots=True)
class Context:
    """The cluster that a stack works with: the context of a kubeconfig."""

    name: str
    server: str
    namespace: str
    """The namespace that the operator watches."""

    def as_dict(self) -> dict[str, str]:
        """Return it as plan.json holds it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Cluster:
    """An API server, with the identity that a kubeconfig gives."""

    kubectl: Path
    kubeconfig: str
    home: Home
    env: Mapping[str, str]

    def check(self) -> None:
        """Raise ClusterError where the server does not answer."""
        self.run("get", "--raw", "/version", seconds=ANSWER_SECONDS)

    def prepare(self, *, role: bool) -> None:
        """Bring the Checkout resource up to date and wait until it is served. `role` adds the operator's role, the auditor's, and the policies.

        The policies warn of a Checkout without an idempotency key, and refuse who has no right to buy for its user.
        """
        files = [CRDS, ROLE, AUDITOR_ROLE, ADMISSION] if role else [CRDS]
        # Server-side, so that a field that a new version lacks goes, and by force: these objects are ours.
        named = [word for path in files for word in ("-f", str(path))]
        self.run("apply", "--server-side", "--force-conflicts", "--field-manager=cartwright", *named)
        self.run("wait", "--for=condition=Established", f"--timeout={SECONDS}s", "-f", str(CRDS))

    def run(self, *words: str, seconds: int = SECONDS) -> str:
        """Run kubectl, and return what it prints."""
        cache = self.home.path / "kubectl"  # what it remembers of a server goes with the server
        command = [str(self.kubectl), f"--cache-dir={cache}", f"--request-timeout={seconds}s", *words]
        env = dict(self.env) | {"KUBECONFIG": self.kubeconfig}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ClusterError(f"kubectl {words[0]}: {done.stderr.strip()}")
        return done.stdout


def is_own(env: Mapping[str, str]) -> bool:
    """Return whether the user asks for their own cluster; ClusterError for a word that means nothing."""
    word = env.get("CLUSTER", "")
    if word not in {"", MINE}:
        raise ClusterError(
            f"CLUSTER={word}: the only choice is CLUSTER={MINE}, your own cluster; unset it to have an API server started here"
        )
    return word == MINE


def kubectl_for_own(env: Mapping[str, str], say: Say) -> Path:
    """Return the user's own kubectl, which fits their cluster, or ours where there is none."""
    return fetch.on_path("kubectl", env) or apiserver.kubectl(env, say)


def choose_own(env: Mapping[str, str], home: Home, say: Say) -> tuple[Context, Cluster]:
    """Return the current context of the user's kubeconfig, say which it is, and check that it answers.

    That context is copied into the stack's folder: a context that is chosen later, for other work, never leads the operator
    elsewhere. Raises ClusterError, with what to do, where there is no such file, context or cluster.
    """
    theirs = kubeconfig_of(env)
    _check_file(theirs, home)
    kubectl = kubectl_for_own(env, say)
    try:
        shown = Cluster(kubectl, theirs, home, env).run(
            "config", "view", "--minify", "--flatten", "--raw", "-o", "json"
        )
        config = json.loads(shown)
        context, cluster = config["contexts"][0], config["clusters"][0]["cluster"]
    except (ClusterError, LookupError, TypeError) as error:
        raise ClusterError(
            f"CLUSTER={MINE}: {theirs} has no current context; choose one: kubectl config use-context NAME, or {WITHOUT}"
            f" ({_last_line(str(error))})"
        ) from error
    chosen = Context(context["name"], cluster["server"], context["context"].get("namespace") or apiserver.NAMESPACE)
    with home.writing():
        write_secret(home.own_cluster_kubeconfig, shown)
    own = Cluster(kubectl, str(home.own_cluster_kubeconfig), home, env)
    say(f'CLUSTER={MINE}: using your cluster, the context "{chosen.name}" ({chosen.server}) of {theirs}.')
    try:
        own.check()
    except ClusterError as error:
        raise ClusterError(
            f'the context "{chosen.name}" ({chosen.server}) does not answer: {_last_line(str(error))}\n'
            f"Start that cluster, choose another context (kubectl config use-context NAME), or {WITHOUT}."
        ) from error
    return chosen, own


def prepare_own(chosen: Context, own: Cluster, say: Say) -> None:
    """Put the definition of the Checkout resource into the user's own cluster, and say so."""
    say(f'putting the Checkout resource into the context "{chosen.name}"')
    try:
        own.prepare(role=False)
    except ClusterError as error:
        raise ClusterError(
            f'the context "{chosen.name}" refuses the Checkout resource: {_last_line(str(error))}'
        ) from error


def kubeconfig_of(env: Mapping[str, str]) -> str:
    """Return the user's kubeconfig as kubectl finds it: the files of KUBECONFIG, or that of their home folder."""
    return env.get("KUBECONFIG") or str(Path(env.get("HOME") or Path.home()) / ".kube" / "config")


def _check_file(named: str, home: Home) -> None:
    files = [Path(name) for name in named.split(":") if name]
    if home.kubeconfig in files:
        raise ClusterError(
            f"CLUSTER={MINE}, but KUBECONFIG names the API server of make up itself, as make env sets it; name your own"
            f" cluster's file: KUBECONFIG=~/.kube/config CLUSTER={MINE} make up"
        )
    if not any(path.is_file() for path in files):
        raise ClusterError(
            f"CLUSTER={MINE}: there is no file {' or '.join(map(str, files))}; name your cluster's file in KUBECONFIG,"
            f" or {WITHOUT}"
        )


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else "no reason given"
