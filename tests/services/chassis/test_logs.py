"""Log lines are JSON, whatever is logged."""

import json

import pytest

from services.chassis.logs import _encode


@pytest.mark.parametrize("text", ["plain", "\ud800", "\x00", "\N{SNOWMAN}"], ids=ascii)
def test_any_text_can_be_logged(text):
    """A log call fails for no text: also not for a lone surrogate, which UTF-8 cannot hold."""
    assert json.loads(_encode({"event": text, "other": object})) == {"event": text, "other": str(object)}
