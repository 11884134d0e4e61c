"""Runs the tests in two lanes at the same time, since one of them mostly waits and the other mostly computes.

The end-to-end tests wait for outages, timeouts and comparisons to pass. Each lane starts a platform of its own. The first lane
writes to the terminal; the output of the second goes to a file, and follows at the end.
"""

import subprocess
import sys

from devstack.home import ROOT

E2E = ["tests/e2e"]
# The cost budget counts what a whole platform does, so nothing else may run beside it: `make budget`.
# What needs promtool and Prometheus, whose first build takes minutes, is run by `make rules`.
BUILT = ["--ignore=tests/rules/test_promtool.py", "--ignore=tests/rules/test_running.py"]
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


def run() -> int:
    """Run both lanes, and return the exit code of the first that failed, or 0."""
    LOG.parent.mkdir(exist_ok=True)
    say(f"the tests of the parts run beside the end-to-end tests; follow them in {LOG.relative_to(ROOT)}")
    with (
        LOG.open("w") as output,
        subprocess.Popen(pytest_command("parts", PARTS), cwd=ROOT, stdout=output, stderr=output) as parts,
        subprocess.Popen(pytest_command("e2e", E2E), cwd=ROOT) as e2e,
    ):
        try:
            codes = [e2e.wait(), parts.wait()]
        except KeyboardInterrupt:  # both have had the signal too, and end what they started
            e2e.wait()
            parts.wait()
            return INTERRUPTED
    say(LOG.read_text())
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(run())
