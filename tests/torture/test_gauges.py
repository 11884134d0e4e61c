"""The figures of a long run."""

import math
from xml.etree import ElementTree as ET

import pytest

from tests.bench.plot import lines
from tests.torture.gauges import Gauges


def test_what_grows_is_seen() -> None:
    """A gauge that grows has its slope an hour, and one that was raised for a while and is flat again ends as it began.

    A moment at which a gauge was not known counts for nothing.
    """
    gauges = Gauges(None, None)
    for second in range(0, 3600, 60):
        held = 90 if 1000 < second < 2000 else 20
        lag = math.nan if second == 600 else 5.0
        gauges.samples.append((second, {"memory": 100 + second / 360, "database connections": held, "lag": lag}))
    rows = {name: figures for name, *figures in gauges.rows()}
    assert rows["memory"][3] == pytest.approx(10)
    assert rows["database connections"][:3] == [20, 20, 90]
    assert rows["lag"] == [5, 5, 5, pytest.approx(0)]
    assert len(gauges.series("lag")) == len(gauges.series("memory")) - 1


def test_the_picture_has_every_series_and_mark() -> None:
    """The plot is one SVG document with a line for each series, and a mark for each trouble in each chart."""
    drawn = ET.fromstring(lines({"a": {"x": [(0, 1), (9, 2)], "y": [(0, 3)]}, "b": {"z": [(5, 0)]}}, [(4, "killed")]))
    tags = [one.tag.rpartition("}")[2] for one in drawn.iter()]
    assert (tags.count("polyline"), tags.count("line")) == (3, 2)
