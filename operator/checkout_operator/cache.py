"""The Checkout resources that exist, as the watch reports them, and how those ended that have ended.

The watch reports the changes of one resource in order. The end of a resource and the start of another with the same name
may come in any order, so the cache holds both until the end of one is reported.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec

from checkout_operator.recent import RecentSet
from checkout_operator.reconcile import Action
from checkout_operator.sharding import WHOLE
from checkout_operator.spec import NamespacedName, Resource
from checkout_operator.status import SagaView, StatusDigest

K = TypeVar("K")
V = TypeVar("V")


class Ending(msgspec.Struct, frozen=True, gc=False):
    """How a resource ended, as the checkout service says. It is never read from a status, which users may write."""

    finished_at: float
    """When the checkout ended, in seconds since 1970."""
    ttl_from: float
    """When the resource's time to live begins, in seconds since 1970."""
    failed: bool


class ResourceCache:
    """The resources of this operator's shard, by name and by the checkout that they are about."""

    def __init__(self, mirror_namespace: str = "default") -> None:
        """Take the namespace that mirrors are created in."""
        self._mirror_namespace = mirror_namespace
        self.shard = WHOLE
        """What this operator works on. Nothing else is put into the cache."""
        self._by_name: dict[NamespacedName, dict[str, Resource]] = {}
        """By name, then by uid in the order in which they came."""
        self._by_key: dict[tuple[int, str], dict[str, NamespacedName]] = {}
        """The names of those that are not mirrors, by user and key, then by uid."""
        self._mirrors: set[str] = set()
        """The uids of the mirrors that are not being deleted: they are counted for every checkout that gets one."""
        self._confirmed: set[str] = set()
        self._actions: dict[str, Action] = {}
        """The last action that this process took for a resource, by uid."""
        self._deleted = RecentSet()
        self._deleted_uids = RecentSet()
        """The uids of resources whose end was reported: an older list may still have them."""
        self._endings: dict[str, Ending] = {}

    def owns(self, key: str) -> bool:
        """Return whether what has this key is this operator's, as the members are now."""
        return self.shard.owns(key)

    def put(self, resource: Resource) -> None:
        """Add a resource, or replace it with what it is now. One that is another member's is left out."""
        if not self._owns(resource):
            return
        self._deleted_uids.discard(resource.uid)
        self._by_name.setdefault(resource.namespaced_name, {})[resource.uid] = resource
        if resource.is_mirror:
            (self._mirrors.discard if resource.deleting else self._mirrors.add)(resource.uid)
        else:
            self._by_key.setdefault(_key(resource), {})[resource.uid] = resource.namespaced_name

    def set_status(self, resource: Resource, status: StatusDigest) -> None:
        """Record the status that was written to a resource, so that it is known when the watch reports it.

        `resource` is what was known when the write began. Where the watch has reported anything meanwhile, that stays: it may
        be somebody else's status, written after this one, and even the same as before.
        """
        if self.find(resource.namespaced_name, resource.uid) is resource:
            self._by_name[resource.namespaced_name][resource.uid] = msgspec.structs.replace(resource, status=status)

    def remove(self, resource: Resource) -> None:
        """Remove a resource. Another of the same name stays."""
        self._deleted_uids.add(resource.uid)
        if not self._has(resource):
            return
        self._forget(resource)
        if resource.namespaced_name not in self._by_name:
            self._deleted.add(resource.namespaced_name)

    def adopt(self, resource: Resource) -> bool:
        """Add a resource from a list. Returns False for one that the watch has reported, or reported as deleted."""
        if self._has(resource) or resource.uid in self._deleted_uids:
            return False
        self.put(resource)
        return True

    def release_others(self) -> int:
        """Forget the resources that are not in the shard: they exist, and another member has them. Returns how many."""
        others = [one for one in self._every() if not self._owns(one)]
        for one in others:
            self._forget(one)
        return len(others)

    def _forget(self, resource: Resource) -> None:
        _remove(self._by_name, resource.namespaced_name, resource.uid)
        _remove(self._by_key, _key(resource), resource.uid)
        self._mirrors.discard(resource.uid)
        self._confirmed.discard(resource.uid)
        self._actions.pop(resource.uid, None)
        self._endings.pop(resource.uid, None)

    def confirm(self, resource: Resource) -> None:
        """Record that the checkout of a resource's key is its own: the same key may belong to other items."""
        if self._has(resource):
            self._confirmed.add(resource.uid)

    def is_confirmed(self, resource: Resource) -> bool:
        """Return whether the checkout of a resource's key is known to be its own."""
        return resource.is_mirror or resource.uid in self._confirmed

    def record_action(self, resource: Resource, action: Action) -> None:
        """Record the last action for a resource. One that leaves the watch and comes back is acted for anew."""
        if self._has(resource):
            self._actions[resource.uid] = action

    def last_action(self, resource: Resource) -> Action | None:
        """Return the last action of this process for a resource."""
        return self._actions.get(resource.uid)

    def forget_action(self, resource: Resource) -> None:
        """Have a resource be acted for anew."""
        self._actions.pop(resource.uid, None)

    def end(self, resource: Resource, ending: Ending) -> None:
        """Record how a resource ended. The first record stays."""
        if self._has(resource):
            self._endings.setdefault(resource.uid, ending)

    def endings(self) -> Mapping[str, Ending]:
        """Return the endings by uid."""
        return self._endings

    def get(self, name: NamespacedName) -> Resource | None:
        """Return the resource of a name, the newest if there are several."""
        named = self._by_name.get(name)
        return named[next(reversed(named))] if named else None

    def find(self, name: NamespacedName, uid: str) -> Resource | None:
        """Return the resource of this name and uid."""
        return self._by_name.get(name, {}).get(uid)

    def was_deleted(self, name: NamespacedName) -> bool:
        """Return whether a resource of this name existed and is gone."""
        return name in self._deleted

    def all(self) -> list[Resource]:
        """Return every resource."""
        return list(self._every())

    def generations(self) -> frozenset[tuple[str, int]]:
        """Return (uid, generation) of every resource."""
        return frozenset((one.uid, one.generation) for one in self._every())

    def mirrors(self) -> list[Resource]:
        """Return the mirrors that are not being deleted."""
        return [one for one in self._every() if one.uid in self._mirrors]

    def count_mirrors(self) -> int:
        """Return how many mirrors there are, without those that only somebody's finalizer still holds."""
        return len(self._mirrors)

    def names_for(self, view: SagaView) -> Sequence[NamespacedName]:
        """Return the names of the shard's resources that show a checkout. A checkout of REST has one, also before it exists."""
        if not view.from_resource:
            return (self.mirror_name(view.id),) if self.owns(view.id) else ()
        names = self._by_key.get((view.user_id, view.key), {})
        return tuple(name for uid, name in names.items() if uid in self._confirmed and self._is_newest(name, uid))

    def unconfirmed_for(self, view: SagaView) -> Sequence[str]:
        """Return the uids of the resources that have a checkout's key, and may be about it or about other items."""
        if not view.from_resource:
            return ()
        return tuple(uid for uid in self._by_key.get((view.user_id, view.key), {}) if uid not in self._confirmed)

    def mirror_name(self, checkout_id: str) -> NamespacedName:
        """Return what names the mirror of a checkout."""
        return NamespacedName(self._mirror_namespace, mirror_name(checkout_id))

    def shows(self, resource: Resource, view: SagaView) -> bool:
        """Return whether a resource is about this checkout. Its name alone proves nothing: users choose names."""
        if resource.is_mirror:
            return (resource.spec.mirror_of, resource.spec.user_id) == (view.id, view.user_id)
        return view.from_resource and resource.uid in self._confirmed and _key(resource) == (view.user_id, view.key)

    def _every(self) -> Iterator[Resource]:
        return (one for named in self._by_name.values() for one in named.values())

    def _owns(self, resource: Resource) -> bool:
        return self.owns(resource.spec.mirror_of or resource.uid)

    def _has(self, resource: Resource) -> bool:
        return resource.uid in self._by_name.get(resource.namespaced_name, {})

    def _is_newest(self, name: NamespacedName, uid: str) -> bool:
        newest = self.get(name)
        return newest is not None and newest.uid == uid


def _key(resource: Resource) -> tuple[int, str]:
    return resource.spec.user_id, resource.spec.key


def _remove(index: dict[K, dict[str, V]], key: K, uid: str) -> None:
    found = index.get(key, {})
    found.pop(uid, None)
    if not found:
        index.pop(key, None)


def mirror_name(checkout_id: str) -> str:
    """Return the name of the mirror of a checkout."""
    return f"co-{checkout_id}"
