"""Two versions of the code on one platform: each process runs from the tree that a file names for its part.

`python -m tests.torture.versions <module> [<role>]` is what devstack's supervisor starts; a part that is started again may run
another version than before. Nothing of the services is imported here before the tree is chosen.
"""

import asyncio
import json
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from devstack import environment
from devstack.client import Stack
from devstack.home import ROOT, Home, user_environment
from devstack.table import PARTS, Part

TREES = "TORTURE_TREES"
"""The variable that names the file: a JSON object of parts and the folders that they run from. All others run from here."""


def part_of(module: str, role: str) -> str:
    """Return the name that devstack's table has for a process; a migration is a matter of its service."""
    service = module.split(".")[1] if module.startswith("services.") else "operator"
    return service if role in {"", "serve", "migrate"} else f"{service}-{role}"


def old_tree(commit: str) -> Path:
    """Return a folder with the code of a commit; without one, of the last tag, and before the first tag of 50 commits ago."""
    if not commit:
        tag = _git("describe", "--tags", "--abbrev=0", check=False)
        commit = tag or _git("rev-parse", "HEAD~50")
    folder = ROOT / ".cartwright" / f"tree-{_git('rev-parse', '--short', commit)}"
    if not folder.exists():
        _git("worktree", "add", "--detach", str(folder), commit)
    return folder


def _file(part: Part) -> Path:
    return Path(part.folder) / f"{str(part.module).replace('.', '/')}.py"


def _git(*words: str, check: bool = True) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=check).stdout.strip()


OURS = [name for name, part in PARTS.items() if not part.is_store and name not in {"console", "auditor"}]
"""The parts that take part in a purchase."""


class Rollout:
    """Which part runs which version."""

    def __init__(self, home: Home, old: Path) -> None:
        """Begin with every part on the old version."""
        self.path = home.path.parent / f"{home.path.name}-trees.json"
        self._old = str(old)
        self._parts = set(self.parts)
        self._write()

    @property
    def parts(self) -> list[str]:
        """The parts that both versions have, in the order of the table."""
        return [name for name in OURS if (Path(self._old) / _file(PARTS[name])).exists()]

    def move(self, stack: Stack, part: str, *, to_old: bool) -> None:
        """Start a part again with the other version, and wait until it serves."""
        (self._parts.add if to_old else self._parts.discard)(part)
        self._write()
        stack.stop(part)
        stack.start(part)
        stack.wait_ready(part)

    def migrate(self, stack: Stack) -> None:
        """Run the migrations of this version, while the old one works."""
        status = stack.request("status")
        for one in PARTS.values():
            if one.migrates:
                env = environment.for_part(one, stack.home, status["ports"], status["env"])
                command = [sys.executable, "-m", str(one.module), "migrate"]
                subprocess.run(command, cwd=ROOT, env=user_environment() | env, check=True, stdout=subprocess.DEVNULL)

    def _write(self) -> None:
        self.path.write_text(json.dumps(dict.fromkeys(sorted(self._parts), self._old)))


async def two_versions(stack: Stack, gauges: Any, rollout: Rollout, ends_at: float) -> None:
    """Roll this version out part by part, back half-way, and out again to the end; again and again until the time is over."""
    await asyncio.to_thread(rollout.migrate, stack)
    gauges.mark("migrated")
    parts = rollout.parts
    half = parts[: len(parts) // 2]
    while time.monotonic() < ends_at:
        for names, to_old in ((half, False), (half[::-1], True), (parts, False), (parts[::-1], True)):
            for name in names:
                if time.monotonic() > ends_at:
                    return
                await asyncio.to_thread(rollout.move, stack, name, to_old=to_old)
                gauges.mark(f"{name} is {'old' if to_old else 'new'}")


def main() -> None:
    """Run the module of the command line from the tree of its part."""
    module, role = sys.argv[1], "".join(sys.argv[2:3])
    sys.argv = [module, *sys.argv[2:]]
    trees = json.loads(Path(user_environment()[TREES]).read_text())
    if tree := trees.get(part_of(module, role)):
        os.chdir(tree)
        sys.path[:] = [
            tree,
            str(Path(tree) / "operator"),
            *(one for one in sys.path if not one.startswith(str(ROOT)) or "site-packages" in one),
        ]
        for name in [name for name in sys.modules if name.split(".")[0] in {"services", "checkout_operator"}]:
            del sys.modules[name]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
