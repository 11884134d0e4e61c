"""`make bench-takeover`: one of two operators that share many live Checkouts is killed. Prints who took over what, and by when.

It starts a platform of its own, and ends by itself. Exits with 1 where a part was not taken over within the must.
"""

import argparse
import os
import shutil
import sys

from rich.console import Console

from devstack.client import Stack
from devstack.home import ROOT, Home
from devstack.stores import data_folder
from tests.platforms import OnThisMachine
from tests.scene import Scene
from tests.takeover import play

HOME = ROOT / ".cartwright" / "bench-takeover"
MUST_SECONDS = 15.0
MOST = 5000


def main() -> int:
    """Run it, and give the exit code."""
    parser = argparse.ArgumentParser(prog="make bench-takeover", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="Checkouts in all")
    asked = parser.parse_args()
    if not 20 <= asked.count <= MOST:
        parser.error(f"--count: from 20 to {MOST}")
    home = Home(HOME)
    Stack(home).down()
    shutil.rmtree(data_folder("postgres", home), ignore_errors=True)
    shutil.rmtree(home.path, ignore_errors=True)
    running = Stack.up(home.path, env={"BANK_SUCCESS_RATE": "1"})
    try:
        platform = OnThisMachine(running)
        env = {"KUBECONFIG": home.operator_kubeconfig, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'operator'}"}
        os.environ.update({name: str(value) for name, value in env.items()})  # noqa: TID251 - of the operators that it forks
        scene = Scene(platform, "takeover")
        try:
            story = play(platform, scene, asked.count)
        finally:
            scene.clear()
    finally:
        running.down()
    console = Console(highlight=False, soft_wrap=True)
    console.print("\n".join(story.lines()))
    latest = max(*story.taken.values(), *story.waits())
    console.print(
        f"b's part was taken over, and nothing of it waited for more than {latest:.1f} s (must: {MUST_SECONDS:g} s)"
    )
    return 0 if latest <= MUST_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
