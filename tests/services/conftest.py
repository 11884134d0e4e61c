"""What the tests of all services share: a log whose tracebacks cost little, since slow ones look like parts that are away."""

import pytest
import structlog


@pytest.fixture(autouse=True, scope="session")
def plain_log():
    """Write log lines as plain text, and tracebacks without the values of local variables."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ]
    )
