"""The few figures that many samples become, and what two benches differ by."""

import pytest
from rich.console import Console

from tests.bench.compare import compared, lines
from tests.bench.cpu import used
from tests.bench.figures import percentile, spread, summary
from tests.bench.loads import EVERY, UnknownLoad, chosen
from tests.bench.measure import Failed, recording_failures
from tests.bench.plot import svg
from tests.bench.results import Results, Run, load, rows, save
from tests.bench.special import back_after


def run(rate: float, number: int, target: str = "cartwright", load: str = "products", cpu: float = 0.1) -> Run:
    """Give a run of a hundred requests."""
    return Run(
        load=load,
        target=target,
        round=number,
        seconds=100 / rate,
        requests=100,
        good=100,
        not_sent=0,
        ended="done",
        answers={"page 200": 100},
        times={"page": {"p50": 0.001, "p99": 0.002}},
        unit="page",
        cpu={"gateway": cpu, "product": cpu / 2},
        generator_cpu=0.01,
    )


def results(*runs: Run) -> Results:
    """Give results that hold these runs."""
    return Results(machine={}, runs=list(runs))


def test_percentiles_are_samples() -> None:
    """A percentile is the smallest sample that so many per cent are not above; of nothing it is 0."""
    assert [percentile([1, 2, 3, 4], rank) for rank in (1, 25, 50, 51, 99, 100)] == [1, 1, 2, 3, 4, 4]
    assert percentile([], 99) == 0
    assert summary([3.0, 1.0, 2.0]) == {"count": 3, "p50": 2.0, "p95": 3.0, "p99": 3.0, "most": 3.0}


def test_a_ratio_is_taken_round_by_round() -> None:
    """The ratio to hello pairs runs of the same round, so that a slow minute does not count, nor a run that failed."""
    runs = [run(100, 1), run(1000, 1, "hello"), run(10, 2), run(100, 2, "hello"), run(999, 3, "hello"), run(50, 4)]
    row = rows(results(*runs))[0]
    assert row.to_hello == spread([0.1, 0.1])
    assert row.to_peer is None
    assert row.rate == {"median": 50, "least": 10, "most": 100}


def test_processor_time_is_a_request_s() -> None:
    """Processor time is given in µs a good request, in all and by part."""
    row = rows(results(run(100, 1), run(100, 2)))[0]
    assert row.cpu["median"] == pytest.approx(1500)
    assert row.cpu_by_part == {"gateway": 1000, "product": 500}


def test_processor_time_at_rest_is_taken_off() -> None:
    """What a part uses while nobody asks is not a load's; nothing becomes negative, and a part that is new counts whole."""
    before, after = {"a": 1.0, "b": 1.0}, {"a": 3.0, "b": 1.1, "new": 0.5}
    assert used(before, after, {"a": 0.1, "b": 0.1}, 10) == pytest.approx({"a": 1.0, "b": 0.0, "new": 0.5})


def test_results_are_read_as_they_were_written(tmp_path) -> None:
    """A JSON file gives the results back, and a picture can be drawn of them."""
    measured = results(run(100, 1), run(1000, 1, "hello"))
    measured.note("memory", "at rest", "MiB", 12.5)
    measured.note("memory", "at rest", "MiB", 13.5)
    save(measured, tmp_path / "x" / "a.json")
    assert load(tmp_path / "x" / "a.json") == measured
    assert measured.figures[0].values == [12.5, 13.5]
    assert svg(rows(measured)).count("products") == 3


def test_a_difference_is_marked_where_the_runs_do_not_overlap() -> None:
    """Two spreads that overlap are no difference that a run less or more would not undo."""
    assert compared(spread([1, 2, 3]), spread([3, 4, 5]))[2] == "2.00"
    assert compared(spread([1, 2, 3]), spread([4, 4, 4]))[2] == "2.00 *"


def test_what_both_have_is_compared() -> None:
    """A load that only one of two benches has is left out."""
    before = results(run(100, 1), run(100, 1, load="cart"))
    after = results(run(200, 1))
    assert {line[0] for line in lines(before, after)} == {"products"}


def test_loads_are_chosen_by_name() -> None:
    """Loads run in their own order, all where none is named, and an unknown one is refused with the names."""
    assert chosen("cart, products") == ("products", "cart")
    assert chosen("") == EVERY
    with pytest.raises(UnknownLoad, match="buyers64"):
        chosen("everything")


@pytest.mark.parametrize(
    ("good", "seconds"),
    [
        ([10] * 15, 0),
        ([0, 0, 0, 10, 20, *[10] * 5, *[0] * 5], 3),
        ([0] * 15, 15),
        ([10, 9, 8] * 5, 0),
        ([7, 10, 10, 7, 10, 10, 7, *[10] * 8], 7),
    ],
)
def test_recovery_is_when_answers_stay_good(good, seconds) -> None:
    """It is back once nine in ten of what is asked in each second are good for the rest of the time."""
    assert back_after({str(second): count for second, count in enumerate(good)}, 10, 15) == seconds


@pytest.mark.parametrize(
    ("error", "exit_code", "printed"),
    [
        (None, 0, ""),
        (KeyboardInterrupt(), 130, ""),
        (Failed("no answer"), 1, "no answer"),
        (OSError("unforeseen"), 1, "OSError: unforeseen"),
    ],
)
def test_what_ends_a_bench_early_is_said(error, exit_code, printed) -> None:
    """A bench that ends early keeps its results, says why it ended, and exits with a code of its own for an interrupt."""
    found, console = results(), Console(record=True, width=200)
    with recording_failures(found, console):
        found.note("rest", "memory", "MiB", 1)
        if error is not None:
            raise error
    assert (found.exit_code, found.interrupted, len(found.figures)) == (exit_code, error is not None, 1)
    assert printed in console.export_text()
