"""The dashboard of what the shop earns and has: payments, and stock that is for sale, held and sold."""

from devstack.dashboards.board import HERE, Board, Graph, Number, Row, per_second, quantile, share

STEPS = "cartwright_saga_steps_total"
DECLINED = f'{HERE},step="FAILED",reason="PaymentDeclined"'
OUT_OF_STOCK = f'{HERE},step="FAILED",reason="OutOfStock"'
CALLS = "cartwright_call_seconds"
BANK = f'{HERE},dependency="bank"'

BOARD = Board(
    "money",
    "Money and stock",
    "What is taken, what is undecided, and what stock is for sale, held and sold. The books are in PostgreSQL; this shows their pace.",
    (
        Row(
            "Now",
            (
                Number(
                    "Taken within an hour",
                    "Completed purchases of the last hour, in whole units of the currency.",
                    "none",
                    f"sum(increase(cartwright_taken_minor_total{{{HERE}}}[1h])) / 100",
                ),
                Number(
                    "Oldest undecided payment",
                    "A payment of which nobody knows whether it was charged.",
                    "s",
                    f"max(cartwright_payment_oldest_open_seconds{{{HERE}}})",
                    3600,
                ),
                Number(
                    "Oldest pinned stock",
                    "Stock that a payment holds.",
                    "s",
                    f"max(cartwright_reservation_oldest_pinned_seconds{{{HERE}}})",
                    900,
                ),
                Number(
                    "Stock overdue",
                    "How long ago the first reservation expired that still holds stock.",
                    "s",
                    f"max(cartwright_reservation_overdue_seconds{{{HERE}}})",
                    15,
                ),
            ),
        ),
        Row(
            "Books",
            (
                Number(
                    "Differences",
                    "Books of two stores that do not agree, as the auditor finds them.",
                    "none",
                    f"sum(max by (namespace, kind) (cartwright_audit_differences{{{HERE}}}))",
                    1,
                ),
                Number(
                    "Oldest difference",
                    "For how long two books have not agreed that should.",
                    "s",
                    f"max(cartwright_audit_oldest_difference_seconds{{{HERE}}})",
                    1,
                ),
                Number(
                    "Books not compared",
                    "Books whose store nobody named to the auditor, or that it cannot read.",
                    "none",
                    f"count(max by (namespace, book) (cartwright_audit_book_compared{{{HERE}}}) == 0) or vector(0)",
                ),
                Number(
                    "Last whole pass",
                    "How long ago the auditor had compared every row of every book.",
                    "s",
                    f"time() - max(cartwright_audit_full_pass_timestamp_seconds{{{HERE}}} > 0)",
                ),
            ),
        ),
        Row(
            "Money",
            (
                Graph(
                    "Taken, an hour",
                    "Completed purchases at the pace of now, in whole units of each currency.",
                    "none",
                    ((f"36 * {per_second('cartwright_taken_minor_total', 'currency')}", "{{currency}}"),),
                ),
                Graph(
                    "Declined",
                    "The share of checkouts that ended because the payment was declined.",
                    "percentunit",
                    (
                        (
                            share(
                                per_second(STEPS, "namespace", DECLINED),
                                per_second("cartwright_checkout_seconds_count", "namespace"),
                            ),
                            "{{namespace}}",
                        ),
                    ),
                ),
                Graph(
                    "Payments undecided",
                    "The age of the oldest payment without an outcome. Alarming from an hour on.",
                    "s",
                    ((f"max by (namespace) (cartwright_payment_oldest_open_seconds{{{HERE}}})", "{{namespace}}"),),
                ),
                Graph(
                    "Calls to the payment provider",
                    "By method, and by how they ended.",
                    "reqps",
                    ((per_second("cartwright_call_seconds_count", "method, outcome", BANK), "{{method}} {{outcome}}"),),
                ),
                Graph(
                    "The provider's answers",
                    "How long they take.",
                    "s",
                    (
                        (quantile(0.5, CALLS, "method", BANK), "{{method}} p50"),
                        (quantile(0.99, CALLS, "method", BANK), "{{method}} p99"),
                    ),
                ),
                Graph(
                    "Resolved later",
                    "Payments that got their outcome after having been left without one.",
                    "ops",
                    ((per_second("cartwright_payments_resolved_total", "namespace"), "{{namespace}}"),),
                ),
            ),
        ),
        Row(
            "Stock",
            (
                Graph(
                    "Pieces held and sold",
                    "Over all products. Held is reserved for checkouts that run.",
                    "none",
                    (
                        (
                            f'max by (state) (cartwright_stock_pieces{{{HERE},state!="available"}})',
                            "{{state}}",
                        ),
                    ),
                ),
                Graph(
                    "Pieces for sale",
                    "Over all products.",
                    "none",
                    ((f'max by (namespace) (cartwright_stock_pieces{{{HERE},state="available"}})', "{{namespace}}"),),
                ),
                Graph(
                    "Out of stock, a minute",
                    "Checkouts that failed since there was not enough.",
                    "none",
                    (
                        (
                            f"60 * {per_second(STEPS, 'namespace', OUT_OF_STOCK)}",
                            "{{namespace}}",
                        ),
                    ),
                ),
                Graph(
                    "Reservations, age",
                    "The oldest that is held and may expire, that a payment has pinned, and that should have been returned.",
                    "s",
                    (
                        (f"max(cartwright_reservation_oldest_held_seconds{{{HERE}}})", "held"),
                        (f"max(cartwright_reservation_oldest_pinned_seconds{{{HERE}}})", "pinned"),
                        (f"max(cartwright_reservation_overdue_seconds{{{HERE}}})", "overdue"),
                    ),
                ),
                Graph(
                    "Expired, a minute",
                    "Reservations that were returned to stock.",
                    "none",
                    ((f"60 * {per_second('cartwright_reservations_expired_total', 'namespace')}", "{{namespace}}"),),
                ),
            ),
        ),
    ),
)
