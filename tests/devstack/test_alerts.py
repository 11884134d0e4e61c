"""Alerts as lines of a terminal."""

import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from devstack.alerts import Alert, changes, firing


def alert(name="CartwrightPartDown", says="it is down", **labels):
    """Give an alert that fires."""
    told = {"alertname": name, "severity": "critical", "namespace": "local", **labels}
    return Alert(frozenset(told.items()), says, f"docs/runbooks/{name}.md")


def shown(*looks):
    """Give the lines that are shown while Prometheus says this, one answer after the other."""
    answers, lines = [*looks, KeyboardInterrupt()], []

    def look():
        answer = answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    with suppress(KeyboardInterrupt):
        lines.extend(changes(look, pause=lambda _: None))
    return lines


def test_an_alert_is_shown_when_it_begins_and_when_it_ends():
    """Each alert is shown once, with what it says and the page that helps, and once more when it ends."""
    orders, cart = alert(part="orders"), alert(part="cart")
    assert shown([], [orders], [orders, cart], [cart]) == [
        "critical: CartwrightPartDown (orders). it is down\n    What to do: docs/runbooks/CartwrightPartDown.md",
        "critical: CartwrightPartDown (cart). it is down\n    What to do: docs/runbooks/CartwrightPartDown.md",
        "ended: CartwrightPartDown (orders).",
    ]


def test_a_value_that_changes_is_no_new_alert():
    """An alert is the same one while its labels are, whatever its text says by then."""
    assert len(shown([alert(says="for 5 minutes")], [alert(says="for 6 minutes")])) == 1


def test_a_prometheus_that_does_not_answer_ends_no_alert():
    """While Prometheus does not answer nothing is known to have changed."""
    assert shown([alert()], OSError("refused"), [alert()], []) == [
        "critical: CartwrightPartDown. it is down\n    What to do: docs/runbooks/CartwrightPartDown.md",
        "ended: CartwrightPartDown.",
    ]


def test_a_prometheus_that_refuses_keeps_no_connection_open():
    """A Prometheus that answers 503 counts as one that does not answer, and its connection is closed."""

    class Starting(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(503)

        def log_message(self, *_):
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Starting) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        with pytest.raises(OSError, match="503") as refused:
            firing(f"http://127.0.0.1:{server.server_port}")
    assert refused.value.closed
