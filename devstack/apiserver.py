"""Finds and starts etcd and the Kubernetes API server: enough of a cluster for resources, without nodes."""

import asyncio
import json
import re
import secrets
import ssl
import subprocess
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack import fetch, golang
from devstack.home import Home, write_secret
from devstack.ports import HOST
from devstack.probes import says_ok
from devstack.progress import Say

OPERATOR_USER = "cartwright-operator"
AUDITOR_USER = "cartwright-auditor"
NAMESPACE = "default"
SKEW = 1  # minor versions that kubectl may be away from its server


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the programs are."""

    etcd: Path
    apiserver: Path
    kubectl: Path


def find(env: Mapping[str, str], say: Say) -> Programs:
    """Find the programs: those of KUBEBUILDER_ASSETS, or of PATH, or ours, which are built where they are missing."""
    if assets := env.get("KUBEBUILDER_ASSETS"):
        found = [Path(assets).absolute() / name for name in ("etcd", "kube-apiserver", "kubectl")]
        if missing := [path.name for path in found if not path.exists()]:
            raise fetch.CannotFetch(
                f"KUBEBUILDER_ASSETS is set, but there is no {' and no '.join(missing)} in {assets};"
                " name a folder that has it, or unset KUBEBUILDER_ASSETS to have all built"
            )
        return Programs(*found)
    etcd, apiserver = fetch.on_path("etcd", env), fetch.on_path("kube-apiserver", env)
    if not etcd or not apiserver:  # a pair, or none: which two work together is what the pins know
        etcd, apiserver = golang.program("etcd", env, say), golang.program("kube-apiserver", env, say)
    return Programs(etcd, apiserver, kubectl(env, say))


def kubectl(env: Mapping[str, str], say: Say) -> Path:
    """Return a kubectl of a version that fits our API server."""
    if (assets := env.get("KUBEBUILDER_ASSETS")) and (Path(assets) / "kubectl").exists():
        return Path(assets).absolute() / "kubectl"
    if found := fetch.on_path("kubectl", env):
        command = [str(found), "version", "--client", "-o", "json"]
        shown = subprocess.run(command, env=dict(env), capture_output=True, text=True, check=False).stdout
        version = re.search(r'"gitVersion": *"v1\.(\d+)', shown)
        if version and abs(int(version[1]) - int(golang.VERSION.split(".")[1])) <= SKEW:
            return found
    return golang.program("kubectl", env, say)


def etcd_command(programs: Programs, data: Path, ports: Mapping[str, int]) -> list[str]:
    """Return the command that starts etcd. It syncs what it acknowledges, as it does anywhere."""
    data.chmod(0o700)
    client, peer = f"http://{HOST}:{ports['ETCD_PORT']}", f"http://{HOST}:{ports['ETCD_PEER_PORT']}"
    return [
        str(programs.etcd),
        f"--data-dir={data / 'member'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--log-level=warn",
    ]


def apiserver_command(programs: Programs, data: Path, ports: Mapping[str, int]) -> list[str]:
    """Prepare what the API server keeps beside etcd, and return the command that starts it."""
    data.chmod(0o700)
    certificate, key = data / "apiserver.crt", data / "apiserver.key"
    if not all(path.exists() and "-----END" in path.read_text() for path in (certificate, key)):
        certificate.unlink(missing_ok=True)  # it was killed while it made them; with one alone it would not start
        key.unlink(missing_ok=True)
    return [
        str(programs.apiserver),
        f"--etcd-servers=http://{HOST}:{ports['ETCD_PORT']}",
        f"--secure-port={ports['APISERVER_PORT']}",
        f"--bind-address={HOST}",
        f"--advertise-address={HOST}",  # without it a machine that has no network is refused
        "--endpoint-reconciler-type=none",  # nobody reaches it as a service from within
        f"--cert-dir={data}",
        # The key that it makes for its certificate signs tokens as well: nothing here asks for one, but it insists.
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--token-auth-file={_tokens(data)}",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",  # no controller makes the accounts that it asks for
        "--service-cluster-ip-range=10.0.0.0/24",
    ]


async def ready(home: Home, port: int) -> bool:
    """Return whether our API server, and no other program on its port, says that it is ready."""
    certificate = home.data("apiserver") / "apiserver.crt"
    try:
        trust = ssl.create_default_context(cafile=str(certificate))
        reader, writer = await asyncio.wait_for(asyncio.open_connection(HOST, port, ssl=trust), 2)
    except (OSError, TimeoutError):
        return False
    return await says_ok(reader, writer, "/readyz")


def write_kubeconfigs(home: Home, port: int) -> None:
    """Write the kubeconfigs of the person, of the operator and of the auditor."""
    data = home.data("apiserver")
    authority = "-----BEGIN" + (data / "apiserver.crt").read_text().rpartition("-----BEGIN")[2]
    users = [line.split(",") for line in _tokens(data).read_text().splitlines()]
    paths = (home.kubeconfig, home.operator_kubeconfig, home.auditor_kubeconfig)
    for (token, user, *_), path in zip(users, paths, strict=True):
        cluster = {
            "server": f"https://{HOST}:{port}",
            "certificate-authority-data": b64encode(authority.encode()).decode(),
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "cartwright", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [
                {"name": "cartwright", "context": {"cluster": "cartwright", "user": user, "namespace": NAMESPACE}}
            ],
            "current-context": "cartwright",
        }
        write_secret(path, json.dumps(config, indent=2) + "\n")  # JSON is YAML


def _tokens(data: Path) -> Path:
    """Return the file of tokens that the API server accepts, made once: kubeconfigs that were handed out stay valid."""
    path = data / "tokens.csv"
    text = path.read_text() if path.exists() else ""
    for user, group in (("admin", ',"system:masters"'), (OPERATOR_USER, ""), (AUDITOR_USER, "")):
        if f",{user},{user}" not in text:
            text += f"{secrets.token_urlsafe(32)},{user},{user}{group}\n"
            write_secret(path, text)
    return path
