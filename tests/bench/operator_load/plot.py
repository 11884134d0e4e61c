"""The picture of the operator's bench: each line of the results over time, one panel a unit."""

from collections.abc import Sequence
from itertools import groupby

from tests.bench.plot import COLOURS, GAP, WIDTH, bar, text
from tests.bench.report import number
from tests.bench.results import Line

LEFT, HEIGHT, TITLE, LEGEND = 60, 200, 30, 40
ROOM = WIDTH - LEFT - 20


def svg(lines: Sequence[Line]) -> str:
    """Draw the lines."""
    panels = [list(of_unit) for _, of_unit in groupby(lines, key=lambda line: (line.load, line.unit))]
    height = len(panels) * (TITLE + HEIGHT + LEGEND) + GAP
    drawn = [part for number, panel in enumerate(panels) for part in _panel(panel, number * (TITLE + HEIGHT + LEGEND))]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
            *drawn,
            "</svg>",
        ]
    )


def _panel(lines: Sequence[Line], top: int) -> list[str]:
    base = top + TITLE + HEIGHT
    most = max((value for line in lines for value in line.values), default=0.0) or 1.0
    steps = max((len(line.values) for line in lines), default=1)
    seconds = steps * lines[0].step_seconds
    drawn = [text(GAP, top + TITLE - 10, f"{lines[0].load}: {lines[0].unit}")]
    for share in (0.0, 0.5, 1.0):
        y = base - share * HEIGHT
        drawn.append(f'<line x1="{LEFT}" x2="{LEFT + ROOM}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>')
        drawn.append(text(LEFT - GAP, y + 4, number(share * most), anchor="end"))
        drawn.append(text(LEFT + share * ROOM, base + 16, f"{number(share * seconds)} s", anchor="middle"))
    at = float(LEFT)
    for line, colour in zip(lines, COLOURS, strict=False):
        points = " ".join(
            f"{LEFT + (step + 0.5) / steps * ROOM:.1f},{base - value / most * HEIGHT:.1f}"
            for step, value in enumerate(line.values)
        )
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        drawn += [bar(at, base + 22, 10, colour, line.name), text(at + 14, base + 35, line.name)]
        at += 40 + 7 * len(line.name)
    return drawn
