"""Which ports a stack uses, and who holds one that is taken."""

import json
import secrets
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

from devstack.home import Home
from devstack.table import PARTS, Part

HOST = "127.0.0.1"
FREE = range(20000, 32000)
SHOWN = 3  # ports of one holder that are named one by one
REMEDY = "End what holds them, or let free ports be chosen: DEVSTACK_PORTS=free make up\nOne port alone can be moved too: {}=… make up"


class PortTaken(Exception):
    """A port is held by a process that is not of this stack, or is no port."""


def choose(home: Home, env: Mapping[str, str], *, free: bool) -> dict[str, int]:
    """Return every port by its variable: the user's, or those chosen before, or free ones, or the defaults."""
    kept: dict[str, int] = json.loads(home.ports.read_text()) if home.ports.exists() else {}
    chosen: dict[str, int] = {}
    for variable, default in (pair for part in PARTS.values() for pair in part.ports):
        if text := env.get(variable):
            if not text.isdigit() or not 0 < int(text) < 65536:  # noqa: PLR2004 - the highest port
                raise PortTaken(f"{variable}={text}: must be a port number from 1 to 65535")
            chosen[variable] = int(text)
        elif not free:
            chosen[variable] = default
        elif (before := kept.get(variable)) and not is_taken(before):
            chosen[variable] = before
        else:
            chosen[variable] = _free(set(chosen.values()))
    _check_distinct(chosen)
    if free:
        with home.writing():
            home.ports.write_text(json.dumps(chosen))
    return chosen


def is_free_wanted(env: Mapping[str, str]) -> bool:
    """Return whether the user wants free ports; PortTaken for a word that means nothing."""
    word = env.get("DEVSTACK_PORTS", "")
    if word not in {"", "free"}:
        raise PortTaken(f"DEVSTACK_PORTS={word}: the only choice is DEVSTACK_PORTS=free; unset it for the usual ports")
    return word == "free"


def _check_distinct(chosen: Mapping[str, int]) -> None:
    users: dict[int, list[str]] = {}
    for variable, port in chosen.items():
        users.setdefault(port, []).append(variable)
    for port, variables in users.items():
        if len(variables) > 1:
            raise PortTaken(f"{' and '.join(variables)} are both {port}: every part needs a port of its own")


def _free(taken: set[int]) -> int:
    """Return a free port below those that the kernel gives to outgoing connections: one of them could take it first."""
    while True:
        port = secrets.choice(FREE)
        if port not in taken and not is_taken(port):
            return port


def check(parts: Iterable[Part], ports: Mapping[str, int]) -> None:
    """Raise PortTaken, naming the ports that are taken by each holder, and the variables that move them."""
    taken = [(variable, part) for part in parts for variable, _ in part.ports if is_taken(ports[variable])]
    if not taken:
        return
    holders: dict[str, list[str]] = {}
    for variable, part in taken:
        holders.setdefault(holder(ports[variable]), []).append(f"{ports[variable]} ({part.name})")
    lines = ["one port is taken:" if len(taken) == 1 else f"{len(taken)} ports are taken:"]
    for name, held in holders.items():
        more = f" and {len(held) - SHOWN} more" if len(held) > SHOWN else ""
        lines.append(f"  {', '.join(held[:SHOWN])}{more}: {name}")
    raise PortTaken("\n".join([*lines, REMEDY.format(taken[0][0])]))


def hold(ports: Iterable[int]) -> list[socket.socket]:
    """Keep ports from outgoing connections until the sockets are closed; a process can still listen on one.

    The services' ports lie among those that the kernel gives to outgoing connections, of which a stack has hundreds: one
    of them would keep a part from starting. The kernel gives none that is bound, and a process can listen on a port that
    is bound with SO_REUSEADDR. A port that is in use now is not held: its part reports it, if it is still in use then.
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
    """Return whether something of this machine listens on it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def holder(port: int) -> str:
    """Return which program listens on a port, as far as this user may see it; a stack is named by its folder."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                if connection.pid is None:
                    break
                process = psutil.Process(connection.pid)
                command = " ".join(" ".join(process.cmdline()).split())  # on one line
                return _stack_of(process) or f"{command[:80] or process.name()} (pid {process.pid})"
    except psutil.Error:
        pass  # another user's process: its name is not ours to see
    return "another program"


def _stack_of(process: psutil.Process) -> str:
    """Return the stack that a process belongs to: its supervisor is among its parents."""
    for one in (process, *process.parents()):
        words = one.cmdline()
        if "devstack.supervisor" in words:
            return f"the platform of {Home(Path(words[-1]).parent).shown} (make down there ends it)"
    return ""
