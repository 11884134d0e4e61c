"""No token, password or key is in a line of the operator's log, whoever wrote the line."""

import json
import logging

import pytest
import structlog

from checkout_operator.redaction import LEFT_OUT, redacted
from checkout_operator.telemetry import make_log

SECRET = "hunter2hunter2"
JWT = f"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.{SECRET}"
TEXTS = (
    f"401 for Authorization: Bearer {SECRET}",
    f"the plugin answered {{'status': {{'token': '{SECRET}', 'expirationTimestamp': 'x'}}}}",
    f"token: {SECRET}",
    f'{{"clientKeyData": "{SECRET}"}}',
    f"cannot connect to proxy http://user:{SECRET}@proxy:3128",
    f"-----BEGIN EC PRIVATE KEY-----\n{SECRET}\n-----END EC PRIVATE KEY-----",
    f'spec.idempotencyKey: Invalid value: "a \\"{SECRET}": may not be changed',
    f"metadata.name: Invalid value: {SECRET}: too long",
    f"not a token: {JWT}",
)
PLAIN = (
    "shop/co-7 was not found",
    "http://127.0.0.1:6443 does not answer within 5 s",
    "a token has expired",
    "spec.items: Required value",
)


@pytest.fixture
def lines(capsys):
    """Log as the operator does; give the lines so far."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)


@pytest.mark.parametrize("text", TEXTS)
def test_no_secret_is_logged(lines, text):
    """A line of ours, one of kopf and a traceback have no secret in them, in any field."""
    log = make_log("info")
    log.warning("a write failed", error=text, causes=[{"text": text}])
    log.info(text)
    logging.getLogger("kopf.objects").error("it failed: %s", text)
    for logger in (log, logging.getLogger("kopf")):
        logger.error("an unexpected error", exc_info=ValueError(text))
    written = lines()
    assert len(written) == 5
    for line in written:
        assert SECRET not in str(line)
        assert LEFT_OUT in str(line)


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_secret_stays(lines, text):
    """A text without a secret is logged as it is, and numbers stay numbers."""
    make_log("info").warning("a write failed", error=text, seconds=1.5, resources=3, done=True)
    [line] = lines()
    assert (line["error"], line["seconds"], line["resources"], line["done"]) == (text, 1.5, 3, True)


def test_a_token_that_is_cut_off_is_left_out():
    """Texts of errors are cut at a length; the beginning of a token is as secret as the whole."""
    assert redacted(f"x {JWT}"[:30]) == f"x {LEFT_OUT}"
