"""Log lines are JSON, whatever is logged."""

import json
import subprocess
import sys

import pytest

from services.chassis.logs import _encode


@pytest.mark.parametrize("text", ["plain", "\ud800", "\x00", "\N{SNOWMAN}"], ids=ascii)
def test_any_text_can_be_logged(text):
    """A log call fails for no text: also not for a lone surrogate, which UTF-8 cannot hold."""
    assert json.loads(_encode({"event": text, "other": object})) == {"event": text, "other": str(object)}


def test_secrets_of_errors_are_left_out_of_the_lines():
    """An error's text is logged without its secrets, in its traceback too, whoever logs it."""
    program = """
import logging
from services.chassis.logs import set_up
log = set_up("gateway", "serve", "info")
try:
    raise ValueError("postgresql://shop:hunter2@db")
except ValueError as error:
    log.exception("failed", error=error)
    log.info("again", error=str(error))
    logging.getLogger("aiohttp").exception("Bearer hunter2")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in lines] == ["failed", "again", "Bearer [left out]"]
    assert lines[0]["exception"][0]["exc_value"] == lines[1]["error"] == "postgresql://[left out]@db"
    assert "hunter2" not in done.stdout + done.stderr
