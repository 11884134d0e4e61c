"""Carts in memory, and a cache of them: the same promises as the real ones."""

import secrets
from dataclasses import replace

from services.cart.changes import Lease, Token
from services.cart.domain import Cart


class MemoryCarts:
    """Fits the port Carts. What is kept of a user may also be an error, which reading that cart gives."""

    def __init__(self):
        self.kept = {}

    async def read(self, user_ids):
        return [self.kept.get(user_id, Cart(user_id)) for user_id in user_ids]

    async def replace(self, changes):
        return [self._replace(before, after) for before, after in changes]

    def _replace(self, before, after):
        there = self.kept.get(before.user_id, Cart(before.user_id))
        if isinstance(there, Exception) or there.version != before.version:
            return False
        self.kept[after.user_id] = replace(after)
        return True


class MemoryCache:
    """Fits the port Cache: the protocol with neither a clock nor a network."""

    def __init__(self):
        self.values, self.writers, self.leases = {}, {}, {}

    async def read(self, user_ids):
        return [self._read(user_id) for user_id in user_ids]

    def _read(self, user_id):
        if self.writers.get(user_id):
            return None
        if user_id in self.values:
            return self.values[user_id]
        self.leases[user_id] = Lease(secrets.token_hex(4))
        return self.leases[user_id]

    async def fill(self, fills):
        for cart, lease in fills:
            if not self.writers.get(cart.user_id) and self.leases.get(cart.user_id) == lease:
                self.values[cart.user_id] = cart

    async def begin_writes(self, user_ids):
        return [self._begin(user_id) for user_id in user_ids]

    def _begin(self, user_id):
        token = Token(secrets.token_hex(4))
        self.writers.setdefault(user_id, set()).add(token)
        self._drop(user_id)
        return token

    async def end_writes(self, writes):
        for user_id, token in writes:
            self.writers.get(user_id, set()).discard(token)
            self._drop(user_id)

    def _drop(self, user_id):
        self.values.pop(user_id, None)
        self.leases.pop(user_id, None)
