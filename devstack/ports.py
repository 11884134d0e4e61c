"""Which ports a stack uses, and who holds one that is taken."""

import json
import secrets
import socket
from collections.abc import Iterable, Mapping

import psutil

from devstack.home import Home
from devstack.table import PARTS, Part

HOST = "127.0.0.1"
FREE = range(20000, 32000)


class PortTaken(Exception):
    """A port is held by a process that is not of this stack."""


def choose(home: Home, env: Mapping[str, str], *, free: bool) -> dict[str, int]:
    """Give every port by its variable: the user's, or those chosen before, or free ones, or the defaults."""
    kept: dict[str, int] = json.loads(home.ports.read_text()) if home.ports.exists() else {}
    chosen: dict[str, int] = {}
    for variable, default in (pair for part in PARTS.values() for pair in part.ports):
        if text := env.get(variable):
            if not text.isdigit() or not 0 < int(text) < 65536:  # noqa: PLR2004 - the highest port
                raise PortTaken(f"{variable}={text}: must be a port number from 1 to 65535")
            chosen[variable] = int(text)
        elif free:
            chosen[variable] = kept.get(variable) or _free(set(chosen.values()))
        else:
            chosen[variable] = default
    if free:
        home.path.mkdir(parents=True, exist_ok=True)
        home.ports.write_text(json.dumps(chosen))
    return chosen


def _free(taken: set[int]) -> int:
    """Give a free port below those that the kernel hands to outgoing connections: one of them could take it before us."""
    while True:
        port = secrets.choice(FREE)
        if port not in taken and not is_taken(port):
            return port


def check(parts: Iterable[Part], ports: Mapping[str, int]) -> None:
    """Raise PortTaken, naming the holder of each port that is taken and the variable that moves it."""
    taken = [
        f"port {ports[variable]} for {part.name} is taken by {holder(ports[variable])};"
        f" end it, or choose another: {variable}=… make up"
        for part in parts
        for variable, _ in part.ports
        if is_taken(ports[variable])
    ]
    if taken:
        raise PortTaken("\n".join(taken))


def hold(ports: Iterable[int]) -> list[socket.socket]:
    """Keep ports from outgoing connections until the sockets are closed; who listens on one is not hindered.

    The services' ports lie among those that the kernel gives to outgoing connections, of which a stack has hundreds: one
    of them would keep a part from starting. The kernel gives none that is bound, and what is bound with SO_REUSEADDR can
    be bound so again by who listens. A port that is in use just now is not held: its part says so if it still is then.
    """
    held = []
    for port in ports:
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((HOST, port))
        except OSError:
            one.close()
        else:
            held.append(one)
    return held


def is_taken(port: int) -> bool:
    """Whether something of this machine listens on it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def holder(port: int) -> str:
    """Say which program listens on a port, as far as this user may see it."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                if connection.pid is None:
                    break
                process = psutil.Process(connection.pid)
                return f"{' '.join(process.cmdline())[:80] or process.name()} (pid {connection.pid})"
    except psutil.Error:
        pass  # another user's process: its name is not ours to see
    return "another program"
