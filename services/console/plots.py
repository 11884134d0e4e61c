"""Small plots as SVG: stacked bars and lines of the last hour. Pure; they have no styles of their own, but classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 600, 100
_TOP, _BOTTOM = 8, 80
_LABEL_Y = 94


@dataclass(frozen=True, slots=True)
class Series:
    """Values of one kind; None where there is none."""

    name: str
    tone: str
    values: Sequence[float | None]


def bars(title: str, series: Sequence[Series], *, unit: str = "") -> str:
    """Return bars that stand on each other, one for each position, the oldest first."""
    count = max((len(one.values) for one in series), default=0)
    totals = [sum(one.values[at] or 0 for one in series) for at in range(count)]
    most = max([*totals, 1])
    width = WIDTH / max(count, 1)
    drawn = []
    for at in range(count):
        base = float(_BOTTOM)
        for one in series:
            height = (one.values[at] or 0) / most * (_BOTTOM - _TOP)
            if height:
                base -= height
                drawn.append(
                    f'<rect class="tone-{one.tone}" x="{at * width + 0.5:.1f}" y="{base:.1f}"'
                    f' width="{max(width - 1, 1):.1f}" height="{height:.1f}"></rect>'
                )
    latest = ", ".join(f"{one.name} {_number(one.values[-1])}" for one in series if one.values)
    return _svg(f"{title}: at most {_number(most)}{unit}; last: {latest}", "".join(drawn), most, unit)


def line(title: str, values: Sequence[float | None], *, unit: str = "", tone: str = "running") -> str:
    """Return a line through the values, the oldest first, with gaps where there is none."""
    known = [value for value in values if value is not None]
    most = max([*known, 1])
    step = WIDTH / max(len(values) - 1, 1)
    path, pen = [], "M"
    for at, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        path.append(f"{pen}{at * step:.1f} {_BOTTOM - value / most * (_BOTTOM - _TOP):.1f}")
        pen = "L"
    drawn = f'<path class="line tone-{tone}" d="{" ".join(path)}"></path>' if path else ""
    last = f"; now {_number(known[-1])}{unit}" if known else "; nothing measured yet"
    return _svg(f"{title}: at most {_number(most)}{unit}{last}", drawn, most, unit)


def _svg(says: str, drawn: str, most: float, unit: str) -> str:
    axis = f'<line class="axis" x1="0" y1="{_BOTTOM}" x2="{WIDTH}" y2="{_BOTTOM}"></line>'
    labels = (
        f'<text x="0" y="{_LABEL_Y}">an hour ago</text>'
        f'<text x="{WIDTH}" y="{_LABEL_Y}" text-anchor="end">now</text>'
        f'<text x="0" y="{_TOP + 4}">{escape(_number(most) + unit)}</text>'
    )
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(says)}">'
        f"{axis}{drawn}{labels}</svg>"
    )


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 10 else f"{value:.1f}"  # noqa: PLR2004 - a decimal of small ones
