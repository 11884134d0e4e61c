"""How Prometheus and promtool are found, which watch the platform and check its rules."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from devstack import fetch, golang
from devstack.home import ROOT
from devstack.progress import Say

RULES = ROOT / "charts" / "cartwright" / "files" / "rules.yaml"
OLDEST = (3, 0)
"""From here on bounds of histograms are normalised, on which rules rely that name one."""


def find(name: str, env: Mapping[str, str], say: Say) -> Path:
    """Return the `prometheus` or `promtool` of PATH where it is new enough, or ours, built where it is missing.

    Raises CannotFetch where it cannot be built.
    """
    if found := fetch.on_path(name, env):
        command = [str(found), "--version"]
        shown = subprocess.run(command, env=dict(env), capture_output=True, text=True, check=False)
        version = re.search(r"version v?(\d+)\.(\d+)", shown.stdout + shown.stderr)
        if version and (int(version[1]), int(version[2])) >= OLDEST:
            return found
    return golang.program(name, env, say)
