"""Keeps this operator's Lease, and knows by those of the others which members are alive.

Each member has a Lease of its own name, and renews it every HEARTBEAT_SECONDS. Whoever sees no renewal for EXPIRY_SECONDS
takes the member for dead, takes over its part and deletes its Lease. A member that cannot renew its own gives up its part
before that. So what a killed member leaves is taken over within EXPIRY_SECONDS and two heartbeats, and the rest of 15 s is
for listing and starting it.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
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
RENEW_SECONDS = 6.0
"""How long after its last renewal a member still works on its part."""
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
        self._on_change = on_change
        self._log = log
        self._liveness = Liveness(EXPIRY_SECONDS)
        self._renewed_at = float("-inf")
        self.shard = WHOLE if config.sharding == "Off" else Shard(self._member, frozenset())
        """What this operator works on now."""

    async def run(self) -> None:
        """Keep the Lease and look at those of the others, for ever."""
        while True:
            began = time.monotonic()
            await self.beat()
            await asyncio.sleep(max(0.0, began + HEARTBEAT_SECONDS - time.monotonic()))

    async def beat(self) -> None:
        """Renew the Lease and look at those of the others, once. What fails is tried again by the next heartbeat."""
        self._give_up_when_late()  # a process that was stopped for long learns it here, before it renews
        try:
            async with asyncio.timeout(RENEW_SECONDS / 2):
                began = time.monotonic()
                if await self._renew():
                    self._renewed_at = began
                leases = await self._list()
        except (ClusterUnavailable, Refused, TimeoutError) as error:
            self._log.warning("could not renew the Lease or list those of the others", error=str(error)[:300])
            self._give_up_when_late()
            return
        self._liveness.look({name: _renewal(lease) for name, lease in leases.items()}, time.monotonic())
        if self._is_current():
            self._change(self._liveness.alive() | {self._member})
        await self._delete_dead([leases[name] for name in self._liveness.dead() - {self._member}])

    async def leave(self) -> None:
        """Delete the Lease, so that the others take over at once. Where that fails they do so when it has run out."""
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                await self._cluster.request("DELETE", self._url(self._member))
        except (ClusterUnavailable, Refused, TimeoutError) as error:
            self._log.warning("could not delete the Lease", error=str(error)[:300])

    def _is_current(self) -> bool:
        return time.monotonic() - self._renewed_at < RENEW_SECONDS

    def _give_up_when_late(self) -> None:
        if not self._is_current():
            self._change(frozenset())

    def _change(self, members: frozenset[str]) -> None:
        before, self.shard = self.shard, Shard(self._member, members)
        if before.members == members:
            return
        if members:
            joined, left = sorted(members - before.members), sorted(before.members - members)
            self._log.info("the members have changed", members=sorted(members), joined=joined, left=left)
        else:
            self._log.warning("the Lease has not been renewed in time: this operator works on nothing until it is")
        self._on_change(self.shard)

    async def _renew(self) -> bool:
        """Write the Lease. Returns False where another request has created it meanwhile."""
        spec = {
            "holderIdentity": self._member,
            "leaseDurationSeconds": int(EXPIRY_SECONDS),
            "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        labels = {LABEL: self._group}
        change = {"metadata": {"labels": labels}, "spec": spec}
        if await self._cluster.request("PATCH", self._url(self._member), change, content_type=MERGE_PATCH) is not None:
            return True
        metadata = {"name": self._member, "labels": labels}
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        return await self._cluster.request("POST", self._path, body) is not None

    async def _list(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the Leases of all members by name."""
        answer = await self._cluster.request(
            "GET", f"{self._path}?{urlencode({'labelSelector': f'{LABEL}={self._group}'})}"
        )
        return {lease["metadata"]["name"]: lease for lease in (answer or {}).get("items") or ()}

    async def _delete_dead(self, leases: Sequence[Mapping[str, Any]]) -> None:
        """Delete the Leases of dead members, but for one that has been renewed meanwhile."""
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                for metadata in (lease["metadata"] for lease in leases):
                    unchanged = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
                    await self._cluster.request("DELETE", self._url(metadata["name"]), {"preconditions": unchanged})
        except (ClusterUnavailable, Refused, TimeoutError) as error:
            self._log.warning("could not delete the Lease of a dead member", error=str(error)[:300])

    def _url(self, member: str) -> str:
        return f"{self._path}/{quote(member, safe='')}"


def _renewal(lease: Mapping[str, Any]) -> str:
    return str((lease.get("spec") or {}).get("renewTime", ""))
