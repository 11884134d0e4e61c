"""A set that remembers only the newest items, so that memory does not grow with all that ever was."""

from collections import OrderedDict
from collections.abc import Hashable

CAPACITY = 10_000


class RecentSet:
    """The items that were added last. The oldest are forgotten."""

    def __init__(self) -> None:
        self._items: OrderedDict[Hashable, None] = OrderedDict()

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def discard(self, item: Hashable) -> None:
        """Forget an item, if it is there."""
        self._items.pop(item, None)

    def add(self, item: Hashable) -> bool:
        """Add an item. Returns whether it is new."""
        new = item not in self._items
        self._items[item] = None
        if len(self._items) > CAPACITY:
            self._items.popitem(last=False)
        return new
