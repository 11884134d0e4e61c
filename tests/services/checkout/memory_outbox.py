"""Where the events of the checkouts that are kept in memory wait to be published."""

from services.checkout.event import Event


class MemoryOutbox:
    """Fits the port Outbox of the relay, on the same tables."""

    def __init__(self, tables, owner="me"):
        self.tables, self.owner = tables, owner

    async def lead(self, seconds):
        owner, until = self.tables.leader
        if owner != self.owner and until >= self.tables.now():
            return False
        self.tables.leader = (self.owner, self.tables.now() + seconds)
        return True

    async def resign(self):
        if self.tables.leader[0] == self.owner:
            self.tables.leader = (self.owner, float("-inf"))

    async def waiting(self, limit):
        rows = [row for row in self.tables.events if not row.processed and not row.dead]
        events = [Event(row.number, row.key, row.payload, row.headers) for row in rows[:limit]]
        return events, len(rows), 0.0

    async def mark(self, numbers):
        for number in numbers:
            row = self.tables.events[number - 1]
            if not row.processed:
                row.processed, row.attempts = True, row.attempts + 1

    async def failed(self, number, error, attempts):
        row = self.tables.events[number - 1]
        row.attempts += 1
        row.dead = row.attempts >= attempts
        return row.dead

    async def sweep(self, limit):
        return 0
