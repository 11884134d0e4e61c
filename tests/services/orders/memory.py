"""Orders in memory: the same promises as the real store."""

from services.orders.domain import InvalidPage, Page


class MemoryOrders:
    """Fits the port Orders."""

    def __init__(self):
        self.kept = {}

    async def add(self, orders):
        new = 0
        for order in orders:
            known = {(kept.checkout_id) for kept in self.kept.values()}
            if order.id not in self.kept and order.checkout_id not in known:
                self.kept[order.id] = order
                new += 1
        return new

    async def pages(self, asks):
        return [self._page(ask) for ask in asks]

    def _page(self, ask):
        mine = sorted(
            (order for order in self.kept.values() if order.user_id == ask.user_id),
            key=lambda order: (order.created_at, order.id),
            reverse=True,
        )
        if ask.cursor is not None:
            if ask.cursor not in self.kept:
                return InvalidPage("the cursor is not one of ours")
            mine = mine[[order.id for order in mine].index(ask.cursor) + 1 :]
        page = tuple(mine[: ask.limit])
        return Page(page, page[-1].id if len(mine) > ask.limit else None)

    async def by_ids(self, asked):
        return {
            order_id: self.kept[order_id]
            for user_id, order_id in asked
            if order_id in self.kept and self.kept[order_id].user_id == user_id
        }
