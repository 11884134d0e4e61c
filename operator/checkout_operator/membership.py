"""Keeps this operator's Lease, and knows by all Leases which members are alive.

Each member has a Lease of its own name, and renews it every HEARTBEAT_SECONDS. One whose Lease is not seen to be renewed for
EXPIRY_SECONDS is dead to all: the others take over its part and delete its Lease, and the member itself, where it lives, works
on nothing until it has renewed it. So what a killed member leaves is taken over within EXPIRY_SECONDS and two heartbeats, and
the rest of 15 s is for listing and starting it.

Who cannot look changes nothing. While the API server is away or slow nobody can take anything over, so that everybody keeps the
part it has: to give it up, and to list it again afterwards, would add to the load that made the API server slow.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import structlog

from checkout_operator.cluster import Cluster, ClusterUnavailable, Refused
from checkout_operator.config import Config
from checkout_operator.liveness import Liveness
from checkout_operator.sharding import WHOLE, Shard

HEARTBEAT_SECONDS = 2.0
EXPIRY_SECONDS = 8.0
TRY_SECONDS = 4.0
"""How long a renewal or a look may take before it is tried again. A slow one counts, as long as it comes in time."""
LABEL = "cartwright.dev/operator"
"""The label of a Lease that says whose replicas its member is one of."""
MERGE_PATCH = "application/merge-patch+json"


class Membership:
    """This operator as one of several."""

    def __init__(
        self,
        cluster: Cluster,
        config: Config,
        *,
        on_change: Callable[[Shard], None],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        """Take a client that nothing else uses: a renewal must not wait behind other requests.

        `on_change` is called with each new shard. Until this operator has renewed its Lease once, its shard is empty.
        """
        self._cluster = cluster
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{config.lease_namespace}/leases"
        self._group = config.member_group
        self._member = config.member_name
        self._pod_uid = config.member_pod_uid
        self._on_change = on_change
        self._log = log
        self._liveness = Liveness(EXPIRY_SECONDS)
        self.shard = WHOLE if config.sharding == "Off" else Shard(self._member, frozenset())
        """What this operator works on now."""

    async def run(self) -> None:
        """Keep the Lease and look at those of the others, for ever."""
        while True:
            began = time.monotonic()
            await self.beat()
            await asyncio.sleep(max(0.0, began + HEARTBEAT_SECONDS - time.monotonic()))

    async def beat(self) -> None:
        """Renew the Lease and look at all Leases, once. What fails is tried again by the next heartbeat."""
        await self._try("renew the Lease", self._renew)
        await self._try("look at the Leases", self._look)

    async def _try(self, what: str, call: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(TRY_SECONDS):
                await call()
        except (ClusterUnavailable, Refused, TimeoutError) as error:
            self._log.warning(f"could not {what}", error=str(error)[:300] or repr(error))

    async def leave(self) -> None:
        """Delete the Lease, so that the others take over at once. Where that fails they do so when it has run out."""
        await self._try("delete the Lease", self._delete)

    async def _delete(self) -> None:
        await self._cluster.request("DELETE", self._url(self._member))

    async def _look(self) -> None:
        """Take those for members whose Leases are renewed, and delete the Leases of the dead."""
        leases = await self._list()
        self._liveness.look({name: _renewal(lease) for name, lease in leases.items()}, time.monotonic())
        self._change(self._liveness.alive())
        for metadata in (leases[name]["metadata"] for name in self._liveness.dead() - {self._member}):
            # It may live after all, and have renewed its Lease meanwhile.
            unchanged = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
            await self._cluster.request("DELETE", self._url(metadata["name"]), {"preconditions": unchanged})

    def _change(self, members: frozenset[str]) -> None:
        before, self.shard = self.shard, Shard(self._member, members)
        if before.members == members:
            return
        joined, left = sorted(members - before.members), sorted(before.members - members)
        self._log.info("the members have changed", members=sorted(members), joined=joined, left=left)
        if not self.shard.is_member:
            self._log.warning("the Lease of this operator is not renewed: it works on nothing until it is")
        self._on_change(self.shard)

    async def _renew(self) -> None:
        """Write the Lease, and create it where there is none."""
        spec = {
            "holderIdentity": self._member,
            "leaseDurationSeconds": int(EXPIRY_SECONDS),
            "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        labels = {LABEL: self._group}
        change = {"metadata": {"labels": labels}, "spec": spec}
        if await self._cluster.request("PATCH", self._url(self._member), change, content_type=MERGE_PATCH) is None:
            metadata = {"name": self._member, "labels": labels, "ownerReferences": self._owners()}
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
            await self._cluster.request("POST", self._path, body)

    def _owners(self) -> list[Mapping[str, Any]]:
        """Return the pod of this operator: of a release that is uninstalled no member is left to delete the Leases."""
        if self._pod_uid is None:
            return []
        return [{"apiVersion": "v1", "kind": "Pod", "name": self._member, "uid": self._pod_uid}]

    async def _list(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the Leases of all members by name."""
        answer = await self._cluster.request(
            "GET", f"{self._path}?{urlencode({'labelSelector': f'{LABEL}={self._group}'})}"
        )
        return {lease["metadata"]["name"]: lease for lease in (answer or {}).get("items") or ()}

    def _url(self, member: str) -> str:
        return f"{self._path}/{quote(member, safe='')}"


def _renewal(lease: Mapping[str, Any]) -> str:
    return str((lease.get("spec") or {}).get("renewTime", ""))
