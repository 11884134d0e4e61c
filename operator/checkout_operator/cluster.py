"""The client of the Kubernetes API server. The only importer of `kubernetes`."""

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
    """Nothing names an API server. `str()` says what to do."""


class ClusterUnavailable(Exception):
    """The API server did not make the change. The same call may be repeated; `str()` says what happened."""


class Refused(Exception):
    """A rule of the API server forbids the change. `str()` has its words."""


class Cluster:
    """The Checkouts and events of one namespace."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._api = api
        self._objects: Any = client.CustomObjectsApi(api)
        self._core: Any = client.CoreV1Api(api)
        self._where = {"group": GROUP, "version": VERSION, "namespace": namespace, "plural": PLURAL}
        self._namespace = namespace

    @classmethod
    async def connect(cls, namespace: str) -> "Cluster":
        """Connect as the pod's service account, or as KUBECONFIG says. Raises NoCluster when there is neither."""
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
        """Merge into a status, or clear it with None. Returns False when there is no such resource."""
        return await self._write(
            self._objects.patch_namespaced_custom_object_status(
                name=name, body={"status": status}, **self._where, _request_timeout=CALL_SECONDS
            )
        )

    async def create(self, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Create a Checkout. Returns it, or None when one of this name exists."""
        created: Mapping[str, Any] | None = await self._send(
            self._objects.create_namespaced_custom_object(body=dict(body), **self._where, _request_timeout=CALL_SECONDS)
        )
        return created

    async def delete(self, name: str, uid: str) -> bool:
        """Delete the Checkout with this uid. Returns False when it is gone, or another has its name."""
        options = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=uid))
        return await self._write(
            self._objects.delete_namespaced_custom_object(
                name=name, body=options, **self._where, _request_timeout=CALL_SECONDS
            )
        )

    async def list_all(self) -> AsyncIterator[Mapping[str, Any]]:
        """Yield every Checkout that the API server has, and hold no more than a page of them."""
        page_token: str | None = None
        while True:
            page = await self._send(
                self._objects.list_namespaced_custom_object(
                    limit=PAGE, _continue=page_token, **self._where, _request_timeout=CALL_SECONDS
                )
            )
            if page is None:
                raise ClusterUnavailable("the API server does not know Checkouts")
            for body in page["items"]:
                yield body
            page_token = page["metadata"].get("continue")
            if not page_token:
                return

    async def create_event(self, name: str, uid: str, reason: str, message: str, at: str) -> bool:
        """Create the Warning event of a resource. A second call changes nothing: the event's name is made of the uid."""
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
        return await self._send(call) is not None

    async def _send(self, call: Any) -> Any:
        try:
            return await call
        except ApiException as error:
            if error.status in {NOT_FOUND, CONFLICT}:
                return None
            if error.status == INVALID:
                raise Refused(str(error.body)) from error
            raise ClusterUnavailable(f"the API server answers {error.status} {error.reason}") from error
        except (OSError, TimeoutError, ClientError) as error:  # a connection that breaks is no OSError
            raise ClusterUnavailable(f"the API server does not answer: {error!r}") from error
