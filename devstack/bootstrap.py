"""Makes the virtual environment that everything else runs in: `python -m devstack.bootstrap .venv`.

It runs before any package is installed, so it imports the standard library alone.
"""

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

from devstack import network, progress
from devstack.home import user_environment

REQUIREMENTS = Path("requirements/dev.txt")
STAMP = ".stamp"


class CannotMake(Exception):
    """The environment cannot be made; `str()` says why and what to do."""


def make(folder: Path) -> None:
    """Make the environment in `folder` and install the packages; CannotMake where that is impossible."""
    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        raise CannotMake("this Python lacks its venv module: install python3-venv")
    print(f"making {folder} …", flush=True)
    made = _run("-m", "venv", str(folder))
    if made.returncode:
        raise CannotMake(
            f"{folder.absolute()} could not be made: {_last_line(made.stdout + made.stderr)}\n"
            f"If that folder is left over from before, delete it and run it again."
        )
    print(f"installing the packages of {REQUIREMENTS} …", flush=True)
    started = time.monotonic()
    python = str(folder / "bin" / "python")
    wanted = sum("==" in line for line in REQUIREMENTS.read_text().splitlines())
    code, said = progress.run(
        [python, "-m", "pip", "install", "--progress-bar=off", "--require-hashes", "-r", str(REQUIREMENTS)],
        {**user_environment(), "PYTHONUNBUFFERED": "1"},
        lambda said: _show(f"  {_installed(said, wanted)}, {progress.spoken(time.monotonic() - started)}"),
    )
    _show("")
    if code:
        raise CannotMake(f"the packages could not be installed: {network.reason(said)}")
    (folder / STAMP).touch()
    print(f"installed them in {time.monotonic() - started:.0f} s")


def _installed(said: str, wanted: int) -> str:
    """Return how far pip is by what it has said: it names each package as it begins with it, and unpacks all at the end."""
    begun = sum(line.startswith("Collecting ") for line in said.splitlines())
    return "unpacking them" if "Installing collected packages" in said else f"{min(begun, wanted)} of {wanted} fetched"


def _show(line: str) -> None:
    """Show a line in the place of the one before, on a terminal that can do that."""
    if sys.stdout.isatty() and user_environment().get("TERM", "dumb") != "dumb":
        sys.stdout.write(f"\r\x1b[K{line}")
        sys.stdout.flush()


def _run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)


def _last_line(said: str) -> str:
    """Return the line that names the error: `venv` also prints the command that it ran."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("Error")), lines[-1] if lines else "no reason given")


def main() -> int:
    """Make the environment that the command line names, and return the exit code."""
    try:
        make(Path(sys.argv[1]))
    except (CannotMake, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
