"""Installs the charts on a cluster: the same commands for `make kind-up` and for its tests."""

from pathlib import Path

from devstack.home import ROOT
from devstack.kind.cluster import NAMESPACE, NODE_PORT, Cluster

CHARTS = ROOT / "charts"
STORES, PLATFORM = "cartwright-stores", "cartwright"
INSTALL_SECONDS = 600


def helm(cluster: Cluster, *words: str) -> list[str]:
    """Return the command that runs helm in the platform's namespace."""
    return ["helm", "--kube-context", cluster.context, "-n", NAMESPACE, *words]


def install_stores(cluster: Cluster) -> list[str]:
    """Return the command that installs or upgrades the stores."""
    return _install(cluster, STORES, CHARTS / STORES)


def install_platform(cluster: Cluster, tag: str, chart: Path = CHARTS / PLATFORM) -> list[str]:
    """Return the command that installs or upgrades the platform: for trials, with our images of a tag."""
    port = f"gateway.service.type=NodePort,gateway.service.nodePort={NODE_PORT}"
    values = ("-f", str(chart / "values-dev.yaml"), "--set-string", f"image.tag={tag}", "--set", port)
    return _install(cluster, PLATFORM, chart, *values)


def _install(cluster: Cluster, release: str, chart: Path, *more: str) -> list[str]:
    waiting = ("--wait", "--wait-for-jobs", "--timeout", f"{INSTALL_SECONDS}s")
    return helm(cluster, "upgrade", "--install", release, str(chart), *waiting, *more)
