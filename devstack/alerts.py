"""Shows the alerts of a Prometheus as lines of a terminal."""

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from devstack import beside

POLL_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that fires. Two are the same one where their labels are."""

    labels: frozenset[tuple[str, str]]
    says: str = field(compare=False)
    page: str = field(compare=False)

    @property
    def name(self) -> str:
        """Its name, and which it is where several parts have it."""
        labels = dict(self.labels)
        shown = {"alertname", "severity", "namespace"}
        which = ", ".join(value for name, value in sorted(labels.items()) if name not in shown)
        return labels["alertname"] + (f" ({which})" if which else "")

    @property
    def severity(self) -> str:
        """How soon somebody must look."""
        return dict(self.labels)["severity"]


def firing(url: str) -> frozenset[Alert]:
    """Return the alerts that fire now, of the Prometheus at `url`; OSError where it does not answer."""
    listed = beside.ask(f"{url}/api/v1/alerts")["data"]["alerts"]
    return frozenset(
        Alert(frozenset(one["labels"].items()), one["annotations"]["description"], one["annotations"]["runbook_url"])
        for one in listed
        if one["state"] == "firing"
    )


def changes(look: Callable[[], Collection[Alert]], pause: Callable[[float], None] = time.sleep) -> Iterator[str]:
    """Give a line for each alert that begins and each that ends, without end."""
    before: frozenset[Alert] = frozenset()
    while True:
        try:
            now = frozenset(look())
        except OSError:
            now = before  # it does not answer for now: nothing is known to have changed
        for alert in sorted(now - before, key=lambda one: one.name):
            yield f"{alert.severity}: {alert.name}. {alert.says}\n    What to do: {alert.page}"
        for alert in sorted(before - now, key=lambda one: one.name):
            yield f"ended: {alert.name}."
        before = now
        pause(POLL_SECONDS)
