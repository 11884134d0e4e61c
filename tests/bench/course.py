"""How far a bench is: how many of its loads have run, and how long the others will take. Pure."""

from collections.abc import Sequence

from devstack.progress import spoken


class Course:
    """The loads of a bench, each of which runs once a round."""

    def __init__(self, loads: Sequence[str], rounds: int) -> None:
        self.loads = loads
        self._rounds = rounds
        self._took: dict[str, list[float]] = {load: [] for load in loads}

    def ran(self, load: str, seconds: float) -> None:
        """Note that a load has run once more."""
        self._took[load].append(seconds)

    @property
    def left(self) -> float:
        """The seconds that the rest will take: a load as long as before, one that did not run yet as long as the others."""
        seen = {load: sum(times) / len(times) for load, times in self._took.items() if times}
        usual = sum(seen.values()) / len(seen) if seen else 0.0
        return sum(seen.get(load, usual) * (self._rounds - len(self._took[load])) for load in self.loads)

    def __str__(self) -> str:
        done, total = sum(map(len, self._took.values())), len(self.loads) * self._rounds
        return f"{done} of {total}" + (f", about {spoken(self.left)} left" if done < total else "")
