"""An API server in memory: Checkouts with uid, generation and status, a rule against going back, and a watch that may fall silent."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from checkout_operator.cluster import ClusterUnavailable, Refused
from checkout_operator.selectors import LabelSelector
from checkout_operator.spec import NamespacedName
from tests.simulation.loop import Process
from tests.simulation.stores import Gate, Outage

INACTIVITY_SECONDS = 25.0
"""After how long without an event a watch is opened again. kopf's setting is 70 s; less costs less virtual time."""
CREATED = "2026-01-01T00:00:00Z"


class ApiServer:
    """The objects, and who watches them."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self.objects: dict[str, dict[str, Any]] = {}
        self.events: set[str] = set()
        self._watchers: list[tuple[Process, Any]] = []
        self._silent: set[Process] = set()

    def watch(self, process: Process, handle: Any) -> None:
        """Tell a process of what exists, and of every change from now on."""
        self._watchers = [(one, told) for one, told in self._watchers if one.alive] + [(process, handle)]
        for body in self.objects.values():
            self._tell(process, handle, "ADDED", body)

    def fall_silent(self) -> None:
        """Let the watches that are open report nothing any more, though they look alive, until they are opened again."""
        for process, handle in self._watchers:
            self._silent.add(process)
            self._world.loop.at(self._world.loop.world, INACTIVITY_SECONDS, self._reopen, process, handle)

    def _reopen(self, process: Process, handle: Any) -> None:
        self._silent.discard(process)
        if process.alive:
            for body in self.objects.values():
                self._tell(process, handle, "ADDED", body)

    def apply(self, name: str, spec: Mapping[str, Any]) -> None:
        """Create a Checkout as a user does."""
        self._insert({"metadata": {"name": name}, "spec": dict(spec)})

    def cancel(self, name: str) -> None:
        """Ask for the cancellation of a Checkout as a user does."""
        body = self.objects[name]
        body["spec"]["cancelRequested"] = True
        body["metadata"]["generation"] += 1
        self._changed("MODIFIED", body)

    def overwrite_statuses(self) -> None:
        """Overwrite every status, as somebody with the right to may."""
        for body in self.objects.values():
            body["status"] = {"phase": "Overwritten"}
            self._changed("MODIFIED", body)

    def _insert(self, body: dict[str, Any]) -> dict[str, Any]:
        name = body["metadata"]["name"]
        metadata = {"namespace": "default", "uid": f"uid-{name}", "creationTimestamp": CREATED, "generation": 1}
        self.objects[name] = body | {"metadata": body["metadata"] | metadata}
        self._changed("ADDED", self.objects[name])
        return self.objects[name]

    def _changed(self, what: str, body: dict[str, Any]) -> None:
        for process, handle in self._watchers:
            if process not in self._silent:
                self._tell(process, handle, what, body)

    def _tell(self, process: Process, handle: Any, what: str, body: dict[str, Any]) -> None:
        self._world.loop.at(process, self._world.latency("watch"), handle, what, _copy(body))

    # What the operator's client asks for, each at one moment.

    async def replace_status(self, name: NamespacedName, status: Mapping[str, Any], *uid: str) -> bool:
        """Replace a status; Refused where its version goes back, or where it is another object's."""
        body = self.objects.get(name.name)
        if body is None:
            return False
        if uid and body["metadata"]["uid"] != uid[0]:
            raise Refused("another object has the name")
        if status and int(status.get("sagaVersion") or 0) < int((body.get("status") or {}).get("sagaVersion") or 0):
            raise Refused("sagaVersion cannot go back")
        body["status"] = dict(status)
        self._changed("MODIFIED", body)
        self._world.invariants.shown(body)
        return True

    async def create(self, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Create an object; None where there is one of this name."""
        if body["metadata"]["name"] in self.objects:
            return None
        return _copy(self._insert(_copy(body)))

    async def listed(self) -> list[dict[str, Any]]:
        """Return every object."""
        return [_copy(body) for body in self.objects.values()]

    async def create_event(self, event: Mapping[str, Any]) -> bool:
        """Create an event; one of the same name stays."""
        self.events.add(event["metadata"]["name"])
        return True


def _copy(body: Mapping[str, Any]) -> dict[str, Any]:
    """Copy what may change of a body; a status is replaced as a whole."""
    return dict(body) | {"metadata": dict(body["metadata"]), "spec": dict(body["spec"])}


def unavailable(_: str, __: tuple[Any, ...], fault: Exception) -> Any:
    """Raise what the operator's client makes of a call without an answer."""
    raise ClusterUnavailable(str(fault)) from fault


class SimCluster:
    """Stands where checkout_operator.cluster.Cluster does, for one process."""

    def __init__(self, world: Any, outage: Outage, server: ApiServer) -> None:
        gate = Gate(world, outage, server, unavailable)
        self._listed = gate.listed
        self.replace_status = gate.replace_status
        self.create = gate.create
        self.create_event = gate.create_event

    async def list_all(self, namespace: str | None, selector: LabelSelector) -> AsyncIterator[Mapping[str, Any]]:
        """Yield every Checkout: there is one namespace here, and everything is selected."""
        for body in await self._listed():
            yield body
