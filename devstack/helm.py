"""How helm is found, which renders and checks the charts."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from devstack import fetch, golang
from devstack.progress import Say

OLDEST = (3, 14)


def find(env: Mapping[str, str], say: Say) -> Path:
    """Return the helm of PATH where it is new enough, or ours, built where it is missing; CannotFetch otherwise."""
    if found := fetch.on_path("helm", env):
        command = [str(found), "version", "--short"]
        shown = subprocess.run(command, env=dict(env), capture_output=True, text=True, check=False).stdout
        version = re.match(r"v(\d+)\.(\d+)", shown)
        if version and (int(version[1]), int(version[2])) >= OLDEST:
            return found
    return golang.program("helm", env, say)
