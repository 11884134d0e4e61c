"""Pictures of measurements as SVG files: the bench's bars by load and by part, and lines over time.

Own small code: bars and text are all it needs, and a plotting library would be the heaviest dependency of the project.
"""

import itertools
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from tests.bench.report import number
from tests.bench.results import Row

WIDTH, LEFT, BAR, GAP, TOP = 960, 110, 18, 8, 34
ROOM = WIDTH - LEFT - 150
COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e", "#9498a0")
SHOWN_PARTS = 9


def svg(rows: Sequence[Row]) -> str:
    """Draw the rows."""
    rates, rates_end = _rates(rows, TOP)
    parts, parts_end = _parts(rows, rates_end + TOP)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{parts_end + GAP}" font-family="sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{parts_end + GAP}" fill="white"/>',
            *rates,
            *parts,
            "</svg>",
        ]
    )


def _rates(rows: Sequence[Row], top: int) -> tuple[list[str], int]:
    drawn = [
        text(
            GAP, top - 14, "rate as a share of a bare aiohttp server's in the same round (median; line: least to most)"
        )
    ]
    with_ratio = [(row, row.to_hello) for row in rows if row.to_hello]
    full = max((ratio["most"] for _, ratio in with_ratio), default=1.0) or 1.0
    for row, ratio in with_ratio:
        drawn.append(text(LEFT - GAP, top + 13, row.load, anchor="end"))
        drawn.append(
            bar(LEFT, top, ratio["median"] / full * ROOM, COLOURS[0], f"{row.load}: {number(row.rate['median'])}/s")
        )
        start, end = (LEFT + ratio[side] / full * ROOM for side in ("least", "most"))
        drawn.append(
            f'<line x1="{start:.1f}" x2="{end:.1f}" y1="{top + BAR / 2}" y2="{top + BAR / 2}" stroke="black"/>'
        )
        drawn.append(text(end + GAP, top + 13, f"{ratio['median']:.3f} ({number(row.rate['median'])}/s)"))
        top += BAR + GAP
    return drawn, top


def _parts(rows: Sequence[Row], top: int) -> tuple[list[str], int]:
    drawn = [text(GAP, top - 14, "where a request's processor time goes (share of its own total)")]
    totals: dict[str, float] = {}
    for row in rows:
        for part, used in row.cpu_by_part.items():
            totals[part] = max(totals.get(part, 0.0), used / (row.cpu["median"] or 1))
    ranked = sorted(totals, key=lambda part: -totals[part])
    colours = dict(zip(ranked[:SHOWN_PARTS], COLOURS, strict=False))
    for row in rows:
        drawn.append(text(LEFT - GAP, top + 13, row.load, anchor="end"))
        whole, at = sum(row.cpu_by_part.values()) or 1.0, float(LEFT)
        for part in ranked:
            width = row.cpu_by_part.get(part, 0.0) / whole * ROOM
            drawn.append(
                bar(
                    at, top, width, colours.get(part, "#dddddd"), f"{part}: {number(row.cpu_by_part.get(part, 0.0))} µs"
                )
            )
            at += width
        drawn.append(text(at + GAP, top + 13, f"{number(row.cpu['median'])} µs"))
        top += BAR + GAP
    at = float(LEFT)
    for part, colour in [*colours.items(), ("others", "#dddddd")]:
        drawn += [bar(at, top, 10, colour, part), text(at + 14, top + 13, part)]
        at += 26 + 7 * len(part)
    return drawn, top + BAR


CHART_HEIGHT = 150
Series = Sequence[tuple[float, float]]
"""Seconds, and what was measured then."""


def lines(charts: Mapping[str, Mapping[str, Series]], marks: Sequence[tuple[float, str]] = ()) -> str:
    """Draw charts below each other, each of some series over the same time; `marks` are moments in which something happened."""
    last = max((at for lines in charts.values() for series in lines.values() for at, _ in series), default=1.0) or 1.0
    drawn: list[str] = []
    top = TOP
    for title, chart in charts.items():
        most = max((value for series in chart.values() for _, value in series), default=1.0) or 1.0
        drawn += [text(GAP, top - 14, f"{title}: at most {number(most)}; {last:.0f} s")]
        drawn.append(
            f'<rect x="{LEFT}" y="{top}" width="{ROOM}" height="{CHART_HEIGHT}" fill="none" stroke="#dddddd"/>'
        )
        for at, what in marks:
            x = LEFT + at / last * ROOM
            drawn.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{top + CHART_HEIGHT}" stroke="#eeaaaa">'
                f"<title>{escape(str(what))}</title></line>"
            )
        for (name, series), colour in zip(chart.items(), itertools.cycle(COLOURS)):
            points = " ".join(
                f"{LEFT + at / last * ROOM:.1f},{top + CHART_HEIGHT * (1 - value / most):.1f}" for at, value in series
            )
            drawn.append(
                f'<polyline points="{points}" fill="none" stroke="{colour}"><title>{escape(name)}</title></polyline>'
            )
            if len(chart) > 1 and series:
                drawn.append(text(LEFT + ROOM + GAP, top + CHART_HEIGHT * (1 - series[-1][1] / most), name))
        top += CHART_HEIGHT + TOP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" font-family="sans-serif" font-size="12">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{top}" fill="white"/>', *drawn, "</svg>"])


def bar(x: float, y: float, width: float, colour: str, title: str) -> str:
    """Draw a bar, with words that show under the pointer."""
    tip = f"<title>{escape(title)}</title>"
    return f'<rect x="{x:.1f}" y="{y}" width="{max(width, 0):.1f}" height="{BAR}" fill="{colour}">{tip}</rect>'


def text(x: float, y: float, words: str, anchor: str = "start") -> str:
    """Draw words that start, end or have their middle at x."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
