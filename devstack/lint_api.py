"""Lints the contract of the REST API: `make lint-api`. The linter is an npm package, so this needs Node.js, and nothing else does."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from devstack import fetch, home, network, progress
from devstack.progress import Say

CONTRACT = Path("services/gateway/openapi.yaml")
FOLDER = fetch.TOOLS / "redocly"
MISSING = "npm is missing: install Node.js 22 or newer. `make test` holds the contract against its schema without it."


class CannotLint(Exception):
    """The linter is not there; `str()` says what to do."""


def linter(env: Mapping[str, str], say: Say) -> Path:
    """Return the linter; fetch it where missing, held to the hashes of the lock file. CannotLint without npm."""
    npm = shutil.which("npm", path=env.get("PATH"))
    if npm is None:
        raise CannotLint(MISSING)
    target = fetch.place("redocly", FOLDER / "package-lock.json", env)
    if not target.exists():
        with progress.step(say, "@redocly/cli", "fetching"):
            fetch.into(target, lambda folder: _install(npm, folder, env), say)
    return target / "node_modules" / ".bin" / "redocly"


def _install(npm: str, folder: Path, env: Mapping[str, str]) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(FOLDER / name, folder / name)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, env=dict(env), capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotLint(f"@redocly/cli could not be fetched: {network.reason(done.stdout + done.stderr)}")


def main() -> int:
    """Lint the contract, and return the linter's exit code."""
    env = home.user_environment() | {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    try:
        program = linter(env, lambda line: print(f"  {line} …"))
    except (CannotLint, fetch.CannotFetch) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    command = [str(program), "lint", "--config", str(FOLDER / "redocly.yaml"), str(CONTRACT)]
    return subprocess.run(command, cwd=home.ROOT, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
