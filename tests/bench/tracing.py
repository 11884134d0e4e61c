"""`make bench-tracing`: what tracing costs at 0, 1 and 100 %, measured in rounds and printed as ratios.

Four platforms stand side by side: two without tracing, one with 1 % of the requests sampled, one with all. Each round puts the same
short load on one after the other, in an order that turns: what slows the machine slows all four. A ratio is that of a round to the
first platform without tracing. The second one, "off again", is the control: it differs from the first in nothing, so the ratios of
its row are the error of the measurement, and a difference that is not larger means nothing. Spans go to a collector that reads and
forgets them.
"""

import argparse
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rich.console import Console

from devstack.client import Stack
from devstack.table import PARTS
from tests.bench.cpu import cpu_seconds
from tests.bench.generator import Order
from tests.bench.measure import generate, new_users
from tests.platforms import new_stack

RATIOS = {"off": None, "off again": None, "1 %": "0.01", "100 %": "1"}
LOADS = {"products": ("page", 100, 40), "cart": ("readers", 50, 60), "buyers64": ("buyers", 64, 6)}
"""What a load sends, over how many connections, and how often each."""
LEFT_OUT = frozenset({"etcd", "apiserver", "operator", "console"})
"""Parts that no shopper waits for; four of each would only keep the machine busy."""
LAST_SECONDS = 1.0
"""How long after a load its rest is waited for: events, orders, spans."""


class Sink:
    """A collector that forgets."""

    def __init__(self) -> None:
        self.bytes = 0
        self.url = ""


@contextmanager
def sink() -> Iterator[Sink]:
    """Run a collector that forgets what it gets."""
    into = Sink()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            into.bytes += len(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    into.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield into
    finally:
        server.shutdown()
        server.server_close()


class Platform:
    """One of the platforms."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._port = int(stack.env()["CARTWRIGHT_URL"].rpartition(":")[2])
        self._readers = new_users()
        generate(Order(self._port, "filler", 10, 5, self._readers))

    def weigh(self, load: str) -> tuple[float, float]:
        """Run a load; return its good requests a second, and the µs of processor time of our processes for each."""
        kind, connections, amount = LOADS[load]
        user = self._readers if kind == "readers" else new_users()
        pids = {row["name"]: row["pid"] for row in self._stack.rows() if not PARTS[row["name"]].is_store}
        before = sum(cpu_seconds(pids).values())
        words = generate(Order(self._port, kind, connections, amount, user, seconds=60.0))
        time.sleep(LAST_SECONDS)
        used = sum(cpu_seconds(pids).values()) - before
        return words["good"] / words["seconds"], used * 1e6 / max(1, words["good"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--loads", default=",".join(LOADS))
    asked, console = parser.parse_args(), Console(highlight=False, width=100)
    loads = [name for name in asked.loads.split(",") if name in LOADS]
    seen: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    parts = [name for name in PARTS if name not in LEFT_OUT]
    with sink() as collector, ExitStack() as stacks:
        platforms = {}
        for number, (how, ratio) in enumerate(RATIOS.items()):
            told = (
                {}
                if ratio is None
                else {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_TRACES_SAMPLER_ARG": ratio}
            )
            env = {"BANK_SUCCESS_RATE": "1", "LOG_LEVEL": "info", **told}
            stack = stacks.enter_context(new_stack(f"bench-tracing-{number}", only=parts, env=env))
            platforms[how] = Platform(stack)
            console.print(f"{how} is ready")
        for number in range(asked.runs + 1):
            turn = number % len(RATIOS)
            for load in loads:
                for how in [*list(RATIOS)[turn:], *list(RATIOS)[:turn]]:
                    figures = platforms[how].weigh(load)
                    if number:  # the first round warms up
                        seen[load, how].append(figures)
            console.print(f"round {number} of {asked.runs}, {collector.bytes >> 10} KiB of spans")
            if number:
                table(console, loads, seen)


def table(console: Console, loads: Sequence[str], seen: Mapping[tuple[str, str], list[tuple[float, float]]]) -> None:
    """Print what there is."""
    console.print(
        f"{'load':<10} {'':>9} {'req/s':>7} {'of off':>6} {'(middle half)':>15} {'µs/req':>8} {'of off':>6} {'(middle half)':>15}"
    )
    for load in loads:
        for how in RATIOS:
            console.print(row(load, how, seen[load, how], seen[load, "off"]))


def row(load: str, how: str, found: Sequence[tuple[float, float]], off: Sequence[tuple[float, float]]) -> str:
    """Return a line of the table: medians, and the medians of the ratios to the same round without tracing, with their quartiles."""
    text = f"{load:<10} {how:>9}"
    for position, width in ((0, 7), (1, 8)):
        ratios = [one[position] / zero[position] for one, zero in zip(found, off, strict=True)]
        low, middle, high = quartiles(ratios)
        text += f" {statistics.median(one[position] for one in found):{width}.0f} {middle:6.3f} {f'({low:.3f} to {high:.3f})':>15}"
    return text


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile; of one value it is all three."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


if __name__ == "__main__":
    main()
