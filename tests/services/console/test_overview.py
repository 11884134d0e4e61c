"""The front page: figures, what needs a person, and the plots of the last hour."""

from services.console.answers import Answer, AnswerState
from services.console.history import SAMPLES, Audit, Breaker, History, Sample
from services.console.overview import MINUTE_MS, Facts, Minutes, overview
from services.console.plots import Series, bars, line
from services.pb import checkout_admin_pb2, checkout_pb2, inventory_pb2, product_pb2
from tests.services.console.made import NOW, checkout

MINUTE = NOW // MINUTE_MS * MINUTE_MS
DONE, FAILED = checkout_pb2.COMPLETED, checkout_pb2.FAILED


def ended(back, status=DONE, count=1, reason=""):
    return checkout_admin_pb2.EndedInMinute(
        minute_ms=MINUTE - back * MINUTE_MS, status=status, reason=reason, count=count
    )


def facts(**more):
    summary = checkout_admin_pb2.SummarizeCheckoutsResponse(
        running=[
            checkout_admin_pb2.RunningStep(saga_step="PAYING", count=3, oldest_created_at_ms=NOW - 20_000),
            checkout_admin_pb2.RunningStep(saga_step="RESERVED", count=1, oldest_created_at_ms=NOW - 100),
        ],
        steps=[
            checkout_admin_pb2.StepTime(name="pay", count=9, p50_ms=40, p99_ms=900),
            checkout_admin_pb2.StepTime(name="claim", count=9),
        ],
        now_ms=NOW,
    )
    stock = inventory_pb2.ListStockResponse(stock=[inventory_pb2.Stock(product_id=1, available=7, reserved=2, sold=1)])
    given = {
        "summary": Answer("checkout", AnswerState.FOUND, summary),
        "minutes": Minutes().merged([ended(0, count=2), ended(1, count=5), ended(1, FAILED, 1, "OutOfStock")], 0, NOW),
        "stuck": [checkout("PAYING")],
        "stock": Answer("inventory", AnswerState.FOUND, stock),
        "products": Answer("product", AnswerState.FOUND, {1: product_pb2.Product(id=1, name="Laptop")}),
        "now_ms": NOW,
    }
    return Facts(**given | more)


def test_figures_count_this_minute_and_the_hour():
    """The first figures are what was bought and what failed, now and in the last hour; then what is in flight."""
    figures = {one.name: one for one in overview(facts(), History()).figures}
    assert (figures["Bought this minute"].value, figures["Failed this minute"].value) == ("2", "0")
    assert figures["Bought this minute"].note == "5 the minute before, 7 in the hour"
    assert (figures["In flight"].value, figures["In flight"].note) == ("4", "the oldest for 20.0 s")
    assert figures["In flight"].tone == "warning"


def test_phases_and_steps_are_merged_and_ordered():
    """Steps that show one phase are counted together, and a step whose time is not measured is not shown as 0."""
    found = overview(facts(), History())
    assert [(one.phase, one.count, one.oldest) for one in found.in_flight] == [("Paying", 4, "20.0 s")]
    assert [(one.name, one.p50, one.p99) for one in found.steps] == [("Pay", "40 ms", "900 ms")]
    assert found.outcomes == (("bought", "good", 7), ("there was too little stock", "bad", 1))
    assert [(one.name, one.held, one.sold) for one in found.stock] == [("Laptop", 2, 1)]


def test_what_needs_a_person_is_said_in_words():
    """Open breakers, a late outbox, messages set aside and parts that are away are warnings; a calm platform has none."""
    history = History()
    history.add(Sample(NOW, 0.0, 0, running=0))
    assert overview(facts(), history).warnings == ()
    history.add(
        Sample(NOW, 75.0, 12, breakers=(Breaker("checkout", "payment"),), dead_messages=1, away=("cart-consumer",))
    )
    warnings = overview(facts(), history).warnings
    assert warnings == (
        "checkout gets no answer from payment, and does not call it for a few seconds.",
        "Events have waited for 1 min 15 s to be published: orders are late, and what was bought stays in carts.",
        "1 message could not be applied and were set aside.",
        "cart-consumer does not answer.",
    )


