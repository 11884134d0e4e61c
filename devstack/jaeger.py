"""How Jaeger is found, which takes the platform's traces, and what it is asked for."""

import re
import urllib.error
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack import beside, fetch, golang
from devstack.ports import HOST
from devstack.progress import Say

MOST_TRACES = 20_000
"""Traces in memory; the oldest are forgotten."""

SILENT = {"OTEL_TRACES_SAMPLER": "always_off"}
"""What Jaeger is told, so that it does not look for a collector of its own traces."""


@dataclass(frozen=True, slots=True)
class Jaeger:
    """The program, and whether it has pages. Those are not in its source, so that what is built here has none."""

    program: Path
    has_pages: bool


def find(env: Mapping[str, str], say: Say) -> Jaeger:
    """Return the `jaeger` of PATH (version 2), or ours, built where it is missing. Raises CannotFetch where it cannot be built."""
    if found := fetch.on_path("jaeger", env):
        return Jaeger(found, has_pages=True)
    return Jaeger(golang.program("jaeger", env, say), has_pages=False)


def configuration(*, otlp: int, query: int) -> dict[str, Any]:
    """Return the configuration of a Jaeger that listens on this machine alone, and keeps traces in memory."""
    return {
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query"],
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}},
            "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
        },
        "extensions": {
            "jaeger_storage": {"backends": {"memory": {"memory": {"max_traces": MOST_TRACES}}}},
            "jaeger_query": {
                "storage": {"traces": "memory"},
                "http": {"endpoint": f"{HOST}:{query}"},
                "grpc": {"endpoint": f"{HOST}:0"},  # nobody asks it
            },
        },
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"{HOST}:{otlp}"}}}},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "memory"}},
    }


def command(program: Path, configuration_file: Path) -> list[str]:
    """Return the command that runs Jaeger."""
    return [str(program), "--config", str(configuration_file)]


def trace(url: str, trace_id: str) -> Mapping[str, Any]:
    """Return a trace as the Jaeger at `url` has it; one that it does not know has no data. ValueError: that is no id."""
    if not re.fullmatch(r"[0-9a-f]{32}", trace_id):
        raise ValueError("the id of a trace is 32 hexadecimal digits")
    try:
        found: Mapping[str, Any] = beside.ask(f"{url}/api/traces/{trace_id}")
    except urllib.error.HTTPError as error:
        if error.code == 404:  # noqa: PLR2004 - not found
            return {"data": []}
        raise
    return found


def purchases(url: str, since: int) -> Sequence[Mapping[str, Any]]:
    """Return the traces of purchases that began since a time in microseconds; OSError where Jaeger does not answer."""
    asked = {"service": "gateway", "operation": "POST /api/v1/checkout", "start": since, "limit": 50}
    found: Sequence[Mapping[str, Any]] = beside.ask(f"{url}/api/traces?{urllib.parse.urlencode(asked)}")["data"] or []
    return found
