"""How a Grafana of the user's own is found, and what it needs to show the chart's dashboards."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from devstack import fetch
from devstack.home import ROOT
from devstack.ports import HOST

DASHBOARDS = ROOT / "charts" / "cartwright" / "files" / "dashboards"
FOLDERS = ("/usr/share/grafana", "/usr/local/share/grafana", "/opt/homebrew/share/grafana")
"""Where packages put what `grafana-server` needs beside itself."""


def find(env: Mapping[str, str]) -> Path | None:
    """Return the `grafana-server` of PATH, or None."""
    return fetch.on_path("grafana-server", env)


def provision(folder: Path, *, port: int, prometheus: str) -> dict[str, str]:
    """Write what Grafana loads at its start into `folder`, and return the variables that lead it there.

    Whoever reaches its port on this machine may look without a login.
    """
    source = {"name": "Prometheus", "type": "prometheus", "access": "proxy", "url": prometheus, "isDefault": True}
    provider = {"name": "cartwright", "folder": "Cartwright", "type": "file", "options": {"path": str(DASHBOARDS)}}
    for kind, holds in (("datasources", {"datasources": [source]}), ("dashboards", {"providers": [provider]})):
        place = folder / "provisioning" / kind
        place.mkdir(parents=True, exist_ok=True)
        (place / "cartwright.yaml").write_text(yaml.safe_dump({"apiVersion": 1, **holds}))
    return {
        "GF_SERVER_HTTP_ADDR": HOST,
        "GF_SERVER_HTTP_PORT": str(port),
        "GF_PATHS_DATA": str(folder / "grafana"),
        "GF_PATHS_LOGS": str(folder / "grafana"),
        "GF_PATHS_PROVISIONING": str(folder / "provisioning"),
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
    }


def command(server: Path) -> list[str]:
    """Return the command that runs Grafana, with what it has beside its program where that is found."""
    for place in (server.resolve().parent.parent, *map(Path, FOLDERS)):
        if (place / "conf" / "defaults.ini").exists():
            return [str(server), "--homepath", str(place)]
    return [str(server)]
