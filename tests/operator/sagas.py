"""The checkout service of the reconciler's tests."""

import asyncio

from checkout_operator.saga_client import Page, SagaUnavailable

FORGED_STATUSES = [
    {"phase": "Completed", "checkoutId": "c9", "finishedAt": "2020-01-01T00:00:00Z", "sagaVersion": 1000},
    {"phase": "Failed", "conditions": [{"type": "Finished", "status": "True"}], "observedGeneration": 9},
]


class Sagas:
    """Stands in for the checkout service: knows checkouts by their resource's name, with errors for some, or away."""

    def __init__(self, views):
        self.views, self.errors, self.calls, self.away = views, {}, [], False
        self.cancelled, self.changes, self.compared = [], [], 0
        self.looked_up, self.rest = [], {None: Page([], None)}

    @property
    def started(self):
        """The names that were to be started, in their order."""
        return [name for names in self.calls for name in names]

    async def start(self, resources):
        self.calls.append([one.name for one in resources])
        return self._answer(resources)

    async def cancel(self, resources):
        self.cancelled.append([one.name for one in resources])
        return self._answer(resources)

    def _answer(self, resources):
        if self.away:
            raise SagaUnavailable("away")
        outcomes = [self.errors.get(one.name) or self.views[one.name] for one in resources]
        for odd in (one for one in outcomes if isinstance(one, ValueError)):
            raise odd
        return outcomes

    async def follow(self):
        while self.changes:
            yield self.changes.pop()
        raise SagaUnavailable("the stream broke")

    async def get_for(self, resources):
        self.looked_up.append(len(resources))
        if self.away:
            raise SagaUnavailable("away")
        return [self.views.get(one.name) for one in resources]

    async def list_rest(self, ended_within, cursor=None):
        self.compared += cursor is None
        if self.away:
            raise SagaUnavailable("away")
        return self.rest[cursor]


async def until(check, task):
    """Let a task run until something is so, and end it."""
    async with asyncio.timeout(5):
        while not check():
            assert not task.done()
            await asyncio.sleep(0)
    task.cancel()
