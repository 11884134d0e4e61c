"""The dashboard of the operator: Checkout resources, what it writes, its budget for mirrors, and whether it keeps up."""

from devstack.dashboards.board import HERE, Board, Graph, Number, Row, per_second

BOARD = Board(
    "operator",
    "Operator",
    "Checkout resources: how many, what the operator does with them and writes, its budget for mirrors, and whether it keeps up.",
    (
        Row(
            "Now",
            (
                Number(
                    "Last comparison",
                    "How long ago everything was compared; every 15 s.",
                    "s",
                    f"time() - max(checkout_operator_compared_timestamp_seconds{{{HERE}}})",
                    60,
                ),
                Number(
                    "Rights missing",
                    "Rights that the API server refuses the operator.",
                    "none",
                    f"sum(checkout_operator_missing_rights{{{HERE}}}) or vector(0)",
                    1,
                ),
                Number(
                    "Bugs met",
                    "Unexpected errors of the last hour.",
                    "none",
                    f"sum(increase(checkout_operator_faults_total{{{HERE}}}[1h]))",
                    1,
                ),
                Number(
                    "Clock",
                    "How far the API server's clock is ahead.",
                    "s",
                    f"max(checkout_operator_clock_skew_seconds{{{HERE}}})",
                    10,
                ),
            ),
        ),
        Row(
            "Resources",
            (
                Graph(
                    "Checkouts that exist",
                    "Those that people applied, and mirrors of purchases by REST.",
                    "none",
                    ((f"sum by (managed_by) (checkout_operator_resources{{{HERE}}})", "{{managed_by}}"),),
                    stacked=True,
                ),
                Graph(
                    "Calls to the checkout service",
                    "By action, and by how they ended.",
                    "ops",
                    ((per_second("checkout_operator_actions_total", "action, outcome"), "{{action}} {{outcome}}"),),
                ),
                Graph(
                    "Waiting",
                    "Resources in the work queue.",
                    "none",
                    ((f"sum by (pod) (checkout_operator_backlog{{{HERE}}})", "{{pod}}"),),
                ),
            ),
        ),
        Row(
            "The API server",
            (
                Graph(
                    "Writes",
                    "By verb, and by how they ended.",
                    "ops",
                    ((per_second("checkout_operator_writes_total", "verb, outcome"), "{{verb}} {{outcome}}"),),
                ),
                Graph(
                    "Budget for mirrors",
                    "Writes a second that mirrors may take: it falls while the API server is slow.",
                    "ops",
                    (
                        (f"sum(checkout_mirror_writes_per_second_limit{{{HERE}}})", "now"),
                        (f"sum(checkout_mirror_writes_per_second_wanted{{{HERE}}})", "usual"),
                    ),
                ),
                Graph(
                    "Purchases without a mirror",
                    "By reason: too many objects, or too many writes.",
                    "ops",
                    ((per_second("checkout_mirror_skipped_total", "reason"), "{{reason}}"),),
                ),
            ),
        ),
        Row(
            "The process",
            (
                Graph(
                    "How late its loop runs",
                    "It has too little CPU where this is not near 0.",
                    "s",
                    ((f"max by (pod) (checkout_operator_loop_lag_seconds{{{HERE}}})", "{{pod}}"),),
                ),
                Graph(
                    "Memory",
                    "Resident.",
                    "bytes",
                    ((f'max by (pod) (process_resident_memory_bytes{{{HERE},part="operator"}})', "{{pod}}"),),
                ),
            ),
        ),
    ),
)
