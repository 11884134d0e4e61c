"""How often something long is done: at most a share of the time goes into it, so that it costs little however much there is. Pure."""


class Pace:
    """Says when the next turn may begin. Times are seconds of any clock that only goes forward."""

    def __init__(self, share: float, least: float) -> None:
        """Take the share of the time that turns may use, and the least rest in seconds after a turn that came to its end."""
        self._share = share
        self._least = least
        self._next = 0.0

    def is_due(self, now: float) -> bool:
        """Whether a turn may begin."""
        return now >= self._next

    def ended(self, began: float, now: float, *, whole: bool = True) -> None:
        """Note a turn, and whether it came to its end; one that did not may go on as soon as its share allows."""
        self._next = now + max(self._least if whole else 0.0, (now - began) / self._share)
