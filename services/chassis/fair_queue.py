"""A queue in which owners take turns: an owner with many items does not make the others wait for all of them."""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Items of owners. Those of one owner stay in the order in which they came, but for those that cannot go yet."""

    def __init__(self) -> None:
        self._queues: OrderedDict[Hashable, deque[T]] = OrderedDict()
        """The waiting items of each owner, none empty; the owner whose turn it is comes first."""
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        for queue in self._queues.values():
            yield from queue

    def put(self, owner: Hashable, item: T) -> None:
        """Add an item. An owner who has none yet has its turn after all others."""
        queue = self._queues.get(owner)
        if queue is None:
            queue = self._queues[owner] = deque()
        queue.append(item)
        self._length += 1

    def discard(self, owner: Hashable, item: T) -> None:
        """Remove an item if it is there."""
        queue = self._queues.get(owner)
        if queue is not None and item in queue:
            queue.remove(item)
            self._length -= 1
            if not queue:
                del self._queues[owner]

    def take(self, most: int, may_go: Callable[[T], bool]) -> list[T]:
        """Remove and return up to `most` items, one of each owner in turn. An item for which `may_go` is false stays.

        `may_go` is asked once for each item that is looked at, and an item for which it is true is taken.
        """
        taken: list[T] = []
        staying: dict[Hashable, deque[T]] = {}
        while self._queues and len(taken) < most:
            owner, queue = self._queues.popitem(last=False)
            while queue:
                item = queue.popleft()
                if not may_go(item):
                    staying.setdefault(owner, deque()).append(item)
                    continue
                taken.append(item)
                if self._queues or len(taken) == most:  # the next owner's turn; who is alone need not take turns
                    break
            if queue:
                self._queues[owner] = queue  # its next turn comes after all others
        for owner, items in staying.items():
            items.extend(self._queues.pop(owner, ()))
            self._queues[owner] = items
        self._length -= len(taken)
        return taken
