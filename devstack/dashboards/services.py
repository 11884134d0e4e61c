"""The dashboard of every process: requests, errors and durations, what it calls, and what it uses."""

from devstack.dashboards.board import HERE, Board, Graph, Number, Row, per_second, quantile, share

THESE = f'{HERE},part=~"$part"'
THESE_FAILED = f'{THESE},code=~"5..|INTERNAL|UNKNOWN|UNAVAILABLE|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|DATA_LOSS"'
"""Answers that are a failure of ours, by HTTP or gRPC."""
REQUESTS = "cartwright_request_seconds"
COUNT = f"{REQUESTS}_count"
CALLS = "cartwright_call_seconds"

BOARD = Board(
    "services",
    "Services",
    "Requests, errors and durations of each part, the calls that it makes, and what its processes use.",
    (
        Row(
            "Every part",
            (
                Number("Up", "Processes that answer Prometheus.", "none", f"sum(up{{{THESE}}})"),
                Number("Down", "Processes that do not.", "none", f"count(up{{{THESE}}} == 0) or vector(0)", 1),
                Number(
                    "Breakers open",
                    "Dependencies that some part has given up calling.",
                    "none",
                    f"sum(cartwright_breaker_open{{{THESE}}})",
                    1,
                ),
                Number(
                    "Bugs met",
                    "Unexpected failures of the last hour; each has its traceback in a log.",
                    "none",
                    f"sum(increase(cartwright_internal_errors_total{{{THESE}}}[1h])) or vector(0)",
                    1,
                ),
                Graph(
                    "Requests",
                    "Requests that each part answers.",
                    "reqps",
                    ((per_second(COUNT, "part", THESE), "{{part}}"),),
                ),
                Graph(
                    "Errors",
                    "The share of them that failed through us: 5xx of REST, and what says the same in gRPC.",
                    "percentunit",
                    (
                        (
                            share(per_second(COUNT, "part", THESE_FAILED), per_second(COUNT, "part", THESE)),
                            "{{part}}",
                        ),
                    ),
                ),
                Graph(
                    "Duration, p99",
                    "Of a hundred requests one takes longer.",
                    "s",
                    ((quantile(0.99, REQUESTS, "part", THESE), "{{part}}"),),
                ),
            ),
        ),
        Row(
            "By method, of the parts chosen above",
            (
                Graph(
                    "Requests",
                    "By method or route.",
                    "reqps",
                    ((per_second(COUNT, "part, method", THESE), "{{part}} {{method}}"),),
                ),
                Graph(
                    "Errors",
                    "Requests a second that failed through us, by their code.",
                    "reqps",
                    (
                        (
                            per_second(COUNT, "part, method, code", THESE_FAILED),
                            "{{part}} {{method}} {{code}}",
                        ),
                    ),
                ),
                Graph(
                    "Duration, p99",
                    "By method or route.",
                    "s",
                    ((quantile(0.99, REQUESTS, "part, method", THESE), "{{part}} {{method}}"),),
                ),
            ),
        ),
        Row(
            "Calls to other parts",
            (
                Graph(
                    "Calls",
                    "By who calls, who is called, and how it ended.",
                    "reqps",
                    (
                        (
                            per_second(f"{CALLS}_count", "part, dependency, outcome", THESE),
                            "{{part}} → {{dependency}} {{outcome}}",
                        ),
                    ),
                ),
                Graph(
                    "Duration, p99",
                    "Of all calls, those that failed among them.",
                    "s",
                    ((quantile(0.99, CALLS, "part, dependency", THESE), "{{part}} → {{dependency}}"),),
                ),
                Graph(
                    "Repeated, and not",
                    "Calls that were sent again, and those that were not since too many had failed.",
                    "reqps",
                    (
                        (
                            per_second("cartwright_retries_total", "part, dependency", THESE),
                            "{{part}} → {{dependency}}",
                        ),
                        (
                            per_second("cartwright_retries_denied_total", "part, dependency", THESE),
                            "{{part}} → {{dependency}} denied",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "The gateway",
            (
                Graph(
                    "Under way",
                    "Requests to the API that are being answered; a gateway refuses more than MAX_UNDER_WAY.",
                    "none",
                    ((f"sum by (pod) (cartwright_requests_under_way{{{HERE}}})", "{{pod}}"),),
                ),
                Graph(
                    "Refused",
                    "Refused for want of a place, and malformed, by status.",
                    "reqps",
                    (
                        (per_second("cartwright_requests_shed_total", "kind"), "no place: {{kind}}"),
                        (per_second("cartwright_malformed_requests_total", "code"), "malformed: {{code}}"),
                    ),
                ),
                Graph(
                    "Tokens",
                    "Tokens of requests; none where users are mocked.",
                    "reqps",
                    ((per_second("cartwright_tokens_total", "outcome"), "{{outcome}}"),),
                ),
            ),
        ),
        Row(
            "Processes",
            (
                Graph(
                    "CPU",
                    "Cores in use.",
                    "none",
                    ((per_second("process_cpu_seconds_total", "part", THESE), "{{part}}"),),
                ),
                Graph(
                    "Memory",
                    "Resident, of the largest process of each part.",
                    "bytes",
                    ((f"max by (part) (process_resident_memory_bytes{{{THESE}}})", "{{part}}"),),
                ),
                Graph(
                    "Starts",
                    "Processes that started anew within the last 10 minutes.",
                    "none",
                    ((f"sum by (part) (changes(process_start_time_seconds{{{THESE}}}[10m]))", "{{part}}"),),
                ),
            ),
        ),
    ),
    by_part=True,
)
