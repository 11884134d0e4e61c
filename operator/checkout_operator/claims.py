"""Which namespaces belong to this release. Of the releases in a cluster one alone buys what a Checkout asks for.

Each release has a checkout service of its own, and a Checkout that two releases watch would be bought by both. So a Lease in
each namespace says whose it is: the API server creates it once, for whoever asks first. It has no end. A release that is away
for an hour must not find its Checkouts bought by another. Its owner is the Role that the release's rights come from, so that
Kubernetes deletes it when the release is uninstalled.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import structlog

from checkout_operator.cluster import Cluster, ClusterUnavailable, Forbidden, NamespaceGone, Refused
from checkout_operator.config import Release
from checkout_operator.scope import Scope

LEASE = "checkouts.cartwright.dev"
LEASES = "/apis/coordination.k8s.io/v1"
RBAC = "rbac.authorization.k8s.io/v1"
RETRY_SECONDS = 2.0
CHECK_SECONDS = 60.0
ASK_SECONDS = 10.0
"""After how long one namespace is left for later: its policies and webhooks may fail for ever, and must hold up no other."""


class NamespaceTaken(Exception):
    """Another release has a namespace that this one is to watch. `str()` says which, and what to do."""


class Claims:
    """The namespaces that this release has, and those of others that it has met."""

    def __init__(
        self, cluster: Cluster, scope: Scope, release: Release | None, log: structlog.stdlib.BoundLogger
    ) -> None:
        """Take the release; None for an operator that is alone in its cluster, which claims nothing."""
        self._cluster = cluster
        self._scope = scope
        self._release = release
        self._log = log
        self._held: set[str] = set()
        self._foreign: dict[str, str] = {}
        """The holders of the namespaces that belong to other releases."""
        self._said: dict[str, str] = {}
        """Why each namespace could not be claimed, as the log has it already."""
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.on_gain: Callable[[], None] = lambda: None
        """What is called when a namespace that was another release's has become this one's: its resources were left out."""

    def holds(self, namespace: str) -> bool:
        """Return whether a namespace is known to be this release's."""
        return self._release is None or namespace in self._held

    async def hold(self, namespace: str) -> bool:
        """Claim a namespace, unless that is done. Returns whether it is this release's.

        It is asked for until the API server answers, and until the operator may claim it. One that is being deleted is nobody's.
        """
        if self._release is None or namespace in self._held:
            return True
        async with self._locks[namespace]:
            while True:
                try:
                    return await self.try_hold(namespace)
                except ClusterUnavailable:
                    await asyncio.sleep(RETRY_SECONDS)

    async def try_hold(self, namespace: str) -> bool:
        """Claim a namespace as `hold` does. Raises Forbidden where the operator may not, ClusterUnavailable after ASK_SECONDS."""
        if self._release is not None and namespace not in self._held and namespace not in self._foreign:
            self._record(namespace, await self._ask(self._release, namespace))
        return self.holds(namespace)

    async def hold_all(self) -> None:
        """Claim every namespace that is named, before anything is watched. Raises NamespaceTaken.

        One in which the operator has no rights, or a policy refuses the claim, holds up none of the others: with a namespace
        that is deleted go the rights.
        An operator of all namespaces is refused where another release has one of them. Once it has begun it is not refused any
        more: it leaves alone what others have claimed since.
        """
        if self._release is None:
            return
        if self._scope.namespaces is None:
            holders = await self._holders()
            if self._release.name not in holders.values():
                _refuse(holders)
        while not await self.run_once():
            pass  # nothing answers in any of them: that is no namespace's own trouble
        _refuse({one: holder for one, holder in self._foreign.items() if one in self._scope.known_namespaces})

    async def run_once(self) -> bool:
        """Ask again whose each namespace is. Returns False where there was no answer in any of them.

        One that has become another release's is left to it, and the others are worked on as before: who may write a Lease in
        one namespace must not stop the operator of all.
        """
        if self._release is None:
            return True
        namespaces = self._held | set(self._scope.known_namespaces) | set(self._foreign)
        answered = not namespaces
        for namespace in sorted(namespaces):
            with suppress(ClusterUnavailable):  # what was known of it stays so
                try:
                    self._record(namespace, await self._ask(self._release, namespace))
                    answered = True
                except Forbidden:
                    answered = True
        return answered

    async def run(self) -> None:
        """Ask again for ever."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self.run_once()

    def _record(self, namespace: str, holder: str | None) -> None:
        """Record whose a namespace is; None for one that is nobody's, since it does not exist or is being deleted."""
        self._said.pop(namespace, None)
        self._held.discard(namespace)
        known = self._foreign.pop(namespace, None)
        if self._release is not None and holder == self._release.name:
            self._held.add(namespace)
            if known is not None:
                self.on_gain()
        elif holder is not None:
            self._foreign[namespace] = holder
            if holder != known:
                self._log.error("a namespace belongs to another release", namespace=namespace, holder=holder)

    async def _ask(self, release: Release, namespace: str) -> str | None:
        """Return who has a namespace, which is this release where nobody had it; None as for `_record`.

        Raises Forbidden where the operator may not claim it, and ClusterUnavailable where that is not known after ASK_SECONDS.
        """
        ends_at = time.monotonic() + ASK_SECONDS
        while True:
            try:
                if found := await self._read_or_create(release, namespace):
                    return _holder(found)
            except NamespaceGone:
                return None
            except Forbidden:
                raise
            except Refused as error:
                self._say(namespace, error)
                raise Forbidden(str(error)) from error
            except ClusterUnavailable as error:
                self._say(namespace, error)
                if time.monotonic() > ends_at:
                    raise
                await asyncio.sleep(RETRY_SECONDS)

    def _say(self, namespace: str, error: Exception) -> None:
        """Log why a namespace could not be claimed, once for each reason: it is tried for ever."""
        if self._said.get(namespace) != str(error):
            self._said[namespace] = str(error)
            self._log.warning("could not claim a namespace", namespace=namespace, error=str(error)[:300])

    async def _read_or_create(self, release: Release, namespace: str) -> Mapping[str, Any] | None:
        """Return the Lease of a namespace. None where another process has just created it, or deleted it."""
        path = f"{LEASES}/namespaces/{namespace}/leases"
        found = await self._cluster.request("GET", f"{path}/{LEASE}")
        return found or await self._cluster.request("POST", path, await self._lease(release, namespace))

    async def _lease(self, release: Release, namespace: str) -> Mapping[str, Any]:
        kind, where = ("ClusterRole", "") if self._scope.namespaces is None else ("Role", f"/namespaces/{namespace}")
        role = await self._cluster.request("GET", f"/apis/{RBAC}{where}/{kind.lower()}s/{release.role}")
        owner = {"apiVersion": RBAC, "kind": kind, "name": release.role}
        owners = [owner | {"uid": role["metadata"]["uid"]}] if role else []
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": LEASE, "namespace": namespace, "ownerReferences": owners},
            "spec": {
                "holderIdentity": release.name,
                "acquireTime": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            },
        }

    async def _holders(self) -> Mapping[str, str]:
        """Return who has which namespace, of all that anybody has."""
        while True:
            try:
                found = await self._cluster.request("GET", f"{LEASES}/leases?fieldSelector=metadata.name%3D{LEASE}")
            except (ClusterUnavailable, Refused) as error:
                self._log.warning("could not list the claims of namespaces", error=str(error)[:300])
            else:
                return {one["metadata"]["namespace"]: _holder(one) for one in (found or {}).get("items", ())}
            await asyncio.sleep(RETRY_SECONDS)


def _refuse(holders: Mapping[str, str]) -> None:
    """Raise NamespaceTaken if there are any."""
    if holders:
        lines = [
            f"the namespace {namespace} belongs to the release {holder}, by its Lease {LEASE}: watch other namespaces;"
            f" where that release is no more: kubectl -n {namespace} delete lease {LEASE}"
            for namespace, holder in sorted(holders.items())
        ]
        raise NamespaceTaken("\n".join(lines))


def _holder(lease: Mapping[str, Any]) -> str:
    return lease["spec"].get("holderIdentity") or "that its Lease does not name"
