"""Draws a trace, as text for a terminal and as a page: a Jaeger that is built here has no pages of its own."""

import html
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

BAR = 40
"""Characters of a line's bar in a terminal."""
_STYLE = """
body{font:14px/1.5 system-ui,sans-serif;margin:2rem;color:#1b1f24;background:#fff}h1{font-size:1.2rem}
table{border-collapse:collapse;width:100%;table-layout:fixed}
td{padding:.1rem .5rem;white-space:nowrap;border-top:1px solid #e4e7eb;overflow:hidden;text-overflow:ellipsis}
.name{width:36%}.ms{width:6rem}.bar{width:34%}td.bar div{height:.8rem;min-width:2px;border-radius:2px;background:#3b6ea8}tr.failed td.bar div{background:#b3261e}
tr.failed td{color:#b3261e}.ms{text-align:right;font-variant-numeric:tabular-nums}.facts{color:#5b6570}
@media(prefers-color-scheme:dark){body{color:#e6e9ed;background:#14181d}td{border-color:#2a3037}tr.failed td{color:#ff8a80}
.facts{color:#98a2ad}}"""


@dataclass(frozen=True, slots=True)
class Span:
    """A span. Times are in microseconds."""

    id: str
    parent: str
    links: tuple[str, ...]
    """The ids of the spans that it links to."""
    service: str
    name: str
    start: int
    took: int
    facts: Mapping[str, Any]

    @property
    def failed(self) -> bool:
        """Whether it is a failure."""
        return bool(self.facts.get("error"))


def spans_in(answer: Mapping[str, Any]) -> list[Span]:
    """Return the spans of a trace as Jaeger's query API has it (`/api/traces/<id>`)."""
    found = []
    for trace in answer["data"] or ():
        services = {key: one["serviceName"] for key, one in trace["processes"].items()}
        for one in trace["spans"]:
            references = one.get("references") or ()
            parents = [ref["spanID"] for ref in references if ref["refType"] == "CHILD_OF"]
            links = [ref["spanID"] for ref in references if ref["refType"] != "CHILD_OF"]
            facts = {tag["key"]: tag["value"] for tag in one["tags"]}
            found.append(
                Span(
                    one["spanID"],
                    parents[0] if parents else "",
                    tuple(links),
                    services[one["processID"]],
                    one["operationName"],
                    one["startTime"],
                    one["duration"],
                    facts,
                )
            )
    return found


def tree(spans: list[Span]) -> Iterator[tuple[int, Span]]:
    """Yield each span below its parent, with its depth. Siblings come in the order of their begin."""
    ids = {one.id for one in spans}
    below: dict[str, list[Span]] = defaultdict(list)
    for one in sorted(spans, key=lambda one: one.start):
        below[one.parent if one.parent in ids else ""].append(one)

    def walk(parent: str, depth: int) -> Iterator[tuple[int, Span]]:
        for one in below[parent]:
            yield depth, one
            yield from walk(one.id, depth + 1)

    return walk("", 0)


def lines(spans: list[Span]) -> Iterator[str]:
    """Return a trace as lines of a terminal."""
    if not spans:
        return
    first = min(one.start for one in spans)
    whole = max(one.start + one.took for one in spans) - first or 1
    for depth, one in tree(spans):
        left, length = _part(one.start - first, whole), max(1, _part(one.took, whole))
        bar = (" " * left + "━" * length)[:BAR].ljust(BAR)
        words = f"{'  ' * depth}{one.service}: {one.name}"
        failed = "  FAILED" if one.failed else ""
        links = f"  links to {', '.join(one.links)}" if one.links else ""
        yield f"{one.took / 1000:9.1f} ms  {bar}  {words}{failed}{links}"


def _part(micros: int, whole: int) -> int:
    return round(micros * BAR / whole)


def page(trace_id: str, spans: list[Span]) -> str:
    """Return a trace as a page."""
    first = min((one.start for one in spans), default=0)
    whole = max((one.start + one.took for one in spans), default=1) - first or 1
    rows = []
    for depth, one in tree(spans):
        place = f"margin-left:{(one.start - first) / whole:.2%};width:{one.took / whole:.2%}"
        facts = " ".join(
            f"{name}={value}" for name, value in one.facts.items() if "." in name and not name.startswith("otel.")
        )
        links = f" ⇢ {', '.join(one.links)}" if one.links else ""
        rows.append(
            f'<tr class="{"failed" if one.failed else ""}"><td style="padding-left:{depth * 1.2 + 0.5}rem">'
            f"<b>{html.escape(one.service)}</b> {html.escape(one.name + links)}</td>"
            f'<td class="ms">{one.took / 1000:.1f} ms</td><td class="bar"><div style="{place}"></div></td>'
            f'<td class="facts" title="{html.escape(facts)}">{html.escape(facts)}</td></tr>'
        )
    body = (
        "".join(rows)
        or "<tr><td>No process has sent anything of this trace. It takes a second; load it again.</td></tr>"
    )
    title = f"Trace {html.escape(trace_id)}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}: {len(spans)} spans, {whole / 1000:.1f} ms</h1><table><colgroup><col class='name'><col class='ms'><col class='bar'><col></colgroup>{body}</table></html>"
    )
