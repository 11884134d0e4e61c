"""Schedules of faults, simulated: every promise is kept in each, and each can be run again exactly."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.conftest import SEEDS
from tests.simulation.faults import Kind
from tests.simulation.mistakes import MISTAKES
from tests.simulation.run import run_schedule
from tests.simulation.shrink import shrink
from tests.simulation.story import tell_story
from tests.simulation.test_mistakes import FIRST

ROOT = Path(__file__).parents[2]
TELL = "from tests.simulation.run import prepare, run_schedule; prepare(); run_schedule({seed}, tell=print)"


def test_every_promise_is_kept(simulated):
    """Money, stock, orders, carts and answers agree after every step, and everything comes to rest."""
    assert simulated.returncode == 0, simulated.stdout + simulated.stderr
    assert f"{SEEDS} schedules, " in simulated.stdout


@pytest.mark.parametrize("seed", [7, 42, 123])
def test_a_seed_gives_one_schedule(seed):
    """Two runs of a seed are the same, line by line, whatever ran before."""
    first, second = [], []
    run_schedule(seed, tell=first.append)
    run_schedule(seed + 1)
    run_schedule(seed, tell=second.append)
    assert first == second
    assert len(first) > 50


def test_the_schedule_does_not_depend_on_the_process():
    """Another process, whose strings have other hashes, runs the same schedule."""

    def story(salt):
        return subprocess.run(
            [sys.executable, "-c", TELL.format(seed=11)],
            capture_output=True,
            check=True,
            cwd=ROOT,
            env={"PYTHONHASHSEED": salt, "PYTHONPATH": f"{ROOT}:{ROOT / 'operator'}"},
            text=True,
        ).stdout

    assert story("1") == story("2")


def failing(name):
    """Give a seed whose schedule shows a mistake."""
    for seed in range(FIRST[name], 300):
        if run_schedule(seed).violation is not None:
            return seed
    raise AssertionError(f"{name} was not noticed")


def test_a_failing_schedule_shrinks_and_replays():
    """What is left of it needs every fault that is left, breaks the same promise, and tells how."""
    with MISTAKES["published_before_it_is"]():
        seed = failing("published_before_it_is")
        shrunk = shrink(seed)
        again = run_schedule(seed, removed=shrunk.removed)
        assert again.violation == shrunk.result.violation
        for fault in shrunk.result.faults:
            assert run_schedule(seed, removed=(*shrunk.removed, fault.point)).violation != again.violation
        story = []
        tell_story(shrunk, story.append)
    assert len(shrunk.result.faults) <= 3
    assert any("VIOLATION I3 orders" in line for line in story)
    assert f"replay: make simulate SEED={seed}" in story


def test_a_schedule_that_keeps_its_promises_cannot_be_shrunk():
    """There is nothing to explain about it."""
    with pytest.raises(ValueError, match="breaks no promise"):
        shrink(1)


def test_faults_are_a_function_of_their_point():
    """Taking one fault out leaves the others of a schedule where they are, as far as it still comes to their points."""
    seed = next(seed for seed in range(1, 200) if len(run_schedule(seed).faults) > 3)
    faults = run_schedule(seed).faults
    without = run_schedule(seed, removed=(faults[-1].point,)).faults
    assert without[: len(faults) - 1] == faults[:-1]
    assert {fault.kind for fault in faults} <= set(Kind)
