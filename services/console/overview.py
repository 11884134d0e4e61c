"""The front page: what is happening now, and what needs a person. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from services.console.answers import Answer
from services.console.history import Audit, Breaker, History, Sample
from services.console.listing import Row, rows
from services.console.plots import Series, bars, line
from services.console.words import PHASES, Tone, counted, reason_of, span
from services.pb import checkout_admin_pb2, checkout_pb2, inventory_pb2, product_pb2

MINUTE_MS = 60_000
MINUTES = 60
STUCK_MS = 10_000
"""A checkout that has not ended for so long is worth a look: a shopper is answered within 5 s."""
LATE_SECONDS = 10.0
"""An outbox or a saga that waits for longer is worth a look."""
_STEP_NAMES = ("claim", "reserve", "pay", "confirm", "release")


@dataclass(frozen=True, slots=True)
class Figure:
    """A number in large type, and what it means."""

    name: str
    value: str
    note: str = ""
    tone: Tone = Tone.QUIET


@dataclass(frozen=True, slots=True)
class InFlight:
    """How many checkouts are in a phase, and how old the oldest of them is."""

    phase: str
    tone: Tone
    count: int
    oldest: str


@dataclass(frozen=True, slots=True)
class StepTime:
    """How long a step takes: half of them are faster than `p50`, all but one of a hundred faster than `p99`."""

    name: str
    p50: str
    p99: str
    count: int


@dataclass(frozen=True, slots=True)
class StockRow:
    """The stock of a product."""

    product_id: int
    name: str
    available: int
    held: int
    sold: int


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot of the last hour."""

    title: str
    svg: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Now:
    """What the front page shows."""

    figures: tuple[Figure, ...]
    warnings: tuple[str, ...]
    stuck: tuple[Row, ...]
    plots: tuple[Plot, ...]
    in_flight: tuple[InFlight, ...]
    outcomes: tuple[tuple[str, Tone, int], ...]
    steps: tuple[StepTime, ...]
    breakers: tuple[Breaker, ...]
    measured: bool
    stock: tuple[StockRow, ...]
    away: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Minutes:
    """What ended in each minute of the last hour, by (status, reason)."""

    counts: Mapping[int, Mapping[tuple[int, str], int]] = field(default_factory=dict)

    def merged(self, ended: Iterable[checkout_admin_pb2.EndedInMinute], since_ms: int, now_ms: int) -> "Minutes":
        """Return the minutes with those since `since_ms` counted anew, and those older than an hour forgotten."""
        oldest = now_ms - (MINUTES + 1) * MINUTE_MS
        kept = {at: dict(of) for at, of in self.counts.items() if oldest <= at < since_ms}
        for one in ended:
            if one.minute_ms >= since_ms:
                kept.setdefault(one.minute_ms, {})[one.status, one.reason] = one.count
        return Minutes(kept)

    def of(self, status: int, now_ms: int) -> Sequence[int]:
        """Return how many ended in this way in each minute of the last hour, the oldest first; the last one is not over."""
        last = now_ms // MINUTE_MS * MINUTE_MS
        return [
            sum(n for (was, _), n in self.counts.get(last - back * MINUTE_MS, {}).items() if was == status)
            for back in range(MINUTES - 1, -1, -1)
        ]

    def outcomes(self) -> Mapping[tuple[int, str], int]:
        """Return how many ended in each way in the last hour."""
        found: dict[tuple[int, str], int] = {}
        for minute in self.counts.values():
            for way, count in minute.items():
                found[way] = found.get(way, 0) + count
        return found


@dataclass(frozen=True, slots=True)
class Facts:
    """What the front page is made of."""

    summary: Answer[checkout_admin_pb2.SummarizeCheckoutsResponse]
    minutes: Minutes
    stuck: Sequence[checkout_pb2.Checkout]
    stock: Answer[inventory_pb2.ListStockResponse]
    products: Answer[Mapping[int, product_pb2.Product]]
    now_ms: int


def overview(facts: Facts, history: History) -> Now:
    """Return what the front page shows."""
    summary, minutes, stock, products, now_ms = facts.summary, facts.minutes, facts.stock, facts.products, facts.now_ms
    sample = history.latest
    running = summary.value.running if summary.value else ()
    completed, failed = minutes.of(checkout_pb2.COMPLETED, now_ms), minutes.of(checkout_pb2.FAILED, now_ms)
    return Now(
        figures=tuple(_figures(running, completed, failed, sample, now_ms)),
        warnings=tuple(_warnings(sample)),
        stuck=tuple(rows(facts.stuck, now_ms)),
        plots=tuple(_plots(completed, failed, history)),
        in_flight=tuple(_in_flight(running, now_ms)),
        outcomes=tuple(_outcomes(minutes)),
        steps=tuple(_steps(summary.value.steps if summary.value else ())),
        breakers=sample.breakers if sample else (),
        measured=sample is not None,
        stock=tuple(
            StockRow(
                one.product_id,
                products.value[one.product_id].name if products.value and one.product_id in products.value else "",
                one.available,
                one.reserved,
                one.sold,
            )
            for one in (stock.value.stock if stock.value else ())
        ),
        away=tuple(dict.fromkeys(one.part for one in (summary, stock, products) if one.is_away)),
    )


