"""Medians, spreads and percentiles: how many samples become the few figures that are printed and compared."""

import math
import statistics
from collections.abc import Sequence
from typing import TypedDict


class Summary(TypedDict):
    """Seconds: how many there were, and where they lie."""

    count: int
    p50: float
    p95: float
    p99: float
    most: float


def summary(times: Sequence[float]) -> Summary:
    """Sum up times."""
    ordered = sorted(times)
    return {
        "count": len(ordered),
        "p50": percentile(ordered, 50),
        "p95": percentile(ordered, 95),
        "p99": percentile(ordered, 99),
        "most": ordered[-1] if ordered else 0.0,
    }


def percentile(ordered: Sequence[float], rank: float) -> float:
    """Give the smallest of the ordered values that `rank` per cent are not above (nearest rank); 0.0 of none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(len(ordered) * rank / 100) - 1)]


class Spread(TypedDict):
    """The runs of one figure: the median, the least and the most."""

    median: float
    least: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    """Give the median of a figure's runs and how far they lie apart; ValueError of none."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}
