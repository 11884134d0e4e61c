"""Runs one process of the platform with the hooks in it, and starts it again at once when it is killed.

It imports everything first and forks, so that a process is back in a fraction of a second: starting Python and importing is
most of what a restart costs. `python -m tests.torture.runner <module> [<role>]`; devstack's supervisor starts it.
"""

import gc
import importlib
import json
import os
import runpy
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from devstack.home import user_environment
from tests.torture import hooks
from tests.torture.orders import DESK, Post

RESTART_SECONDS = 0.2
PAUSE_SECONDS = 3.0
AS_IT_IS = {"migrate"}
NOT_PART_OF_A_PURCHASE = {"services.console.main", "services.auditor.main"}


def part_of(module: str, role: str) -> str:
    """Return the name that devstack's table has for a process."""
    service = module.split(".")[1] if module.startswith("services.") else "operator"
    return service if role in {"", "serve"} else f"{service}-{role}"


def main() -> None:
    """Run the module of the command line."""
    module, role = sys.argv[1], "".join(sys.argv[2:3])
    sys.argv = [module, *sys.argv[2:]]
    folder = user_environment().get(DESK)
    if role in AS_IT_IS or module in NOT_PART_OF_A_PURCHASE or not folder:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        return
    importlib.import_module(module)
    post = Post(Path(folder), part_of(module, role))
    gc.freeze()
    sys.exit(_keep(module, post))


def _keep(module: str, post: Post) -> int:
    """Keep a child running until it ends by itself, and return its exit code."""
    told = [0]

    def stop(number: int, _: FrameType | None) -> None:
        told[0] = number

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    while True:
        child = os.fork()
        if not child:
            _run(module, post)
        if told[0]:
            os.kill(child, told[0])
        status = _wait(child, post)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL or told[0]:
            return os.waitstatus_to_exitcode(status) & 0xFF
        time.sleep(RESTART_SECONDS)


def _wait(child: int, post: Post) -> int:
    """Wait until the child has ended. One that is stopped goes on after the pause of its part."""
    while True:
        _, status = os.waitpid(child, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return status
        time.sleep(_pause(post))
        os.kill(child, signal.SIGCONT)


def _pause(post: Post) -> float:
    try:
        given = json.loads((post.folder / "orders.json").read_text())["pauses"]
    except (OSError, ValueError):
        return PAUSE_SECONDS
    return float(given.get(post.part, PAUSE_SECONDS))


def _run(module: str, post: Post) -> None:
    """Be the process: everything is imported, so this takes milliseconds."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    code = 1
    try:
        hooks.install(post)
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
