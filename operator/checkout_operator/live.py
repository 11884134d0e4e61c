"""The resources that are there, as the watch has told of them.

It tells of each resource in order, but of two that have the same name after each other in any order: so both are held
until the end of one is told.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from checkout_operator.recent import Recent
from checkout_operator.spec import Resource
from checkout_operator.status import SagaView

K = TypeVar("K")
V = TypeVar("V")


class Live:
    """Resources by name, and by the checkout that they are about."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[str, Resource]] = {}
        """By name, and by uid in the order in which they came."""
        self._by_key: dict[tuple[int, str], dict[str, str]] = {}
        """The names of those that are no mirrors, by user and key, and by uid."""
        self._confirmed: set[str] = set()
        self._gone = Recent()
        self._ends_shown: dict[str, float] = {}

    def put(self, resource: Resource) -> None:
        """Take note of a resource as it is now."""
        self._by_name.setdefault(resource.name, {})[resource.uid] = resource
        if not resource.is_mirror:
            self._by_key.setdefault(_key(resource), {})[resource.uid] = resource.name

    def drop(self, resource: Resource) -> None:
        """Take note that a resource is gone; another of its name stays."""
        if not self._has(resource):
            return
        _remove(self._by_name, resource.name, resource.uid)
        _remove(self._by_key, _key(resource), resource.uid)
        self._confirmed.discard(resource.uid)
        self._ends_shown.pop(resource.uid, None)
        if resource.name not in self._by_name:
            self._gone.add(resource.name)

    def confirm(self, resource: Resource) -> None:
        """Take note that the checkout of a resource's key is its own: the same key may stand for other items."""
        if self._has(resource):
            self._confirmed.add(resource.uid)

    def is_confirmed(self, resource: Resource) -> bool:
        """Whether the checkout of a resource's key is known to be its own."""
        return resource.is_mirror or resource.uid in self._confirmed

    def end_shown(self, resource: Resource, at: float) -> None:
        """Take note that this process has shown the end of a resource's checkout, in seconds since 1970."""
        if self._has(resource):
            self._ends_shown.setdefault(resource.uid, at)

    def ends_shown(self) -> Mapping[str, float]:
        """Give when this process first showed an end, by uid."""
        return self._ends_shown

    def get(self, name: str) -> Resource | None:
        """Give the resource of a name; of several the one that came last."""
        named = self._by_name.get(name)
        return named[next(reversed(named))] if named else None

    def was_deleted(self, name: str) -> bool:
        """Whether a resource of this name was there and is gone."""
        return name in self._gone

    def all(self) -> list[Resource]:
        """Give every resource."""
        return list(self._every())

    def generations(self) -> frozenset[tuple[str, int]]:
        """Give (uid, generation) of every resource."""
        return frozenset((one.uid, one.generation) for one in self._every())

    def mirrors(self) -> list[Resource]:
        """Give the mirrors."""
        return [one for one in self._every() if one.is_mirror]

    def showing(self, view: SagaView) -> Iterable[str]:
        """Give the names under which a checkout is to be shown; a mirror's also where there is none yet."""
        if view.from_resource:
            names = self._by_key.get((view.user_id, view.key), {})
            return tuple(name for uid, name in names.items() if uid in self._confirmed and self._is_last(name, uid))
        return (mirror_name(view.id),)

    def _every(self) -> Iterator[Resource]:
        return (one for named in self._by_name.values() for one in named.values())

    def _has(self, resource: Resource) -> bool:
        return resource.uid in self._by_name.get(resource.name, {})

    def _is_last(self, name: str, uid: str) -> bool:
        there = self.get(name)
        return there is not None and there.uid == uid


def _key(resource: Resource) -> tuple[int, str]:
    return resource.spec.user_id, resource.spec.key


def _remove(index: dict[K, dict[str, V]], key: K, uid: str) -> None:
    found = index.get(key, {})
    found.pop(uid, None)
    if not found:
        index.pop(key, None)


def mirror_name(checkout_id: str) -> str:
    """Give the name of the mirror of a checkout."""
    return f"co-{checkout_id}"
