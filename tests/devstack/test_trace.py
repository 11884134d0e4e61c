"""What `make trace` starts, tells the processes and shows."""

import json
import socket
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from devstack import jaeger, ports, trace, waterfall
from devstack.home import Home, user_environment
from services.chassis.tracing.settings import TracingSettings
from services.console.config import Config as ConsoleConfig
from services.console.rendering import Renderer, Statics

TRACE = "0af7651916cd43dd8448eb211c80319c"


def span(number, parent, name, start, took, **tags):
    """Give a span as Jaeger's API has it."""
    references = [{"refType": kind, "spanID": other} for kind, other in (("CHILD_OF", parent), *tags.pop("links", ()))]
    return {
        "traceID": TRACE,
        "spanID": number,
        "processID": "p1",
        "operationName": name,
        "startTime": start,
        "duration": took,
        "references": [one for one in references if one["spanID"]],
        "tags": [{"key": key, "value": value} for key, value in tags.items()],
    }


SPANS = [
    span("c", "a", "saga <b>", 2_000, 6_000, error=True, links=[("FOLLOWS_FROM", "x")]),
    span("a", "elsewhere", "POST /api/v1/checkout", 0, 10_000, **{"http.route": "/api/v1/checkout"}),
    span("b", "a", "SELECT payments", 1_000, 500),
]
ANSWER = {"data": [{"traceID": TRACE, "spans": SPANS, "processes": {"p1": {"serviceName": "gateway"}}}]}


def test_a_trace_in_a_terminal():
    """Each span stands below its parent, in the order of their begin, with its time, its failure and its links."""
    drawn = list(waterfall.lines(waterfall.spans_in(ANSWER)))
    assert [line.partition("gateway: ")[2] for line in drawn] == [
        "POST /api/v1/checkout",
        "SELECT payments",
        "saga <b>  FAILED  links to x",
    ]
    assert drawn[1].startswith("      0.5 ms      ━━ ")
    assert list(waterfall.lines([])) == []


def test_a_trace_as_a_page():
    """The page shows each span and nothing that a name smuggles in; of a trace that is not there yet it says so."""
    page = waterfall.page(TRACE, waterfall.spans_in(ANSWER))
    assert "3 spans, 10.0 ms" in page
    assert "saga &lt;b&gt;" in page
    assert "<b>&lt;" not in page
    assert "margin-left:20.00%;width:60.00%" in page
    assert "load it again" in waterfall.page(TRACE, [])


def test_processes_are_told_to_send_everything():
    """What a process is told makes it record every request, and the console link to the page of a trace."""
    told = trace.settings_of("http://127.0.0.1:4318", "http://127.0.0.1:16687/trace/")
    settings = TracingSettings.from_env(told)
    assert (settings.is_on, settings.ratio) == (True, 1.0)
    viewer = ConsoleConfig.from_env(told).trace_viewer_url
    link = Renderer(Statics(), viewer)._environment.globals["trace_url"](TRACE)
    assert link == f"http://127.0.0.1:16687/trace/{TRACE}"


def test_jaeger_listens_here_alone():
    """Jaeger takes and shows traces on this machine alone, and keeps a bounded number of them."""
    listens = jaeger.configuration(otlp=4318, query=16686)
    assert listens["receivers"]["otlp"]["protocols"] == {"http": {"endpoint": "127.0.0.1:4318"}}
    assert listens["extensions"]["jaeger_query"]["http"] == {"endpoint": "127.0.0.1:16686"}
    assert listens["extensions"]["jaeger_storage"]["backends"]["memory"] == {"memory": {"max_traces": 20_000}}


def test_a_jaeger_on_path_is_used(tmp_path, monkeypatch):
    """A Jaeger of the user's own is run instead of building one, and shows its own pages."""
    program = tmp_path / "jaeger"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(jaeger.golang, "program", lambda *_: tmp_path / "ours")
    env = {name: value for name, value in user_environment().items() if name != "DEVSTACK_IGNORE_PATH"}
    assert jaeger.find(env | {"PATH": str(tmp_path)}, print) == jaeger.Jaeger(program, has_pages=True)
    assert jaeger.find(env | {"PATH": "/nowhere"}, print) == jaeger.Jaeger(tmp_path / "ours", has_pages=False)


@pytest.fixture
def query():
    """Give the address of a stand-in for Jaeger's query API, which knows one trace."""

    class Api(BaseHTTPRequestHandler):
        def do_GET(self):
            known = self.path == f"/api/traces/{TRACE}"
            body = json.dumps(ANSWER if known else {"data": None, "errors": [{"code": 404}]}).encode()
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_page_of_a_trace(query):
    """The viewer shows a trace as a page and as text, says that one is not there yet, and refuses what is no id."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with trace._pages(query, port):

        def page(path):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.read().decode()

        assert "POST /api/v1/checkout" in page(f"/trace/{TRACE}")
        assert len(page(f"/trace/{TRACE}.txt").splitlines()) == 3
        assert "load it again" in page(f"/trace/{'1' * 32}")
        for wrong in ("/trace/../etc", "/", "/trace/x"):
            with pytest.raises(urllib.error.HTTPError, match="404") as refused:
                page(wrong)
            refused.value.close()


def test_nothing_to_trace(refused):
    """Without a running platform the command says how to start one."""
    assert "start it with: make up" in refused("trace")


def test_a_port_that_is_taken_is_named(tmp_path):
    """A port that is taken is said with who holds it, and which variable chooses another."""

    class Running:
        home = Home(tmp_path)

        def rows(self):
            return []

    with socket.create_server(("127.0.0.1", 0)) as held:
        port = str(held.getsockname()[1])
        with pytest.raises(ports.PortTaken, match=rf"port {port} is taken by .*OTLP_PORT=… make trace"):
            trace.trace(Running(), {"OTLP_PORT": port, "JAEGER_PORT": "16999"}, print, print)
