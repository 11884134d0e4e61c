"""A program that runs beside the platform for as long as a command does: its port, its log, its end."""

import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from devstack import ports
from devstack.home import Home
from devstack.process import last_lines

READY_SECONDS = 60.0
STOP_SECONDS = 20.0


class NotReady(Exception):
    """A program does not start; `str()` says why."""


def port(variable: str, default: int, env: Mapping[str, str], command: str) -> int:
    """Return the port that `variable` names, or the default. PortTaken says who has it, and how `command` gets another."""
    text = env.get(variable) or str(default)
    if not text.isdigit() or not 0 < int(text) < 65536:  # noqa: PLR2004 - the highest port
        raise ports.PortTaken(f"{variable}={text}: must be a port number from 1 to 65535")
    if ports.is_taken(int(text)):
        raise ports.PortTaken(
            f"port {text} is taken by {ports.holder(int(text))}; choose another: {variable}=… {command}"
        )
    return int(text)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Have SIGTERM and SIGHUP raise KeyboardInterrupt, so that a command ends what it started as it does on Ctrl-C.

    `make` and CI send SIGTERM, and a terminal that is closed sends SIGHUP. Only the first one counts: to end takes some seconds, and
    must not be cut off by the next.
    """
    numbers = (signal.SIGTERM, signal.SIGHUP)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def running(name: str, words: Sequence[str], env: Mapping[str, str], home: Home) -> Iterator[None]:
    """Run a process, its output in a log of the platform's, and end it afterwards."""
    # A session of its own: Ctrl-C reaches this process alone, which then ends the others in their order.
    with (
        home.log(name).open("wb") as log,
        subprocess.Popen(words, env=dict(env), stdout=log, stderr=log, start_new_session=True) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_ready(name: str, url: str, home: Home) -> None:
    """Wait until a program answers at `url`; NotReady, with the end of its log, where it does not."""
    ends_at = time.monotonic() + READY_SECONDS
    while time.monotonic() < ends_at:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own address
                return
        except urllib.error.HTTPError as error:  # it answers, and is not ready
            error.close()
        except OSError:
            pass
        time.sleep(0.2)
    raise NotReady(f"{name} is not ready after {READY_SECONDS:g} s:\n{last_lines(home.log(name))}")


def ask(url: str) -> Any:
    """Return the JSON that a program answers with. Raises OSError where it does not answer, HTTPError where it refuses."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own address
            return json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        raise
