"""Which requests have a log line."""

import pytest
import structlog
from structlog.testing import capture_logs

from services.gateway.access_log import ALL_READS, AccessLog


@pytest.fixture
def lines():
    """Collect what is logged."""
    with capture_logs() as found:
        yield found


def test_every_request_is_logged_while_there_are_few(lines):
    """Up to ten reads a second have a line each, which stands for itself alone."""
    times = iter(second + 0.5 for second in range(3) for _ in range(ALL_READS))
    access = AccessLog(structlog.get_logger(), 100, times.__next__)
    for _ in range(3 * ALL_READS):
        access.write("GET", "/api/v1/products", None, 200, 0.001)
    assert [line.get("one_in") for line in lines] == [None] * 3 * ALL_READS


def test_one_in_so_many_reads_is_logged_under_load(lines):
    """Of the reads beyond ten in a second the first of each hundred has a line, which says for how many it stands."""
    access = AccessLog(structlog.get_logger(), 100, lambda: 0.0)
    for _ in range(ALL_READS + 250):
        access.write("GET", "/api/v1/products", None, 200, 0.001)
    assert [line.get("one_in") for line in lines] == [None] * ALL_READS + [100, 100, 100]


@pytest.mark.parametrize(
    ("method", "status", "seconds"),
    [("GET", 404, 0.001), ("GET", 503, 0.001), ("HEAD", 500, 0.001), ("GET", 200, 1.1), ("POST", 200, 0.001),
     ("PUT", 200, 0.001), ("DELETE", 200, 0.001), ("POST", 202, 0.001), ("OPTIONS", 204, 0.001)],
)  # fmt: skip
def test_failures_writes_and_slow_requests_are_always_logged(lines, method, status, seconds):
    """Nothing is left out that somebody may have to explain."""
    access = AccessLog(structlog.get_logger(), 100)
    for _ in range(30):
        access.write(method, "/api/v1/cart", 7, status, seconds)
    assert [(line["status"], line["user_id"]) for line in lines] == [(status, 7)] * 30
    assert all("one_in" not in line for line in lines)


def test_all_are_logged_where_one_in_one_is(lines):
    """LOG_SAMPLE_READS=1 logs every read, as if nothing were sampled."""
    access = AccessLog(structlog.get_logger(), 1)
    for _ in range(30):
        access.write("GET", "/api/v1/cart", 7, 200, 0.001)
    assert [line.get("one_in") for line in lines] == [None] * 30
