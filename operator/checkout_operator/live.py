"""The resources that are there, as the watch has told of them."""

from collections import OrderedDict
from collections.abc import Iterable

from checkout_operator.spec import Resource
from checkout_operator.status import SagaView

REMEMBERED = 10_000


class Live:
    """Resources by name, and by the checkout that they are about."""

    def __init__(self) -> None:
        self._by_name: dict[str, Resource] = {}
        self._by_key: dict[tuple[int, str], dict[str, None]] = {}
        self._confirmed: set[str] = set()
        self._gone: OrderedDict[str, None] = OrderedDict()

    def put(self, resource: Resource) -> None:
        """Take note of a resource as it is now."""
        there = self._unlink(resource.name)
        if there and there.uid != resource.uid:
            self._confirmed.discard(there.uid)
        self._by_name[resource.name] = resource
        if not resource.is_mirror:
            self._by_key.setdefault((resource.spec.user_id, resource.spec.key), {})[resource.name] = None

    def drop(self, resource: Resource) -> None:
        """Take note that a resource is gone; another may have its name by now, and stays."""
        if not self._has(resource):
            return
        self._unlink(resource.name)
        self._confirmed.discard(resource.uid)
        self._gone[resource.name] = None
        while len(self._gone) > REMEMBERED:
            self._gone.popitem(last=False)

    def confirm(self, resource: Resource) -> None:
        """Take note that the checkout of a resource's key is its own: the same key may stand for other items."""
        if self._has(resource):
            self._confirmed.add(resource.uid)

    def is_confirmed(self, resource: Resource) -> bool:
        """Whether the checkout of a resource's key is known to be its own."""
        return resource.is_mirror or resource.uid in self._confirmed

    def get(self, name: str) -> Resource | None:
        """Give a resource."""
        return self._by_name.get(name)

    def was_deleted(self, name: str) -> bool:
        """Whether a resource of this name was there and is gone."""
        return name in self._gone

    def all(self) -> list[Resource]:
        """Give every resource."""
        return list(self._by_name.values())

    def generations(self) -> frozenset[tuple[str, int]]:
        """Give (uid, generation) of every resource."""
        return frozenset((one.uid, one.generation) for one in self._by_name.values())

    def mirrors(self) -> list[Resource]:
        """Give the mirrors."""
        return [one for one in self._by_name.values() if one.is_mirror]

    def showing(self, view: SagaView) -> Iterable[str]:
        """Give the names under which a checkout is to be shown; a mirror's also where there is none yet."""
        if view.from_resource:
            names = self._by_key.get((view.user_id, view.key), {})
            return tuple(name for name in names if self._by_name[name].uid in self._confirmed)
        return (mirror_name(view.id),)

    def _has(self, resource: Resource) -> bool:
        there = self._by_name.get(resource.name)
        return there is not None and there.uid == resource.uid

    def _unlink(self, name: str) -> Resource | None:
        there = self._by_name.pop(name, None)
        if there is None:
            return None
        names = self._by_key.get((there.spec.user_id, there.spec.key), {})
        names.pop(name, None)
        if not names:
            self._by_key.pop((there.spec.user_id, there.spec.key), None)
        return there


def mirror_name(checkout_id: str) -> str:
    """Give the name of the mirror of a checkout."""
    return f"co-{checkout_id}"
