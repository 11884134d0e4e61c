"""The cost budget: what a read, a cart write and a purchase cost in statements, commits, WAL, calls and writes, counted exactly."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.bench import budget
from tests.bench.counters import Counters, without_wal
from tests.bench.weighing import LOADS, Scales
from tests.platforms import OnThisMachine

pytestmark = [pytest.mark.e2e, pytest.mark.local]

ALONE, TOGETHER = 8, 64


@pytest.fixture(scope="module")
def table() -> budget.Budget:
    """Give the committed table."""
    return budget.read(budget.TABLE.read_text())


@pytest.fixture(scope="module")
def scales(platform: OnThisMachine, table: budget.Budget, eventually: Callable[..., Any]) -> Iterator[Scales]:
    """Give the scales, on a platform that is warm: connections made, scripts and plans kept."""
    with Counters(platform, table.is_background, table.background_rpcs) as counters:
        scales = Scales(platform, counters, eventually)
        scales.warm_up(TOGETHER)
        yield scales


@pytest.mark.parametrize("how", ["alone", "together"])
@pytest.mark.parametrize("name", LOADS)
def test_a_request_costs_what_the_budget_says(name: str, how: str, scales: Scales, table: budget.Budget) -> None:
    """A request costs no more than the committed table allows; one that has become cheaper must lower the table."""
    count, at_once = (ALONE, 1) if how == "alone" else (TOGETHER, TOGETHER)
    counted, count = scales.weigh(LOADS[name], count, at_once)
    load = f"{name} {how}"
    differing = budget.differences(table.loads.get(load, {}), counted, count)
    assert not differing, "\n".join([load, *differing, "as it was counted:", budget.shown(load, counted, count)])


def test_nothing_is_done_while_nobody_asks(scales: Scales, eventually: Callable[..., Any]) -> None:
    """While no user asks for anything only what the budget names as background is done."""
    seen, before = scales.counters.seen, scales.counters.settled(0.8)
    until = time.monotonic() + 2
    eventually(lambda: time.monotonic() > until)
    done = without_wal(scales.counters.read() - before)
    assert not done, (done, scales.counters.seen - seen)
