"""What was seen of late, within a bound: so that memory does not grow with all that ever was."""

from collections import OrderedDict
from collections.abc import Hashable

REMEMBERED = 10_000


class Recent:
    """The last things that were added, each once; the oldest are forgotten."""

    def __init__(self) -> None:
        self._seen: OrderedDict[Hashable, None] = OrderedDict()

    def __contains__(self, one: object) -> bool:
        return one in self._seen

    def add(self, one: Hashable) -> bool:
        """Remember a thing; False where it was remembered already."""
        new = one not in self._seen
        self._seen[one] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return new