def _figures(
    running: Iterable[checkout_admin_pb2.RunningStep],
    completed: Sequence[int],
    failed: Sequence[int],
    sample: Sample | None,
    now_ms: int,
) -> Iterator[Figure]:
    steps = list(running)
    for name, counts in (("Bought", completed), ("Failed", failed)):
        note = f"{counts[-2]:,} the minute before, {sum(counts):,} in the hour"
        yield Figure(f"{name} this minute", f"{counts[-1]:,}", note)
    oldest = min((one.oldest_created_at_ms for one in steps), default=now_ms)
    late = now_ms - oldest > STUCK_MS
    yield Figure(
        "In flight",
        f"{sum(one.count for one in steps):,}",
        f"the oldest for {span(now_ms - oldest)}" if steps else "nothing is waiting",
        Tone.WARNING if late else Tone.QUIET,
    )
    yield _outbox(sample)
    if sample is not None and sample.audit is not None:
        yield _books(sample.audit)
    if sample is not None and sample.lag:
        behind = sample.behind
        if behind is None:
            yield Figure("Consumers behind", "–", "not known: Kafka does not answer", Tone.WARNING)
        else:
            yield Figure("Consumers behind", f"{behind:,.0f}", "messages not applied yet")


def _outbox(sample: Sample | None) -> Figure:
    if sample is None or sample.outbox_oldest_seconds is None:
        return Figure("Outbox", "–", "not measured")
    if not sample.outbox_waiting:
        return Figure("Outbox", "empty", "every event is published", Tone.GOOD)
    tone = Tone.WARNING if sample.outbox_oldest_seconds > LATE_SECONDS else Tone.QUIET
    waiting = f"{counted(int(sample.outbox_waiting), 'event')} waiting"
    return Figure("Outbox", span(sample.outbox_oldest_seconds * 1000), waiting, tone)


def _books(audit: Audit) -> Figure:
    compared = f"{counted(audit.compared, 'book')} compared"
    if audit.left_out:
        compared += f", not {', '.join(audit.left_out)}"
    if count := sum(audit.differences.values()):
        return Figure(
            "Books", counted(count, "difference"), f"the oldest for {span(audit.oldest_seconds * 1000)}", Tone.BAD
        )
    return Figure("Books", "agree", compared, Tone.GOOD if audit.compared else Tone.QUIET)


def _warnings(sample: Sample | None) -> Iterator[str]:
    if sample is None:
        return
    for breaker in sample.breakers:
        yield f"{breaker.part} gets no answer from {breaker.dependency}, and does not call it for a few seconds."
    if sample.outbox_oldest_seconds is not None and sample.outbox_oldest_seconds > LATE_SECONDS:
        yield (
            f"Events have waited for {span(sample.outbox_oldest_seconds * 1000)} to be published: orders are late, and"
            " what was bought stays in carts."
        )
    if sample.dead_messages:
        yield f"{counted(int(sample.dead_messages), 'message')} could not be applied and were set aside."
    if sample.audit is not None and sample.audit.differences:
        kinds = ", ".join(f"{kind} ({count})" for kind, count in sample.audit.differences.items())
        yield f"The books of the stores do not agree: {kinds}. The log of the auditor names what differs."
    for part in sample.away:
        yield f"{part} does not answer."


def _plots(completed: Sequence[int], failed: Sequence[int], history: History) -> Iterator[Plot]:
    both = (Series("bought", Tone.GOOD, completed), Series("failed", Tone.BAD, failed))
    yield Plot("Purchases a minute", bars("Purchases a minute", both), "Green, below: bought. Red, above: failed.")
    yield Plot("In flight", line("Checkouts in flight", history.series(lambda one: one.running)))
    outbox = history.series(lambda one: one.outbox_oldest_seconds)
    yield Plot("Age of the outbox", line("Age of the oldest event in the outbox", outbox, unit=" s"))
    if history.latest is not None and history.latest.lag:
        lag = history.series(lambda one: one.behind)
        yield Plot("Consumers behind", line("Messages not applied yet", lag))


def _in_flight(running: Iterable[checkout_admin_pb2.RunningStep], now_ms: int) -> Iterator[InFlight]:
    found: dict[str, list[checkout_admin_pb2.RunningStep]] = {}
    for one in running:
        found.setdefault(PHASES[one.saga_step].name if one.saga_step in PHASES else one.saga_step, []).append(one)
    order = list(dict.fromkeys(phase.name for phase in PHASES.values()))
    for name in sorted(found, key=lambda name: order.index(name) if name in order else len(order)):
        steps = found[name]
        tone = next((phase.tone for phase in PHASES.values() if phase.name == name), Tone.QUIET)
        oldest = span(now_ms - min(one.oldest_created_at_ms for one in steps))
        yield InFlight(name, tone, sum(one.count for one in steps), oldest)


def _outcomes(minutes: Minutes) -> Iterator[tuple[str, Tone, int]]:
    found = minutes.outcomes()
    for (status, reason), count in sorted(found.items(), key=lambda one: -one[1]):
        if status == checkout_pb2.COMPLETED:
            yield "bought", Tone.GOOD, count
        else:
            yield reason_of(reason) or "failed", Tone.BAD, count


def _steps(times: Iterable[checkout_admin_pb2.StepTime]) -> Iterator[StepTime]:
    found = {one.name: one for one in times}
    for name in (*_STEP_NAMES, *sorted(found.keys() - set(_STEP_NAMES))):
        if name in found and found[name].p99_ms:  # the claim of a REST checkout is one statement, which has no length
            yield StepTime(name.capitalize(), span(found[name].p50_ms), span(found[name].p99_ms), found[name].count)
