"""What a schedule is about, drawn from its seed: who buys what, how scarce it is, which faults may strike and how often.

Each schedule has a few kinds of faults only. A schedule in which everything fails reaches less than many in which a little does.
"""

from dataclasses import dataclass

from tests.simulation.faults import CALLS, Draws, Kind

RATES = (0.0, 0.01, 0.02, 0.04, 0.08, 0.15)
METHODS = ("inventory.Reserve", "inventory.Confirm", "payment.Charge", "payment.Cancel", "database.move")
HOT = (
    "", "", "", "inventory.", "payment.", "bank.", "bank-database.", "cart.", "database.", "checkout.", "mongo.", "redis.",
    "kafka.", "apiserver.", *METHODS,
)  # fmt: skip
"""Parts that alone may be in trouble: several faults at one place reach what faults spread over all places do not."""
UNCERTAIN = (Kind.REQUEST_LOST, Kind.REPLY_LOST, Kind.LATE, Kind.LATE)
"""The faults after which nobody knows what was done."""
PRODUCTS = (1, 2, 3)
SETTLE_SECONDS = 90.0
"""How long after the last fault everything may take to come to rest: the promise is 60 s, and a late call may come 12 s late."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A schedule before it runs. Times are in seconds of virtual time."""

    rate: float
    hot: str
    hot_rate: float
    kinds: tuple[Kind, ...]
    heals_at: float
    shoppers: int
    replicas: int
    stock: int
    checkout_timeout: float
    reservation_ttl: float
    success_rate: float
    earlier: bool
    """Whether the checkout service is of the release before, which reserves first and pins later."""
    restarts: tuple[tuple[str, float, float], ...]
    """Outages: what, from when on, and for how long."""
    flushes: tuple[float, ...]
    rebalances: tuple[float, ...]
    clock_jumps: tuple[tuple[float, float], ...]
    """When, and by how much, the wall clock of a process or of the database jumps."""
    operator: bool
    """Whether resources are applied at an API server, and an operator brings them to the checkout service."""
    silences: tuple[float, ...]
    """When the watches of the API server fall silent."""
    overwrites: tuple[float, ...]
    """When somebody overwrites the status of every resource."""
    strangers: bool
    """Whether somebody publishes messages that are no events."""


def plan_of(draws: Draws) -> Plan:
    """Draw a schedule."""

    def few(name: str, most: int) -> range:
        return range(max(0, draws.whole(most + 3, name) - 2))

    heals_at = draws.between(3.0, 14.0, "heals")
    kinds = tuple(kind for number, kind in enumerate(CALLS) if draws.fraction("kind", number) < 0.3)
    if draws.fraction("one kind") < 0.3:
        kinds = (CALLS[draws.whole(len(CALLS), "the kind")],)
    hot = HOT[draws.whole(len(HOT), "hot")]
    hot_rate = (0.3, 0.8)[draws.whole(2, "hot rate")]
    timeouts = (300.0, 2.0, 5.0, 12.0)
    if hot in METHODS:  # every call of one method fails in one way, and there is time for little else
        kinds = (UNCERTAIN[draws.whole(len(UNCERTAIN), "how uncertain")],)
        hot_rate, timeouts = 1.0, (2.0, 5.0, 2.0, 5.0)
    restarts = tuple(
        (
            ("database", "mongo", "redis", "kafka", "bank", "apiserver")[draws.whole(6, "outage of", number)],
            draws.between(0.1, heals_at, "outage at", number),
            draws.between(0.2, 4.0, "outage for", number),
        )
        for number in few("outages", 2)
    )
    return Plan(
        rate=RATES[draws.whole(len(RATES), "rate")],
        hot=hot,
        hot_rate=hot_rate,
        kinds=kinds,
        heals_at=heals_at,
        shoppers=1 + draws.whole(3, "shoppers"),
        replicas=1 + (draws.fraction("replicas") < 0.4),
        stock=(2, 6, 50)[draws.whole(3, "stock")],
        checkout_timeout=timeouts[draws.whole(4, "timeout")],
        reservation_ttl=(300.0, 2.0)[draws.whole(2, "ttl")],
        success_rate=(1.0, 0.7)[draws.whole(2, "bank")],
        earlier=draws.fraction("earlier") < 0.25,
        restarts=restarts,
        flushes=tuple(draws.between(0.1, heals_at, "flush", number) for number in few("flushes", 2)),
        rebalances=tuple(draws.between(0.5, heals_at, "rebalance", number) for number in few("rebalances", 2)),
        clock_jumps=tuple(
            (draws.between(0.1, heals_at, "jump", number), draws.between(-600.0, 600.0, "by", number))
            for number in few("jumps", 2)
        ),
        operator=draws.fraction("operator") < 0.35,
        silences=tuple(draws.between(0.5, heals_at, "silence", number) for number in few("silences", 1)),
        overwrites=tuple(draws.between(0.5, heals_at, "spoil", number) for number in few("spoils", 2)),
        strangers=draws.fraction("strangers") < 0.1,
    )
