"""The lanes of `make test`: nothing is left out, nothing fails in silence, and nothing is left running."""

import signal
import subprocess
import sys

import pytest
from rich.console import Console

from devstack.home import ROOT
from tests import lane_progress, lanes


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
    times = {
        path.relative_to(ROOT).as_posix(): sum(runs(words, path) for _, words in lanes.LANES.values()) for path in files
    }
    assert {path for path, count in times.items() if count != 1} == {
        "tests/bench/test_budget.py",
        "tests/linearizability/test_cart.py",
        "tests/linearizability/test_checker.py",
        "tests/rules/test_promtool.py",
        "tests/rules/test_running.py",
        "tests/services/auditor/test_as_shipped.py",
    }


@pytest.mark.parametrize(
    ("e2e", "parts", "code"),
    [("pass", "pass", 0), ("exit(2)", "pass", 2), ("pass", "exit(3)", 3), ("exit(2)", "exit(3)", 2)],
)
def test_a_lane_that_fails_fails_the_run(tmp_path, capfd, e2e, parts, code):
    """The run succeeds where both lanes do; what each wrote is shown at the end."""
    shown, logged = python("print('of e2e', flush=True)", e2e), python("print('of the parts', flush=True)", parts)
    assert lanes.run({"e2e": shown, "parts": logged}, tmp_path, Console()) == code
    said = capfd.readouterr().out
    assert "end-to-end tests:\nof e2e\n\ntests of the parts:\nof the parts" in said


@pytest.mark.parametrize("dead", ["end-to-end tests", "tests of the parts"])
def test_a_lane_that_is_killed_is_named(tmp_path, capfd, dead):
    """A lane that does not come to its end, such as one that the kernel kills for its memory, is named and fails the run."""
    good, killed = python("pass"), python("import os", "os.kill(os.getpid(), 9)")
    e2e, parts = (killed, good) if dead == "end-to-end tests" else (good, killed)
    assert lanes.run({"e2e": e2e, "parts": parts}, tmp_path, Console()) == 1
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

    program = python(
        "import pathlib, sys",
        "from rich.console import Console",
        "from tests.lanes import run",
        f"commands = {{'e2e': {lane('e2e')!r}, 'parts': {lane('parts')!r}}}",
        f"sys.exit(run(commands, pathlib.Path({str(tmp_path)!r}), Console()))",
    )
    with subprocess.Popen(program, cwd=ROOT, start_new_session=True) as running:
        eventually(lambda: all((tmp_path / f"{name}.begun").exists() for name in ("e2e", "parts")))
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == lanes.INTERRUPTED
    assert all((tmp_path / f"{name}.ended").exists() for name in ("e2e", "parts"))


TESTS = """
import pytest

@pytest.mark.parametrize("number", range(3))
def test_good(number):
    pass

def test_bad():
    assert 1 + 1 == 3

@pytest.fixture
def broken():
    raise RuntimeError("no platform")

def test_without_its_fixture(broken):
    pass
"""


def test_progress_of_real_lanes(tmp_path, capfd):
    """Each failure is shown with its reason as it comes, then how many of how many have run, and the whole of it at the end."""
    (tmp_path / "test_some.py").write_text(TESTS)
    alone = ["-c", "/dev/null", f"--rootdir={tmp_path}", "-p", "no:cacheprovider", str(tmp_path / "test_some.py")]
    commands = {lane: lanes.pytest_command(lane, alone, tmp_path) for lane in ("e2e",)}
    commands["e2e"].remove("--lane=e2e")  # an option of our own conftest
    assert lanes.run(commands, tmp_path, Console(soft_wrap=True)) == 1
    said = capfd.readouterr().out
    at_once, whole = said.split("\nend-to-end tests:\n")
    assert "FAILED test_some.py::test_bad: assert (1 + 1) == 3" in at_once
    assert "FAILED test_some.py::test_without_its_fixture: RuntimeError: no platform" in at_once
    assert "end-to-end tests 5 of 5, 2 failed; " in at_once
    assert "= ERRORS =" in whole
    assert ">       raise RuntimeError" in whole
    assert "2 failed" in whole or "1 failed, 3 passed, 1 error" in whole
    assert set(lane_progress.durations(tmp_path / lanes.DURATIONS)) == {
        *(f"test_some.py::test_good[{number}]" for number in range(3)),
        "test_some.py::test_bad",
        "test_some.py::test_without_its_fixture",
    }


def test_what_is_left_is_that_of_the_slower_lane():
    """What is left is known from the last run and the pace of this one, and not where there was none; a new test counts as a usual one."""
    slow = lane_progress.Lane("slow", {"a": 60.0, "b": 30.0, "c": 30.0})
    quick = lane_progress.Lane("quick", {"x": 5.0})
    for lane, tests in ((slow, ["a", "b", "c", "new"]), (quick, ["x"])):
        lane.apply({"kind": "collected", "tests": tests})
    assert lane_progress.left([slow, quick]) == 160.0
    slow.apply({"kind": "ended", "test": "a", "seconds": 90.0})  # half as long again as the last time
    assert lane_progress.left([slow, quick]) == pytest.approx((30 + 30 + 40) * 1.5)
    quick.apply({"kind": "ended", "test": "x", "seconds": 5.0})
    slow.over = True
    assert lane_progress.left([slow, quick]) == 0.0
    assert lane_progress.left([slow, lane_progress.Lane("first", {}, ["y"])]) is None


def test_output_that_is_no_pytests_is_shown_whole():
    """A lane that fails before pytest reports shows all that it wrote; one that is well shows its last line alone."""
    assert lanes.conclusion("one\ntwo\n", failed=True) == "one\ntwo"
    assert lanes.conclusion("....\n=== 4 passed in 1 s ===\n", failed=False) == "=== 4 passed in 1 s ==="
