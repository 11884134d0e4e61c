"""Lists Checkout resources at the API server, with the right to list them and no other.

In a cluster the API server is found as any pod finds it: by the mounted token, which is read anew for each list, since it is
replaced while the pod runs. Elsewhere a kubeconfig with a token says where it is.
"""

import asyncio
import base64
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import yaml

from services.auditor.books import Book, Resource
from services.auditor.reading import CannotRead, reading

PAGE = 500
SECONDS = 10.0
MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_OK = 200


@dataclass(frozen=True, slots=True)
class Server:
    """Where an API server is, and who we are to it."""

    url: str
    trust: ssl.SSLContext
    token: str = ""
    token_file: Path | None = None

    def bearer(self) -> str:
        """Return the token."""
        return self.token_file.read_text().strip() if self.token_file else self.token


class _Metadata(msgspec.Struct):
    name: str
    uid: str
    namespace: str = ""


class _ListMetadata(msgspec.Struct):
    next: str = msgspec.field(default="", name="continue")


class _Spec(msgspec.Struct, rename="camel"):
    user_id: int
    idempotency_key: str = ""
    checkout_id: str = ""
    """Of a mirror."""


class _Status(msgspec.Struct, rename="camel"):
    checkout_id: str = ""
    saga_version: int = 0
    phase: str = ""


class _Item(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec
    status: _Status = msgspec.field(default_factory=_Status)


class _List(msgspec.Struct):
    metadata: _ListMetadata
    items: list[_Item]


def server_of(kubeconfig: str, env: Mapping[str, str]) -> Server | None:
    """Return the API server that a kubeconfig names, or the one of the cluster that we are in; None where there is neither.

    Raises CannotRead where the kubeconfig cannot be used: its user needs a token or a client certificate, no plugin.
    """
    if kubeconfig:
        return _from_kubeconfig(Path(kubeconfig))
    host = env.get("KUBERNETES_SERVICE_HOST")
    if not host or not (MOUNTED / "token").exists():
        return None
    host = f"[{host}]" if ":" in host else host
    url = f"https://{host}:{env.get('KUBERNETES_SERVICE_PORT', '443')}"
    trust = ssl.create_default_context(cafile=str(MOUNTED / "ca.crt"))
    return Server(url, trust, token_file=MOUNTED / "token")


def _from_kubeconfig(path: Path) -> Server:
    with reading(Book.RESOURCES, OSError, LookupError, StopIteration, TypeError, ValueError, yaml.YAMLError):
        config: Any = yaml.safe_load(path.read_text())
        context = next(one["context"] for one in config["contexts"] if one["name"] == config["current-context"])
        cluster = next(one["cluster"] for one in config["clusters"] if one["name"] == context["cluster"])
        user = next(one["user"] for one in config["users"] if one["name"] == context["user"])
        authority = cluster.get("certificate-authority-data")
        trust = ssl.create_default_context(
            cafile=cluster.get("certificate-authority"),
            cadata=base64.b64decode(authority).decode() if authority else None,
        )
        token: str = user.get("token", "")
        if not token and not _take_certificate(trust, user):
            raise CannotRead(Book.RESOURCES, f"the current user of {path} has neither a token nor a client certificate")
        return Server(cluster["server"], trust, token)


def _take_certificate(trust: ssl.SSLContext, user: Mapping[str, Any]) -> bool:
    """Have a client certificate shown to the server; return whether there is one. Python reads it from files alone."""
    if user.get("client-certificate"):
        trust.load_cert_chain(user["client-certificate"], user["client-key"])
        return True
    if not user.get("client-certificate-data"):
        return False
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = Path(folder) / "tls.crt", Path(folder) / "tls.key"
        certificate.write_bytes(base64.b64decode(user["client-certificate-data"]))
        key.touch(mode=0o600)
        key.write_bytes(base64.b64decode(user["client-key-data"]))
        trust.load_cert_chain(certificate, key)
    return True


class Cluster:
    """Fits the port ResourceBook."""

    def __init__(self, server: Server, namespaces: Sequence[str]) -> None:
        """Take the namespaces whose Checkouts are read; `*` is all of them."""
        self._server = server
        self._paths = [
            f"/apis/cartwright.dev/v1alpha1/{'' if one == '*' else f'namespaces/{one}/'}checkouts" for one in namespaces
        ]

    async def pages(self) -> AsyncIterator[list[Resource]]:
        """Yield the resources, a page at a time."""
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        async with aiohttp.ClientSession(self._server.url, timeout=timeout) as session:
            for path in self._paths:
                following = ""
                while True:
                    found = await self._page(session, path, following)
                    yield [_resource(one) for one in found.items]
                    following = found.metadata.next
                    if not following:
                        break

    async def _page(self, session: aiohttp.ClientSession, path: str, following: str) -> _List:
        with reading(
            Book.RESOURCES, aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError, asyncio.TimeoutError
        ):
            asked = {"limit": str(PAGE), **({"continue": following} if following else {})}
            headers = {"Authorization": f"Bearer {self._server.bearer()}"} if self._server.bearer() else {}
            async with session.get(path, params=asked, headers=headers, ssl=self._server.trust) as answer:
                body = await answer.read()
                if answer.status != _OK:
                    raise CannotRead(Book.RESOURCES, f"the API server answers with status {answer.status}")
                return msgspec.json.decode(body, type=_List)


def _resource(item: _Item) -> Resource:
    return Resource(
        name=f"{item.metadata.namespace}/{item.metadata.name}",
        uid=item.metadata.uid,
        user_id=item.spec.user_id,
        key=item.spec.idempotency_key or item.metadata.uid,
        mirror_of=item.spec.checkout_id,
        checkout_id=item.status.checkout_id,
        version=item.status.saga_version,
        phase=item.status.phase,
    )
