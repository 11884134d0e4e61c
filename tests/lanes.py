"""Runs the tests in two lanes at the same time, since one of them mostly waits and the other mostly computes.

The end-to-end tests wait for outages, timeouts and comparisons to pass. Each lane starts a platform of its own. The first lane
writes to the terminal; the output of the second goes to a file, and follows at the end.
"""

import signal
import subprocess
import sys
from pathlib import Path

from devstack.home import ROOT

E2E = ["tests/e2e"]
# The cost budget counts what a whole platform does, so nothing else may run beside it: `make budget`.
# What needs promtool and Prometheus, whose first build takes minutes, is run by `make rules`; what needs the checker of
# histories, by `make linearizability`.
BUILT = [
    "--ignore=tests/rules/test_promtool.py",
    "--ignore=tests/rules/test_running.py",
    "--ignore=tests/linearizability",
]
PARTS = ["tests", "--ignore=tests/e2e", "--ignore=tests/bench/test_budget.py", *BUILT]
LOG = ROOT / ".cartwright" / "tests-parts.log"
INTERRUPTED = 130


def pytest_command(lane: str, arguments: list[str]) -> list[str]:
    """Return the command that runs the tests of a lane."""
    return [sys.executable, "-m", "pytest", f"--lane={lane}", *arguments]


def say(text: str) -> None:
    """Write a line to the terminal at once, before what the tests write there."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(e2e: list[str], parts: list[str], log: Path) -> int:
    """Run the commands of both lanes at once, that of the parts with its output in `log`, and return 0 where both succeed.

    Otherwise it returns the exit code of the first that failed, 1 for one that a signal ended, and INTERRUPTED after an
    interrupt. It passes an interrupt on to both, and returns once they have ended what they started.
    """
    # The terminal interrupts a whole group at once. Each lane has its own: a second interrupt would cut its clean-up short.
    with (
        log.open("w") as output,
        subprocess.Popen(
            parts, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0
        ) as second,
        subprocess.Popen(e2e, cwd=ROOT, stdin=subprocess.DEVNULL, process_group=0) as first,
    ):
        lanes = {"end-to-end tests": first, "tests of the parts": second}
        try:
            codes = {name: lane.wait() for name, lane in lanes.items()}
        except KeyboardInterrupt:
            for lane in lanes.values():
                lane.send_signal(signal.SIGINT)
            for lane in lanes.values():
                lane.wait()
            return INTERRUPTED
    say(log.read_text())
    for name, code in codes.items():
        if code < 0:
            say(f"the {name} did not end by themselves: {signal.Signals(-code).name}")
    return next((code if code > 0 else 1 for code in codes.values() if code), 0)


def main() -> int:
    """Run all tests but the cost budget."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends as by an interrupt
    LOG.parent.mkdir(exist_ok=True)
    say(f"the tests of the parts run beside the end-to-end tests; follow them in {LOG.relative_to(ROOT)}")
    return run(pytest_command("e2e", E2E), pytest_command("parts", PARTS), LOG)


if __name__ == "__main__":
    sys.exit(main())
