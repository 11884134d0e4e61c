"""How kopf is asked to watch."""

from types import SimpleNamespace

import structlog
from kopf._cogs.clients import api

from checkout_operator import handlers

FAILURES = 50


class Answers:
    """Stands in for the API server's session: it fails for long, and then answers."""

    closed = False

    def __init__(self):
        self.asked = 0

    async def request(self, **_):
        """Count, and answer with a failure or at last not."""
        self.asked += 1
        if self.asked % FAILURES:
            raise TimeoutError
        return SimpleNamespace(status=200)


async def test_the_api_server_is_away_for_long(monkeypatch):
    """However often the API server fails to answer it is asked again, after the same pause: kopf never gives up."""
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)

    monkeypatch.setattr(api, "asyncio", SimpleNamespace(sleep=sleep))
    session, settings = Answers(), handlers.settings()
    for _ in range(2):  # what one call used up is not missing from the next
        await api.request(
            "get",
            "/apis",
            settings=settings,
            context=SimpleNamespace(server="http://127.0.0.1", session=session),
            logger=structlog.get_logger(),
        )
    assert pauses == [handlers.RETRY_SECONDS] * 2 * (FAILURES - 1)
