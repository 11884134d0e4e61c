"""The API server, as the operator writes to it. The only importer of `kubernetes`."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiohttp import ClientError
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

GROUP, VERSION, PLURAL = "cartwright.dev", "v1alpha1", "checkouts"
CALL_SECONDS = 10.0
PAGE = 500
NOT_FOUND, CONFLICT, INVALID = 404, 409, 422


class NoCluster(Exception):
    """It is said nowhere which API server to speak to; `str()` says what to do."""


class ClusterUnavailable(Exception):
    """The API server did not do it; the same call may be repeated."""


class Refused(Exception):
    """The API server holds a rule against it."""


class Cluster:
    """Checkouts and events of one namespace."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._api = api
        self._objects: Any = client.CustomObjectsApi(api)
        self._core: Any = client.CoreV1Api(api)
        self._where = {"group": GROUP, "version": VERSION, "namespace": namespace, "plural": PLURAL}
        self._namespace = namespace

    @classmethod
    async def connect(cls, namespace: str) -> "Cluster":
        """Connect as the pod's service account, or as KUBECONFIG says; NoCluster where there is neither."""
        settings = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=settings)
        except config.ConfigException:
            try:
                await config.load_kube_config(client_configuration=settings)
            except config.ConfigException as error:
                raise NoCluster(f"no cluster: run it in a pod, or set KUBECONFIG ({error})") from error
        return cls(client.ApiClient(settings), namespace)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def patch_status(self, name: str, status: Mapping[str, Any] | None) -> bool:
        """Merge into a status, or clear it with None; False where there is no such resource. Refused: by a rule."""
        return await self._write(
            self._objects.patch_namespaced_custom_object_status(
                name=name, body={"status": status}, **self._where, _request_timeout=CALL_SECONDS
            )
        )

    async def create(self, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Create a Checkout and give it; None where it is there already."""
        made: Mapping[str, Any] | None = await self._ask(
            self._objects.create_namespaced_custom_object(body=dict(body), **self._where, _request_timeout=CALL_SECONDS)
        )
        return made

    async def delete(self, name: str, uid: str) -> bool:
        """Delete this very Checkout; False where it is gone, or another has its name."""
        options = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=uid))
        return await self._write(
            self._objects.delete_namespaced_custom_object(
                name=name, body=options, **self._where, _request_timeout=CALL_SECONDS
            )
        )

    async def every(self) -> AsyncIterator[Mapping[str, Any]]:
        """Give every Checkout there is, from the API server itself, and hold no more than a page of them."""
        more: str | None = None
        while True:
            page = await self._ask(
                self._objects.list_namespaced_custom_object(
                    limit=PAGE, _continue=more, **self._where, _request_timeout=CALL_SECONDS
                )
            )
            if page is None:
                raise ClusterUnavailable("the API server does not know Checkouts")
            for body in page["items"]:
                yield body
            more = page["metadata"].get("continue")
            if not more:
                return

    async def warn(self, name: str, uid: str, reason: str, message: str, at: str) -> bool:
        """Tell of a failure as an event, and give True; telling it again changes nothing."""
        body = {
            "metadata": {"name": f"{name}.{uid[:13]}", "namespace": self._namespace},
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": "Checkout",
                "name": name,
                "namespace": self._namespace,
                "uid": uid,
            },
            "type": "Warning",
            "reason": reason,
            "message": message,
            "source": {"component": "cartwright-operator"},
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        }
        await self._write(
            self._core.create_namespaced_event(namespace=self._namespace, body=body, _request_timeout=CALL_SECONDS)
        )
        return True

    async def _write(self, call: Any) -> bool:
        return await self._ask(call) is not None

    async def _ask(self, call: Any) -> Any:
        try:
            return await call
        except ApiException as error:
            if error.status in {NOT_FOUND, CONFLICT}:
                return None
            if error.status == INVALID:
                raise Refused(str(error.body)) from error
            raise ClusterUnavailable(f"the API server answers {error.status}") from error
        except (OSError, TimeoutError, ClientError) as error:  # a connection that breaks is no OSError
            raise ClusterUnavailable("the API server does not answer") from error
