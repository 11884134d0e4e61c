"""The dashboard of the stores, as the services see them: statements, the cart's cache, and Kafka."""

from devstack.dashboards.board import HERE, Board, Graph, Row, per_second, quantile, share

HITS, READS = f'{HERE},outcome="hit"', f'{HERE},outcome=~"hit|miss|bypass|error"'
POSTGRES = f'{HERE},dependency="postgres"'
BATCH = "cartwright_batch_seconds"
CACHE = "cartwright_cart_cache_total"

BOARD = Board(
    "stores",
    "Stores",
    "PostgreSQL, MongoDB, Redis and Kafka as the services see them: what they ask, how long it takes, and what waits.",
    (
        Row(
            "Statements and calls that ride together",
            (
                Graph(
                    "Rate",
                    "Batches that were sent, a second.",
                    "ops",
                    ((per_second(f"{BATCH}_count", "batch"), "{{batch}}"),),
                ),
                Graph(
                    "Duration, p99",
                    "From when a batch was sent to its outcomes: for a statement, the database's time.",
                    "s",
                    ((quantile(0.99, BATCH, "batch"), "{{batch}}"),),
                ),
                Graph(
                    "Items in a batch",
                    "On average. More under load: a batch gathers while the one before it is under way.",
                    "none",
                    (
                        (
                            share(
                                per_second("cartwright_batch_items_sum", "batch"),
                                per_second("cartwright_batch_items_count", "batch"),
                            ),
                            "{{batch}}",
                        ),
                    ),
                ),
                Graph(
                    "Wait, p99",
                    "How long the oldest item of a batch waited before it was sent.",
                    "s",
                    ((quantile(0.99, "cartwright_batch_wait_seconds", "batch"), "{{batch}}"),),
                ),
                Graph(
                    "Refused",
                    "Items that were refused since too many waited.",
                    "ops",
                    ((per_second("cartwright_batch_shed_total", "batch"), "{{batch}}"),),
                ),
                Graph(
                    "Repeated",
                    "Statements of inventory that were sent again: deadlocks, and a database that is away.",
                    "ops",
                    ((per_second("cartwright_retries_total", "dependency", POSTGRES), "{{dependency}}"),),
                ),
            ),
        ),
        Row(
            "Redis: the cart's cache",
            (
                Graph(
                    "Hits",
                    "The share of reads of carts that the cache answered.",
                    "percentunit",
                    (
                        (
                            share(per_second(CACHE, "namespace", HITS), per_second(CACHE, "namespace", READS)),
                            "{{namespace}}",
                        ),
                    ),
                ),
                Graph("What it did", "By outcome.", "ops", ((per_second(CACHE, "outcome"), "{{outcome}}"),)),
                Graph(
                    "Given up",
                    "1 while the services do without Redis.",
                    "none",
                    ((f'max by (part) (cartwright_breaker_open{{{HERE},dependency="redis"}})', "{{part}}"),),
                ),
            ),
        ),
        Row(
            "Kafka",
            (
                Graph(
                    "Messages",
                    "Published by the relay, and applied by each consumer.",
                    "ops",
                    (
                        (per_second("cartwright_outbox_published_total", "part"), "{{part}}"),
                        (per_second("cartwright_messages_consumed_total", "part"), "{{part}}"),
                    ),
                ),
                Graph(
                    "Waiting to be published",
                    "Events in the outbox.",
                    "none",
                    ((f"max by (namespace) (cartwright_outbox_waiting{{{HERE}}})", "{{namespace}}"),),
                ),
                Graph(
                    "Partitions that stand still",
                    "1 while a partition cannot go on.",
                    "none",
                    (
                        (
                            f"max by (part, partition) (cartwright_partition_stopped{{{HERE}}})",
                            "{{part}} {{partition}}",
                        ),
                    ),
                ),
            ),
        ),
    ),
)
