"""Says how the tests of a run ended, and by which errors: a plugin of pytest, and the judgement of what it wrote.

A seeded bug is caught where its test fails by an assertion. A test that cannot be imported or collected, whose fixture fails or
that runs into its time limit has noticed nothing.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

WRITTEN_TO = "SEED_VERDICT"
"""The variable that names the file that the plugin writes to."""
TIMED_OUT = "Timeout"


@dataclass(frozen=True, slots=True)
class Ended:
    """How one phase of a test ended, if it did not pass: `errors` are the names of what was raised."""

    test: str
    phase: str
    errors: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a seed was caught, and in a few words how, or why not."""

    caught: bool
    how: str


def judge(ended: list[Ended], fails_with: str) -> Verdict:
    """Return the verdict on a seed whose test must fail with the error `fails_with`."""
    failures = [one for one in ended if one.errors]
    if not ended:
        return Verdict(caught=False, how="the test was not run: is it still called so?")
    if not failures:
        return Verdict(caught=False, how="SURVIVED: the test passed")
    right = [one for one in failures if one.phase == "call" and fails_with in one.errors]
    if not right:
        first = failures[0]
        return Verdict(caught=False, how=f"failed for another reason: {first.phase}: {first.errors[0]}: {first.text}")
    return Verdict(caught=True, how=right[0].text)


def read(path: Path) -> list[Ended]:
    """Return what the plugin wrote."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [Ended(**entry | {"errors": tuple(entry["errors"])}) for entry in map(json.loads, lines)]


def _errors(error: BaseException) -> Iterator[str]:
    """Yield the names of what a test failed with: of each error of a group, and of its base classes in the library of Python."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _errors(one)
    elif isinstance(error, pytest.fail.Exception):  # pytest.raises that saw nothing raised, or pytest-timeout
        yield TIMED_OUT if str(error).startswith("Timeout") else AssertionError.__name__
    else:
        yield type(error).__name__


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Write down how each test ended."""
    report = yield
    if call.excinfo is not None and not report.skipped:
        errors = tuple(_errors(call.excinfo.value))
        said = [line.strip() for line in str(call.excinfo.value).splitlines() if line.strip()]
        _write(Ended(item.nodeid, call.when, errors, (said[0] if said else errors[0])[:200]))
    elif call.when == "call" and not report.skipped:
        _write(Ended(item.nodeid, call.when))
    return report


def _write(ended: Ended) -> None:
    with Path(os.environ[WRITTEN_TO]).open("a") as file:  # noqa: TID251 - pytest loads this by name, with nothing handed down
        file.write(json.dumps(asdict(ended)) + "\n")
