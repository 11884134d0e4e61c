"""The seeded bugs are up to date: each still applies, and names a test that exists. `make seeds` plants them and runs the tests."""

import ast
import itertools
from pathlib import Path

import pytest
import yaml

from devstack.home import ROOT
from tests.seeds.seed import Seed, SeedError, load
from tests.seeds.verdict import TIMED_OUT, Ended, judge

SEEDS = load()


@pytest.mark.parametrize("name", SEEDS)
def test_a_seed_applies(name):
    """Its old lines are in its file once, and with the new ones the file is still one of its language."""
    seed = SEEDS[name]
    planted = seed.planted((ROOT / seed.file).read_text())
    match Path(seed.file).suffix:
        case ".py":
            compile(planted, seed.file, "exec")
        case ".yaml":
            yaml.safe_load(planted)
        case suffix:
            assert suffix in {".sql", ".lua"}


def test_each_seed_names_a_test_that_exists():
    """Where a test is renamed, its seed is too."""
    tests = {}
    for path in {seed.test.partition("::")[0] for seed in SEEDS.values()}:
        tree = ast.parse((ROOT / path).read_text())
        tests[path] = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    missing = [seed.name for seed in SEEDS.values() if not _names_one(seed, tests)]
    assert not missing


def _names_one(seed, tests):
    path, _, test = seed.test.partition("::")
    return test.partition("[")[0] in tests[path]


def test_each_promise_has_a_seed_that_breaks_it():
    """Of I1 to I10 each is broken by some seed or, where no mistake of one place breaks it, by one planted in the simulation."""
    rules = " ".join(seed.rule for seed in SEEDS.values()).replace(",", " ").split()
    assert {f"I{number}" for number in range(1, 11)} - set(rules) == set()
    assert len(SEEDS) >= 40


SEED = Seed("a_name", "Money.", "I1", "tests/t.py::test", "f.py", old="a = 1\nif a:\n    b()\n", new="c()\n")


@pytest.mark.parametrize("more", ["", "    ", "        "])
def test_lines_are_found_at_any_indentation(more):
    """The new lines are indented as the old ones were, and nothing else of the file changes."""
    text = f"x\n{more}a = 1\n{more}if a:\n{more}    b()\ny\n"
    assert SEED.planted(text) == f"x\n{more}c()\ny\n"


@pytest.mark.parametrize("text", ["", "a = 1\nif a:\n", "a = 1\nif a:\n    c()\n", "    a = 1\nif a:\n    b()\n"])
def test_a_seed_that_no_longer_applies_is_an_error(text):
    """Lines that are not there as they were, or are indented otherwise, are not guessed at."""
    with pytest.raises(SeedError, match=r"a_name: its old lines are 0 times in f\.py"):
        SEED.planted(text)


def test_a_seed_that_applies_twice_is_an_error():
    """Which of two places is meant is not guessed at."""
    with pytest.raises(SeedError, match="2 times"):
        SEED.planted(SEED.old * 2)


def ended(phase="call", *errors):
    """Give how a test ended."""
    return Ended("t", phase, errors, "text")


@pytest.mark.parametrize(
    ("tests", "fails_with", "caught"),
    [
        ([ended("call", "AssertionError")], "AssertionError", True),
        ([ended(), ended("call", "AssertionError"), ended()], "AssertionError", True),
        ([ended("call", "KeyError")], "KeyError", True),
        ([ended("call", "ValueError", "AssertionError")], "AssertionError", True),  # a group of errors
        ([], "AssertionError", False),
        ([ended(), ended()], "AssertionError", False),
        ([ended("call", "KeyError")], "AssertionError", False),
        ([ended("call", TIMED_OUT)], "AssertionError", False),
        ([ended("setup", "AssertionError")], "AssertionError", False),
        ([ended("collection", "CollectionError")], "AssertionError", False),
    ],
)
def test_a_seed_is_caught_where_its_test_fails_for_the_right_reason(tests, fails_with, caught):
    """By an assertion of the test, or by the error that the seed names; by nothing that keeps the test from being run."""
    assert judge(tests, fails_with).caught is caught


def test_the_tests_of_a_seed_are_different_from_those_of_the_simulation():
    """A mistake is planted once: here in the code, or in the simulation where it is one of a store."""
    planted = (ROOT / "tests/simulation/mistakes.py").read_text()
    assert not [name for name in itertools.chain(SEEDS) if f"def {name}(" in planted]