def test_the_books_are_said_to_agree_or_not():
    """The front page has the auditor's verdict, and says which books it does not compare; without an auditor it has none."""

    def figure(audit):
        history = History()
        history.add(Sample(NOW, 0.0, 0, running=0, audit=audit))
        found = overview(facts(), history)
        return [(one.value, one.note, one.tone) for one in found.figures if one.name == "Books"], found.warnings

    assert figure(None) == ([], ())
    assert figure(Audit({}, 0.0, 11, ())) == ([("agree", "11 books compared", "good")], ())
    assert figure(Audit({}, 0.0, 10, ("bank",)))[0] == [("agree", "10 books compared, not bank", "good")]
    shown, warnings = figure(Audit({"money": 1, "stock": 2}, 75.0, 11, ()))
    assert shown == [("3 differences", "the oldest for 1 min 15 s", "bad")]
    assert warnings == (
        "The books of the stores do not agree: money (1), stock (2). The log of the auditor names what differs.",
    )


def test_parts_that_are_away_are_named_once():
    """Without its services the page is still made, and says which are away."""
    away = {name: Answer(name, AnswerState.AWAY) for name in ("summary", "stock", "products")}
    found = overview(facts(**away, stuck=()), History())
    assert found.away == ("summary", "stock", "products")
    assert (found.stock, found.in_flight, found.measured) == ((), (), False)


def test_minutes_are_counted_anew_and_forgotten():
    """What is counted again takes the place of what was counted before; after an hour it is forgotten."""
    first = Minutes().merged([ended(2, count=1), ended(1, count=3), ended(61, count=9)], 0, NOW)
    second = first.merged([ended(1, count=4)], MINUTE - MINUTE_MS, NOW)
    assert second.of(DONE, NOW)[-3:] == [1, 4, 0]
    later = second.merged([], NOW, NOW + 70 * MINUTE_MS)
    assert later.counts == {}


def test_a_history_is_an_hour_long():
    """Samples older than an hour are forgotten, and the time before the first is empty."""
    history = History()
    history.add(Sample(0, running=0))
    assert history.series(lambda one: one.running) == [None] * (SAMPLES - 1) + [0]
    for at in range(SAMPLES + 5):
        history.add(Sample(at, running=at))
    assert (history.series(lambda one: one.running)[0], len(history.series(lambda one: one.running))) == (5, SAMPLES)


def test_plots_say_what_they_show():
    """A plot has its meaning in words for who cannot see it, keeps its bars inside, and escapes what it is given."""
    drawn = bars("<Bought>", [Series("bought", "good", [0, 4]), Series("failed", "bad", [1, 4])])
    assert 'aria-label="&lt;Bought&gt;: at most 8; last: bought 4, failed 4"' in drawn
    assert drawn.count("<rect") == 3
    empty = line("Age", [None, None])
    assert "nothing measured yet" in empty
    assert "<path" not in empty
    gap = line("Age", [1, None, 2.5], unit=" s")
    assert gap.count("M") == 2
    assert "at most 2.5 s; now 2.5 s" in gap


def test_consumers_whose_lag_is_not_known():
    """Without an answer of Kafka nobody knows how far the consumers are behind, and the page does not say 0."""
    history = History()
    history.add(Sample(NOW, 0.0, 0, lag={"cart-consumer": None, "orders-consumer": 0.0}))
    figures = {one.name: one for one in overview(facts(), history).figures}
    assert (figures["Consumers behind"].value, figures["Consumers behind"].note) == (
        "–",
        "not known: Kafka does not answer",
    )
    history.add(Sample(NOW, 0.0, 0, lag={"cart-consumer": 2.0, "orders-consumer": 1.0}))
    assert {one.name: one.value for one in overview(facts(), history).figures}["Consumers behind"] == "3"
