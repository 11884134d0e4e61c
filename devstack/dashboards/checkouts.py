"""The dashboard of purchases: how many, how they end, how long they take, and whether the objectives hold."""

from devstack.dashboards.board import HERE, Board, Graph, Number, Row, per_second, quantile

DURATION = "cartwright_checkout_seconds"
FAILED = f'{HERE},step="FAILED"'
CLEARED = "cartwright_cart_cleared_seconds"

BOARD = Board(
    "checkouts",
    "Checkouts",
    "Purchases from the request to the order: how many, how they end, how long they take, and whether the objectives hold.",
    (
        Row(
            "Objectives, of the last 3 days",
            (
                Number(
                    "Not answered within 5 s",
                    "Checkouts that were answered late or with an error. At most 0.1 %.",
                    "percentunit",
                    f"max(cartwright:unanswered_checkouts:ratio_rate3d{{{HERE}}})",
                    0.001,
                ),
                Number(
                    "Time with one stuck",
                    "The share of the time in which a checkout was older than a minute. At most 0.5 %.",
                    "percentunit",
                    f"max(cartwright:stuck_checkout:ratio3d{{{HERE}}})",
                    0.005,
                ),
                Number(
                    "Carts cleared after 2 s",
                    "Purchases that left the cart late. At most 1 %.",
                    "percentunit",
                    f"max(cartwright:late_carts:ratio_rate3d{{{HERE}}})",
                    0.01,
                ),
                Number(
                    "Oldest that has not ended",
                    "The age of the oldest checkout that runs.",
                    "s",
                    f"max(cartwright_saga_oldest_seconds{{{HERE}}})",
                    60,
                ),
            ),
        ),
        Row(
            "Purchases",
            (
                Graph(
                    "Ended, a minute",
                    "Checkouts that ended, by how.",
                    "none",
                    ((f"60 * {per_second(f'{DURATION}_count', 'status')}", "{{status}}"),),
                    stacked=True,
                ),
                Graph(
                    "Why they fail, a minute",
                    "Checkouts that failed, by reason.",
                    "none",
                    (
                        (
                            f"60 * {per_second('cartwright_saga_steps_total', 'reason', FAILED)}",
                            "{{reason}}",
                        ),
                    ),
                    stacked=True,
                ),
                Graph(
                    "How long they take",
                    "From the claim to the end, of those that ended.",
                    "s",
                    (
                        (quantile(0.5, DURATION, "status"), "{{status}} p50"),
                        (quantile(0.99, DURATION, "status"), "{{status}} p99"),
                    ),
                ),
                Graph(
                    "Steps",
                    "Steps that were written, a second.",
                    "ops",
                    ((per_second("cartwright_saga_steps_total", "step"), "{{step}}"),),
                ),
                Graph(
                    "Taken over",
                    "Checkouts whose process died or that were parked, and that recovery drives on.",
                    "ops",
                    ((per_second("cartwright_sagas_taken_over_total", "namespace"), "{{namespace}}"),),
                ),
                Graph(
                    "Oldest that has not ended",
                    "Alarming from a minute on.",
                    "s",
                    ((f"max by (namespace) (cartwright_saga_oldest_seconds{{{HERE}}})", "{{namespace}}"),),
                ),
            ),
        ),
        Row(
            "From the purchase to the order and the cart",
            (
                Graph(
                    "Until the cart is cleared",
                    "From completion until what was bought has left the cart. The contract gives it 2 s.",
                    "s",
                    (
                        (quantile(0.5, CLEARED, "namespace"), "{{namespace}} p50"),
                        (quantile(0.99, CLEARED, "namespace"), "{{namespace}} p99"),
                    ),
                ),
                Graph(
                    "Events",
                    "Published, and applied by each consumer.",
                    "ops",
                    (
                        (per_second("cartwright_outbox_published_total", "namespace"), "published"),
                        (per_second("cartwright_messages_consumed_total", "part"), "{{part}}"),
                    ),
                ),
                Graph(
                    "Orders",
                    "Orders that were made, and events that came again.",
                    "ops",
                    (
                        (per_second("cartwright_orders_made_total", "namespace"), "made"),
                        (per_second("cartwright_events_duplicate_total", "namespace"), "came again"),
                    ),
                ),
                Graph(
                    "Outbox, age",
                    "The oldest event that waits to be published.",
                    "s",
                    ((f"max by (namespace) (cartwright_outbox_oldest_seconds{{{HERE}}})", "{{namespace}}"),),
                ),
                Graph(
                    "Outbox, depth",
                    "Events that wait to be published.",
                    "none",
                    ((f"max by (namespace) (cartwright_outbox_waiting{{{HERE}}})", "{{namespace}}"),),
                ),
                Graph(
                    "Set aside",
                    "Within an hour: events that Kafka refuses, messages that cannot be applied, and those kept as a reference alone.",
                    "none",
                    (
                        (f"sum(increase(cartwright_outbox_dead_total{{{HERE}}}[1h]))", "events given up"),
                        (
                            f"sum by (part) (increase(cartwright_messages_dead_total{{{HERE}}}[1h]))",
                            "{{part}} set aside",
                        ),
                        (
                            f"sum by (part) (increase(cartwright_messages_referenced_total{{{HERE}}}[1h]))",
                            "{{part}} reference alone",
                        ),
                    ),
                ),
            ),
        ),
    ),
)
