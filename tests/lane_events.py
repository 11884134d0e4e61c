"""A plugin of pytest that tells the process that runs the lanes how far a lane is: `-p tests.lane_events --events=FILE`.

Each line of the file is JSON: first how many tests there are, then each test as it begins and as it ends.
"""

import json
from pathlib import Path
from typing import Any

import pytest

_SHOWN_OF_A_FAILURE = 200  # characters


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the file that the events go to."""
    parser.addoption("--events", type=Path, help="the file that the events of this lane go to")


def pytest_configure(config: pytest.Config) -> None:
    """Open the file, where one is named."""
    if path := config.getoption("--events"):
        config.pluginmanager.register(Events(path), "lane-events-writer")


class Events:
    """Writes the events."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", buffering=1)
        self._seconds: dict[str, float] = {}

    def _write(self, **event: Any) -> None:
        self._file.write(json.dumps(event) + "\n")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Say which tests there are."""
        self._write(kind="collected", tests=[item.nodeid for item in session.items])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Say that a test begins."""
        self._write(kind="began", test=nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Say that a test, or its set-up or clean-up, has failed."""
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            self._write(kind="failed", test=report.nodeid, when=report.when, why=_why(report))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Say that a file could not be read."""
        if report.failed:
            self._write(kind="failed", test=report.nodeid, when="collect", why=_why(report))

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Say that a test has ended."""
        self._write(kind="ended", test=nodeid, seconds=round(self._seconds.pop(nodeid, 0.0), 3))


def _why(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return what a failure says in one line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    said = crash.message if crash else str(report.longrepr or "")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return (lines[0] if crash else lines[-1])[:_SHOWN_OF_A_FAILURE] if lines else ""
