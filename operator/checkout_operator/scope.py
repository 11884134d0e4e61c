"""Which resources are this operator's: those of some namespaces, or of all, that carry some labels. Pure.

Mirrors have a namespace of their own. It is watched too, though for nothing but mirrors where it is none of the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from checkout_operator.selectors import LabelSelector
from checkout_operator.spec import MIRROR

ORIGIN = {"cartwright.dev/origin": "rest"}
"""What marks mirrors for people; nothing is decided by it."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is watched."""

    namespaces: frozenset[str] | None
    """The namespaces whose Checkouts are worked on; None: all of them."""
    mirror_namespace: str
    selector: LabelSelector

    @property
    def mirror_labels(self) -> Mapping[str, str]:
        """Return the labels of mirrors: with them the watch reports them."""
        return self.selector.labels(ORIGIN) or ORIGIN

    @property
    def watches(self) -> tuple[str | None, ...]:
        """Return the namespaces to open a watch for. None is one watch of all."""
        return (None,) if self.namespaces is None else tuple(sorted(self.namespaces | {self.mirror_namespace}))

    @property
    def known_namespaces(self) -> tuple[str, ...]:
        """Return the namespaces that it names; a watch of all has more."""
        return tuple(sorted((self.namespaces or frozenset()) | {self.mirror_namespace}))

    def includes(self, body: Mapping[str, Any]) -> bool:
        """Return whether a resource that a watch reports is worked on, by its namespace."""
        if self.namespaces is None or body["metadata"].get("namespace") in self.namespaces:
            return True
        return (body.get("spec") or {}).get("managedBy") == MIRROR
