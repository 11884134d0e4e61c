"""Stores of the user's own, which URLs name: prints which are used, and checks that each answers."""

import socket
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import parse_qs, urlsplit

from devstack.table import Part


class OwnStoreError(Exception):
    """A store of the user's own cannot be used; `str()` names its variable, and says what to do."""


def is_own(one: Part, env: Mapping[str, str]) -> bool:
    """Return whether every database of a store is one of the user's own, so that none has to be started."""
    return bool(one.urls) and all(env.get(variable) for variable in one.urls)


def check(stores: Iterable[Part], env: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Print which stores of the user's own are used; OwnStoreError where one does not answer."""
    for one in stores:
        for variable in one.urls:
            url = env.get(variable, "")
            if not url or variable == "KUBECONFIG":
                continue
            where = address(variable, url, one.ports[0][1])
            if where is None:
                say(f"{variable} is set: using that {one.name}.")
                continue
            host, port = where
            try:
                socket.create_connection(where, timeout=3).close()
            except OSError as error:
                raise OwnStoreError(
                    f"{variable} is set, but nothing answers at {host}:{port} ({error}); start that {one.name},"
                    f" or unset {variable} to have one started here"
                ) from error
            say(f"{variable} is set: using the {one.name} at {host}:{port}.")


def address(variable: str, url: str, default_port: int) -> tuple[str, int] | None:
    """Return the first host and port of a URL, or None where only its driver can find them."""
    scheme, _, rest = url.rpartition("://")
    if scheme == "mongodb+srv":  # the hosts are in the DNS
        return None
    first = rest.split("/")[0].rpartition("@")[2].split(",")[0]
    try:
        parts = urlsplit(f"//{first}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise OwnStoreError(f"{variable} is set, but is no URL: {error}") from error
    if not host and "host" in parse_qs(urlsplit(url).query):  # a unix socket
        return None
    return host or "127.0.0.1", port or default_port
