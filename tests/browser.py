"""A real browser for the tests: Chromium, which is found or installed, and axe, which finds what some people cannot use."""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from devstack import fetch
from devstack.home import ROOT, user_environment

SCREENSHOTS = ROOT / ".cartwright" / "screenshots"
"""Where the tests leave what they saw; CI keeps it."""
NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",  # a container's root has none
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@functools.cache
def chromium() -> str:
    """Return the program; install it where there is none: by Playwright, or else by Debian's packages."""
    if found := _on_path():
        return found
    done = subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], capture_output=True, check=False)
    if done.returncode == 0:
        return ""  # Playwright knows where
    if os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["update", "-qq"], ["install", "-y", "-qq", "chromium"]):
            subprocess.run(["apt-get", *command], check=True, capture_output=True)
    found = _on_path()
    assert found, (
        "there is no Chromium, and it could not be installed: install it, for example: apt-get install chromium"
    )
    return found


def _on_path() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """Give a browser without a window."""
    path = chromium()
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path or None, args=list(ARGUMENTS))
        yield made
        made.close()


@functools.cache
def axe() -> str:
    """Return the script of axe, pinned by its hash."""
    folder = fetch.tool("axe", user_environment(), print)
    return next(Path(folder).rglob("axe.min.js")).read_text()


def violations(page: Page) -> list[Any]:
    """Return what of WCAG AA a page violates: the rule, and where."""
    page.evaluate(axe())  # by the protocol of the debugger, which the page's policy does not concern
    found = page.evaluate("rules => axe.run(document, {runOnly: rules})", WCAG)
    return [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found["violations"]]


def shoot(page: Page, name: str) -> None:
    """Leave a picture of a page."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
