"""What is read out of the pages on which services, Redis and the API server count."""

from tests.bench.counters import api_writes, commands, served

PAGE = """\
# TYPE cartwright_request_seconds histogram
cartwright_request_seconds_count{code="OK",method="Reserve"} 3.0
cartwright_request_seconds_count{code="UNAVAILABLE",method="Reserve"} 1.0
cartwright_request_seconds_sum{code="OK",method="Reserve"} 0.1
cartwright_request_seconds_count{code="200",method="GET /api/v1/cart"} 9.0
"""
API = """\
apiserver_request_total{code="201",component="apiserver",dry_run="",resource="checkouts",verb="POST"} 5
apiserver_request_total{code="200",component="apiserver",resource="checkouts",subresource="status",verb="PATCH"} 7
apiserver_request_total{code="200",component="apiserver",resource="checkouts",verb="DELETE"} 2
apiserver_request_total{code="200",component="apiserver",resource="checkouts",verb="LIST"} 2
apiserver_request_total{code="200",component="apiserver",resource="leases",verb="PUT"} 4
"""


def test_calls_are_counted_however_they_ended() -> None:
    """Every answered call counts, a failed one too; what is no gRPC method does not."""
    assert served(PAGE, "inventory") == {"rpcs.inventory-Reserve": 4}


def test_scripts_are_told_from_what_they_run() -> None:
    """Redis' scripts and commands are counted apart; what a client says about itself is not counted."""
    stats = {
        "cmdstat_evalsha": {"calls": 2},
        "cmdstat_get": {"calls": 3},
        "cmdstat_del": {"calls": 1},
        "cmdstat_info": {"calls": 9},
    }
    assert commands(stats) == {"redis.scripts": 2, "redis.commands": 4}


def test_only_writes_of_checkouts_and_events_are_counted() -> None:
    """Writes are counted by verb; deletions, reads and other resources are not."""
    assert api_writes(API) == {"api.checkouts-POST": 5, "api.checkouts-PATCH": 7}
