"""Traces a running platform until Ctrl-C: Jaeger takes every span, and a page shows each trace.

The processes learn where to send spans by being started again with the settings for it, and at the end without them. That takes some
seconds each time, in which requests wait or are refused; nothing is lost. Traces are kept in memory, and gone at the end.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

from devstack import beside, jaeger, waterfall
from devstack.client import Stack, StackError
from devstack.ports import HOST
from devstack.progress import Say
from devstack.table import PARTS

POLL_SECONDS = 1.0
RESTART_SECONDS = 90.0
LINGER_SECONDS = 3.0
"""How long after its first span a purchase is left alone: its consumers and its mirror come later."""
DEFAULT_PORTS = {"JAEGER_PORT": 16686, "OTLP_PORT": 4318, "TRACE_PORT": 16687}


def trace(stack: Stack, env: Mapping[str, str], say: Say, building: Callable[[], AbstractContextManager[Say]]) -> None:
    """Trace until KeyboardInterrupt. What `building` gives is told how the build of Jaeger goes.

    Raises NotReady, StackError, CannotFetch or PortTaken where that is impossible.
    """
    stack.rows()  # a platform that does not run is said before anything is built
    chosen = {
        variable: beside.port(variable, default, env, "make trace") for variable, default in DEFAULT_PORTS.items()
    }
    with building() as shown:
        found = jaeger.find(env, shown)
    url, home = f"http://{HOST}:{chosen['JAEGER_PORT']}", stack.home
    folder = home.path / "trace"
    folder.mkdir(exist_ok=True)
    file = folder / "jaeger.yaml"
    settings = jaeger.configuration(otlp=chosen["OTLP_PORT"], query=chosen["JAEGER_PORT"])
    file.write_text(yaml.safe_dump(settings, sort_keys=False))
    with ExitStack() as running:
        running.enter_context(
            beside.running("jaeger", jaeger.command(found.program, file), {**env, **jaeger.SILENT}, home)
        )
        beside.wait_ready("jaeger", f"{url}/api/services", home)
        viewer = f"{url}/trace/" if found.has_pages else f"http://{HOST}:{chosen['TRACE_PORT']}/trace/"
        if not found.has_pages:
            running.enter_context(_pages(url, chosen["TRACE_PORT"]))
        say(f"Jaeger takes traces: {url}" + ("" if found.has_pages else " (its API; a Jaeger built here has no pages)"))
        say("Starting the platform's processes again, so that they send their spans …")
        running.enter_context(_tracing(stack, f"http://{HOST}:{chosen['OTLP_PORT']}", viewer, say))
        say("Every request is traced. Purchases are shown here as they come, and the console links to their traces.")
        say("Ctrl-C ends this, and starts the processes again without it.")
        for line in purchases(url, viewer):
            say(line)


def settings_of(collector: str, viewer: str) -> dict[str, str]:
    """Return what a process is told: to send every span soon, and where people see it."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "OTEL_TRACES_SAMPLER": "always_on",
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "TRACE_VIEWER_URL": f"{viewer}{{trace_id}}",
    }


@contextmanager
def _tracing(stack: Stack, collector: str, viewer: str, say: Say) -> Iterator[None]:
    """Have the processes that run send their spans, and at the end no more."""
    names = [row["name"] for row in stack.rows() if not PARTS[row["name"]].is_store and row["pid"]]
    try:
        restart(stack, names, settings_of(collector, viewer))
        yield
    finally:
        say("Starting the platform's processes again without traces …")
        try:
            restart(stack, names, {})
        except StackError as error:  # the platform has ended meanwhile, or says itself what is wrong
            say(str(error))


def restart(stack: Stack, names: list[str], env: dict[str, str]) -> None:
    """Start parts again, all at once, with these settings over the stack's own, and wait until they are ready."""
    failures: list[StackError] = []

    def one(name: str) -> None:
        try:
            stack.request("restart", part=name, env=env)
        except StackError as error:
            failures.append(error)

    # All at once, and in threads that end by themselves: each request waits until the process has drained.
    threads = [threading.Thread(target=one, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    stack.wait_ready(*names, timeout=RESTART_SECONDS)


def purchases(url: str, viewer: str) -> Iterator[str]:
    """Yield a line for each purchase that Jaeger comes to know, for ever."""
    since, told = int(time.time() * 1e6), set[str]()
    while True:
        time.sleep(POLL_SECONDS)
        try:
            found = jaeger.purchases(url, since)
        except OSError as error:
            yield f"Jaeger does not answer: {error}"
            continue
        for one in sorted(found, key=lambda one: min(span["startTime"] for span in one["spans"])):
            spans = waterfall.spans_in({"data": [one]})
            began = min(span.start for span in spans)
            if one["traceID"] in told or time.time() - began / 1e6 < LINGER_SECONDS:
                continue
            told.add(one["traceID"])
            took = max(span.start + span.took for span in spans) - began
            clock = time.strftime("%H:%M:%S", time.localtime(began / 1e6))
            failed = ", failed" if any(span.failed for span in spans) else ""
            yield f"{clock}  a purchase: {took / 1000:.0f} ms, {len(spans)} spans{failed}  {viewer}{one['traceID']}"


@contextmanager
def _pages(url: str, port: int) -> Iterator[None]:
    """Serve `/trace/<id>`, drawn from what Jaeger has; with `.txt` as text."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            trace_id, _, kind = self.path.removeprefix("/trace/").partition(".")
            try:
                spans = waterfall.spans_in(jaeger.trace(url, trace_id))
            except ValueError as error:
                return self._answer(404, f"{error}\n", "plain")
            except OSError as error:
                return self._answer(502, f"Jaeger does not answer: {error}\n", "plain")
            if kind == "txt":
                return self._answer(200, "".join(f"{line}\n" for line in waterfall.lines(spans)), "plain")
            return self._answer(200, waterfall.page(trace_id, spans), "html")

        def _answer(self, status: int, text: str, kind: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", f"text/{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the library's signature
            """Say nothing: lines of the terminal are for purchases."""

    server = ThreadingHTTPServer((HOST, port), Page)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
