"""Runs the tests in three lanes at the same time, since all of them wait for most of their time, each for something else.

The end-to-end tests wait for outages, timeouts and comparisons to pass, and the tests on clusters for an API server or for
helm. Each lane starts platforms of its own. What each writes goes to a file. The terminal shows how far they are, each failure
at once, and the whole of the failures at the end.
"""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from devstack.home import ROOT
from tests.lane_display import Display
from tests.lane_progress import Lane, Reader, durations, keep

E2E = ["tests/e2e"]
# The cost budget counts what a whole platform does, so nothing else may run beside it: `make budget`.
# What needs promtool and Prometheus, whose first build takes minutes, is run by `make rules`; what needs the checker of
# histories, by `make linearizability`. What waits for the auditor as it is shipped, by `make notice`.
BUILT = [
    "--ignore=tests/rules/test_promtool.py",
    "--ignore=tests/rules/test_running.py",
    "--ignore=tests/linearizability",
    "--ignore=tests/services/auditor/test_as_shipped.py",
]
CLUSTERS = ["tests/charts", "tests/crds", "tests/devstack", "tests/operator"]
ELSEWHERE = [f"--ignore={folder}" for folder in (*E2E, *CLUSTERS, "tests/bench/test_budget.py")]
PARTS = ["tests", *ELSEWHERE, *BUILT]
LANES = {
    "end-to-end tests": ("e2e", E2E),
    "tests on clusters": ("clusters", CLUSTERS),
    "tests of the parts": ("parts", PARTS),
}
FOLDER = ROOT / ".cartwright"
DURATIONS = "test-durations.json"
INTERRUPTED = 130
LOOK_EVERY = 0.25  # seconds between two looks at the lanes
_SECTION = re.compile(r"^=+ (?:ERRORS|FAILURES|warnings summary|short test summary info) =+$", re.MULTILINE)


def pytest_command(lane: str, arguments: Sequence[str], folder: Path) -> list[str]:
    """Return the command that runs the tests of a lane, whose events go to a file in `folder`."""
    told = [f"--lane={lane}", "-p", "tests.lane_events", f"--events={_events(folder, lane)}"]
    return [sys.executable, "-m", "pytest", *told, *arguments]


def _events(folder: Path, lane: str) -> Path:
    return folder / f"tests-{lane}.events"


def log(folder: Path, lane: str) -> Path:
    """Return the file that a lane writes to."""
    return folder / f"tests-{lane}.log"


def run(commands: Mapping[str, Sequence[str]], folder: Path, console: Console) -> int:
    """Run the command of each lane at once, and return 0 where all succeed.

    Otherwise it returns the exit code of the first that failed, 1 for one that a signal ended, and INTERRUPTED after an
    interrupt. It passes an interrupt on to each, and returns once they have ended what they started. Their output is kept
    in `folder`, with how long each test took, by which the next run tells what is left.
    """
    names = {lane: next((name for name, (one, _) in LANES.items() if one == lane), lane) for lane in commands}
    lanes = {lane: Lane(names[lane], durations(folder / DURATIONS)) for lane in commands}
    readers = {lane: Reader(_events(folder, lane)) for lane in commands}
    with ExitStack() as stack:
        running = {lane: _start(lane, command, folder, stack) for lane, command in commands.items()}
        with Display(console, list(lanes.values())) as display:
            interrupted = _watch(running, lanes, readers, display, console)
    keep(folder / DURATIONS, list(lanes.values()))
    codes = {lane: process.returncode for lane, process in running.items()}
    for lane, code in codes.items():
        console.print(
            f"\n{names[lane]}:\n{conclusion(log(folder, lane).read_text(errors='replace'), failed=code != 0)}"
        )
        if code < 0:
            console.print(f"the {names[lane]} did not end by themselves: {signal.Signals(-code).name}")
    if interrupted:
        return INTERRUPTED
    return next((code if code > 0 else 1 for code in codes.values() if code), 0)


def _start(lane: str, command: Sequence[str], folder: Path, stack: ExitStack) -> "subprocess.Popen[bytes]":
    """Start a lane. It gets a process group of its own: a terminal's second interrupt would cut its clean-up short."""
    _events(folder, lane).unlink(missing_ok=True)
    output = stack.enter_context(log(folder, lane).open("w"))
    started = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0
    )
    return stack.enter_context(started)


def _watch(
    running: Mapping[str, "subprocess.Popen[bytes]"],
    lanes: Mapping[str, Lane],
    readers: Mapping[str, Reader],
    display: Display,
    console: Console,
) -> bool:
    """Show how far the lanes are until all have ended, and return whether an interrupt ended them."""
    interrupted = False
    while True:
        try:
            ended = {lane: process.poll() is not None for lane, process in running.items()}
            for lane, reader in readers.items():
                for event in reader.read():
                    lanes[lane].apply(event)
                lanes[lane].over = ended[lane]
            display.update()
            if all(ended.values()):
                return interrupted
            time.sleep(LOOK_EVERY)
        except KeyboardInterrupt:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)  # once is enough: they are ending
            interrupted = True
            console.print("interrupted: waiting until the tests have ended what they started …")
            for process in running.values():
                process.send_signal(signal.SIGINT)


def conclusion(written: str, *, failed: bool) -> str:
    """Return what is shown of a lane's output at the end: the failures in full and pytest's summary, or all of what is no pytest's."""
    if section := _SECTION.search(written):
        return written[section.start() :].rstrip()
    lines = written.rstrip().splitlines()
    return "\n".join(lines if failed else lines[-1:])


def main() -> int:
    """Run all tests but the cost budget."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends as by an interrupt
    FOLDER.mkdir(exist_ok=True)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    logs = ", ".join(str(log(FOLDER, lane).relative_to(ROOT)) for lane, _ in LANES.values())
    console.print(f"{', '.join(LANES)}: all run at once; their output: {logs}")
    commands = {lane: pytest_command(lane, arguments, FOLDER) for lane, arguments in LANES.values()}
    return run(commands, FOLDER, console)


if __name__ == "__main__":
    sys.exit(main())
