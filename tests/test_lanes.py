"""The two lanes of `make test`: nothing is left out, nothing fails in silence, and nothing is left running."""

import signal
import subprocess
import sys

import pytest

from devstack.home import ROOT
from tests import lanes


def python(*lines):
    """Give the command that runs some lines of Python."""
    return [sys.executable, "-c", "\n".join(lines)]


def runs(arguments, path):
    """Give whether pytest runs a file with these arguments."""
    ignored = [ROOT / word.removeprefix("--ignore=") for word in arguments if word.startswith("--ignore=")]
    wanted = [ROOT / word for word in arguments if not word.startswith("--")]
    return any(path.is_relative_to(one) for one in wanted) and not any(path.is_relative_to(one) for one in ignored)


def test_every_file_runs_once():
    """Every file of tests runs in one lane, but for the cost budget, beside which nothing may run, and what has a target of its own."""
    files = (ROOT / "tests").rglob("test_*.py")
    times = {path.relative_to(ROOT).as_posix(): runs(lanes.E2E, path) + runs(lanes.PARTS, path) for path in files}
    assert {path for path, count in times.items() if count != 1} == {
        "tests/bench/test_budget.py",
        "tests/linearizability/test_cart.py",
        "tests/linearizability/test_checker.py",
        "tests/rules/test_promtool.py",
        "tests/rules/test_running.py",
    }


@pytest.mark.parametrize(
    ("e2e", "parts", "code"),
    [("pass", "pass", 0), ("exit(2)", "pass", 2), ("pass", "exit(3)", 3), ("exit(2)", "exit(3)", 2)],
)
def test_a_lane_that_fails_fails_the_run(tmp_path, capfd, e2e, parts, code):
    """The run succeeds where both lanes do; what the parts wrote follows what the end-to-end tests wrote."""
    shown, logged = python("print('of e2e', flush=True)", e2e), python("print('of the parts', flush=True)", parts)
    assert lanes.run(shown, logged, tmp_path / "log") == code
    assert capfd.readouterr().out.split("\n")[:2] == ["of e2e", "of the parts"]


@pytest.mark.parametrize("dead", ["end-to-end tests", "tests of the parts"])
def test_a_lane_that_is_killed_is_named(tmp_path, capfd, dead):
    """A lane that does not come to its end, such as one that the kernel kills for its memory, is named and fails the run."""
    good, killed = python("pass"), python("import os", "os.kill(os.getpid(), 9)")
    e2e, parts = (killed, good) if dead == "end-to-end tests" else (good, killed)
    assert lanes.run(e2e, parts, tmp_path / "log") == 1
    assert f"the {dead} did not end by themselves: SIGKILL" in capfd.readouterr().out


def test_an_interrupt_reaches_both(tmp_path, eventually):
    """An interrupt of `make test` reaches each lane once, and it returns when both have cleaned up."""

    def lane(name):
        return python(
            "import pathlib, signal, threading",
            f"mine, interrupted = pathlib.Path({str(tmp_path / name)!r}), threading.Event()",
            "signal.signal(signal.SIGINT, lambda *_: interrupted.set())",
            "mine.with_suffix('.begun').touch()",
            "interrupted.wait()",
            "mine.with_suffix('.ended').touch()",
        )

    program = f"import sys; from pathlib import Path; from tests.lanes import run; sys.exit(run({lane('e2e')!r}, {lane('parts')!r}, Path({str(tmp_path / 'log')!r})))"
    with subprocess.Popen(python(program), cwd=ROOT, start_new_session=True) as running:
        eventually(lambda: all((tmp_path / f"{name}.begun").exists() for name in ("e2e", "parts")))
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == lanes.INTERRUPTED
    assert all((tmp_path / f"{name}.ended").exists() for name in ("e2e", "parts"))
