"""`make bench-tracing`: what tracing costs at 0, 1 and 100 %, measured in rounds on one platform, and printed as ratios.

In each round the platform's processes run once without tracing, once with 1 % of the requests sampled and once with all, in an order
that turns from round to round: what slows the machine slows all three. A ratio is that of a round. Spans go to a collector that reads
and forgets them.
"""

import argparse
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rich.console import Console

from devstack.table import PARTS
from devstack.trace import restart
from tests.bench.loads import CLOSED
from tests.bench.measure import MIRROR_TTL, Scales
from tests.bench.results import OURS, Run
from tests.platforms import OnThisMachine, new_stack

RATIOS = {"off": None, "1 %": "0.01", "100 %": "1"}
WARM = 1
REPEATS = 3


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


def settings(ratio: str | None, collector: str) -> dict[str, str]:
    """Return what processes are told; without a ratio they do not trace."""
    return {} if ratio is None else {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "OTEL_TRACES_SAMPLER_ARG": ratio}


def micros(run: Run) -> float:
    """Return the processor time of our processes for each good request, in microseconds."""
    ours = sum(seconds for part, seconds in run.cpu.items() if not PARTS[part].is_store)
    return ours * 1e6 / max(1, run.good)


def weigh(scales: Scales, loads: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Run each load some times; return the median of (requests a second, µs for each)."""
    found = {}
    for name in loads:
        runs = [scales.run(CLOSED[name], OURS, number) for number in range(WARM + REPEATS)][WARM:]
        found[name] = (statistics.median(run.rate for run in runs), statistics.median(map(micros, runs)))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--loads", default="products,cart,buyers64")
    asked, console = parser.parse_args(), Console(highlight=False, width=100)
    loads = [name for name in asked.loads.split(",") if name in CLOSED]
    seen: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    env = {"BANK_SUCCESS_RATE": "1", "LOG_LEVEL": "info", "MIRROR_SUCCESS_TTL": MIRROR_TTL}
    with sink() as collector, new_stack("bench-tracing", env=env) as stack:
        scales = Scales(OnThisMachine(stack), 0, None)
        names = [row["name"] for row in stack.rows() if not PARTS[row["name"]].is_store]
        for number in range(asked.runs):
            turn = number % len(RATIOS)
            for how in [*list(RATIOS)[turn:], *list(RATIOS)[:turn]]:
                restart(stack, names, settings(RATIOS[how], collector.url))
                scales.rest()
                before, began = collector.bytes, time.monotonic()
                for load, figures in weigh(scales, loads).items():
                    seen[load, how].append(figures)
                    console.print(f"run {number + 1}: {load:<10} {how:>5}  {figures[0]:8.0f}/s  {figures[1]:7.1f} µs")
                sent = (collector.bytes - before) / (time.monotonic() - began) / 1024
                console.print(f"run {number + 1}: {'':<10} {how:>5}  {sent:8.0f} KiB/s of spans")
    console.print(f"\n{'load':<10} {'':>5} {'req/s':>9} {'of off':>8} {'µs/req':>9} {'of off':>8}")
    for load in loads:
        for how in RATIOS:
            console.print(row(load, how, seen[load, how], seen[load, "off"]))


def row(load: str, how: str, found: Sequence[tuple[float, float]], off: Sequence[tuple[float, float]]) -> str:
    """Return a line of the table: medians, and the medians of the ratios to the same round without tracing."""
    columns = []
    for position in (0, 1):
        columns.append(statistics.median(one[position] for one in found))
        columns.append(statistics.median(one[position] / zero[position] for one, zero in zip(found, off, strict=True)))
    return f"{load:<10} {how:>5} {columns[0]:9.0f} {columns[1]:8.3f} {columns[2]:9.1f} {columns[3]:8.3f}"


if __name__ == "__main__":
    main()
