"""Looking for checkouts of any user, in memory."""

from collections import Counter
from datetime import timedelta
from statistics import quantiles

from services.checkout.domain import Status, UnknownCheckout
from services.checkout.search import (
    EndedInMinute,
    Event,
    Inspection,
    Page,
    Position,
    RunningStep,
    StepTime,
    Summary,
    search_terms,
)


class MemorySearch:
    """Fits the port Directory; who inherits it has `rows`, `tables` and `_where`."""

    async def search(self, wanted, limit, after=None):
        passes = self._where(lambda one, _: wanted.passes(one) and (after is None or _place(one) < after))
        passes.sort(key=_place, reverse=True)
        more = _place(passes[limit - 1]) if len(passes) > limit else None
        return Page(tuple(passes[:limit]), more)

    async def find_by(self, text, limit):
        terms = search_terms(text)
        found = self._where(
            lambda one, _: terms & {one.id, one.order_id, one.key, one.request_id, one.resource and one.resource.name}
        )
        return sorted(found, key=_place, reverse=True)[:limit]

    def _row(self, checkout_id):
        if checkout_id not in self.rows:
            raise UnknownCheckout
        return self.rows[checkout_id]

    async def inspect(self, checkout_id):
        row, now = self._row(checkout_id), self.tables.clock()
        sent = any(event.session.id == checkout_id for event in self.tables.events)
        return Inspection(
            session=self._seen(row),
            lease_owner=row.owner,
            driven=row.lease_until > self.tables.now(),
            next_attempt_at=now,
            cancel_after=now + timedelta(seconds=row.cancel_after - self.tables.now()),
            cancel_requested_at=row.cancel_requested_at,
            event=Event(f"event-{checkout_id}", now, None, None, 0, "") if sent else None,
            now=now,
        )

    async def request_cancel_of(self, checkout_id):
        row = self._row(checkout_id)
        if row.session.status is Status.PROCESSING:
            row.cancel_requested = True
            row.cancel_requested_at = row.cancel_requested_at or self.tables.clock()
        return self._seen(row)

    async def summary(self, since):
        running = Counter(one.step for one in self._where(lambda one, _: one.status is Status.PROCESSING))
        ended = Counter(
            (one.finished_at.replace(second=0, microsecond=0), one.status, one.reason)
            for one in self._where(lambda one, _: one.finished_at and one.finished_at >= since)
        )
        took = {}
        for one in self._where(lambda one, _: one.finished_at):
            for step in one.steps:
                if step.finished_at:
                    took.setdefault(step.name, []).append((step.finished_at - step.started_at).total_seconds() * 1000)
        return Summary(
            self.tables.clock(),
            tuple(
                RunningStep(
                    step, count, min(one.created_at for one in self._where(lambda one, _, s=step: one.step is s))
                )
                for step, count in running.items()
            ),
            tuple(EndedInMinute(*facts, count) for facts, count in ended.items()),
            tuple(
                StepTime(name, len(ms), *(quantiles(ms, n=100)[at] if len(ms) > 1 else ms[0] for at in (49, 98)))
                for name, ms in took.items()
            ),
        )


def _place(session):
    return Position(session.created_at, session.id)
