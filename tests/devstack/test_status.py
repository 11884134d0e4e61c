"""What `make status` says: how each part is, how far the events are behind, and where to go."""

import http.server
import threading
from contextlib import contextmanager

import pytest
from rich.console import Console

from devstack import health, status

WELL = '{"status": "serving", "dependencies": {"postgres": "ok"}}'
WITHOUT_KAFKA = '{"status": "serving", "dependencies": {"postgres": "ok", "kafka": "not connected"}}'
OUTBOX = "cartwright_outbox_waiting 34.0\ncartwright_outbox_oldest_seconds 12.4\n"
LAG = 'cartwright_consumer_lag_messages{partition="0"} 3.0\ncartwright_consumer_lag_messages{partition="1"} 4.0\n'
URLS = {"CARTWRIGHT_URL": "http://127.0.0.1:8080", "CONSOLE_URL": "http://127.0.0.1:8090"}


@contextmanager
def part(name, ready, metrics="", *, code=200):
    """Serve the pages of a part, and give its row of the stack's status."""

    class Pages(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = (ready if self.path == "/ready" else metrics).encode()
            self.send_response(code if self.path == "/ready" else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Write nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield row(name, server.server_port)
        server.shutdown()


def row(name, port, state="ready"):
    """Give the row of a part in the stack's status."""
    return {"name": name, "state": state, "pid": 7, "restarts": 2, "failures": 0, "ports": [port], "seconds": 75}


def shown(rows, env=None, *, width=80):
    """Give what a person reads."""
    parts, measured = health.ask(rows, env or {})
    console = Console(width=width, highlight=False, markup=False, soft_wrap=True, force_terminal=False)
    with console.capture() as capture:
        status.show(console, parts, measured, URLS)
    return capture.get()


def test_health_lag_and_addresses():
    """A page says what a part lacks, how old the oldest event is, how far each consumer is behind, and the address of each part."""
    with (
        part("gateway", WELL) as gateway,
        part("checkout-relay", WITHOUT_KAFKA, OUTBOX) as relay,
        part("cart-consumer", WELL, LAG) as consumer,
    ):
        said = shown([gateway, relay, consumer, row("redis", 6379)])
    lines = {line.split()[0]: line for line in said.splitlines() if line.strip()}
    assert lines["redis"].split() == ["redis", "ready", "127.0.0.1:6379", "1", "min", "15", "s", "2", "7"]
    assert "checkout-relay is without kafka: not connected" in said
    assert "outbox         34 events wait, the oldest for 12 s" in said
    assert "cart-consumer  7 messages behind" in said
    assert "gateway        http://localhost:8080" in said
    assert all(len(line.rstrip()) <= 80 for line in said.splitlines())


@pytest.mark.parametrize(
    ("page", "code", "state", "ready"),
    [
        (WELL, 200, "ready", True),
        (WITHOUT_KAFKA, 200, "degraded", True),
        ('{"status": "draining", "dependencies": {}}', 503, "draining", False),
        ("no JSON", 200, "silent", False),
    ],
)
def test_a_part_is_what_its_own_page_says(page, code, state, ready):
    """What counts is the page of a part and not only that its process runs."""
    with part("orders", page, code=code) as one:
        (found,), _ = health.ask([one], {})
    assert (found.state, found.is_ready) == (state, ready)


def test_a_part_that_does_not_answer():
    """A part that does not answer is silent, and what it would measure is unknown instead of 0."""
    said = shown([row("checkout-relay", 1), row("orders-consumer", 1)])
    assert said.count("silent") == 2
    assert "outbox           unknown" in said
    assert "orders-consumer  unknown" in said


def test_a_store_of_the_users_own_shows_no_password():
    """A store that a URL names is shown with its host and port, and nothing else of the URL."""
    said = shown(
        [], {"POSTGRES_URL": "postgresql://me:secret@db:5433/x", "BANK_POSTGRES_URL": "postgresql://db:5433/y"}
    )
    assert "db:5433" in said
    assert "secret" not in said
