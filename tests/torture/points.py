"""What a crash point is, which faults can strike there, and how a name of one is made out of what is sent.

A point is one kind of outgoing call of one part: a statement, a call to another service, a command to MongoDB or Redis, a
message to Kafka, a request to the API server. Points are found by recording what a purchase does (tests/torture/hooks.py),
never listed by hand, so a call that is added to a service is tested by itself.
"""

import re
import struct
from dataclasses import dataclass
from enum import StrEnum

import bson


class Kind(StrEnum):
    """Where an outgoing call goes."""

    SQL = "sql"
    RPC = "rpc"
    MONGO = "mongo"
    REDIS = "redis"
    PRODUCE = "produce"
    POLL = "poll"
    """Messages that a consumer has received."""
    OFFSETS = "offsets"
    API = "api"
    API_READ = "api-read"


class Fault(StrEnum):
    """What happens to a call; the letters are those of the fault matrix."""

    KILLED_BEFORE = "killed-before"
    """K: the process dies just before it sends."""
    KILLED_AFTER = "killed-after"
    """K: the process dies just after the reply has come."""
    PAUSED = "paused"
    """H: the process is stopped before it sends, for longer than its lease."""
    REFUSED = "refused"
    """R: the connection breaks before anything is sent."""
    LOST = "lost"
    """L, T: the call is executed, and the connection breaks before the reply is read."""
    LATE = "late"
    """S, X: the caller gives up, and the call is executed afterwards."""
    DUPLICATED = "duplicated"
    """D: the call is executed again later; a message is delivered twice."""
    STORE_KILLED = "store-killed"
    """F1, F2, F6, F7, F9: the store dies just before the call."""


_EVERY = (Fault.KILLED_BEFORE, Fault.KILLED_AFTER, Fault.PAUSED, Fault.REFUSED, Fault.LOST)
APPLICABLE: dict[Kind, tuple[Fault, ...]] = {
    Kind.SQL: (*_EVERY, Fault.STORE_KILLED),
    Kind.RPC: (*_EVERY, Fault.LATE, Fault.DUPLICATED),
    Kind.MONGO: (*_EVERY, Fault.STORE_KILLED),
    Kind.REDIS: (*_EVERY, Fault.STORE_KILLED),
    Kind.PRODUCE: (*_EVERY, Fault.LATE, Fault.DUPLICATED, Fault.STORE_KILLED),
    Kind.POLL: (Fault.KILLED_AFTER, Fault.PAUSED, Fault.DUPLICATED),
    Kind.OFFSETS: (*_EVERY, Fault.STORE_KILLED),
    Kind.API: (*_EVERY, Fault.LATE, Fault.DUPLICATED),
    Kind.API_READ: _EVERY,
}
STORE_OF = {
    Kind.SQL: "postgres",
    Kind.MONGO: "mongodb",
    Kind.REDIS: "redis",
    Kind.PRODUCE: "kafka",
    Kind.OFFSETS: "kafka",
}


@dataclass(frozen=True, order=True, slots=True)
class Point:
    """A crash point: the part whose call it is, where the call goes, and what it is."""

    part: str
    kind: Kind
    what: str

    def __str__(self) -> str:
        return f"{self.part} {self.kind} {self.what}"

    @classmethod
    def parse(cls, text: str) -> "Point":
        """Read what `str` has written; ValueError where it is no point."""
        part, kind, what = text.split(" ", 2)
        return cls(part, Kind(kind), what)


_WORD = re.compile(r"[\w.]+")
_NAMED = {"UPDATE": 1, "DELETE": 2, "INSERT": 2}
_FROM = re.compile(r"\b(?:FROM|UPDATE|INTO) ([\w.]+)")
_DRIVERS_OWN = ("BEGIN", "ROLLBACK", "WITH RECURSIVE typeinfo_tree")
"""What asyncpg sends around a statement: nothing has happened there that a fault before the statement does not show."""


def statement(sql: str) -> str | None:
    """Return the verb of a statement and its first table or function, such as `UPDATE checkout_sessions`; None for the driver's own."""
    text = " ".join(sql.split())
    if text.startswith(_DRIVERS_OWN) or "set_config(" in text:
        return None
    words = _WORD.findall(text)
    verb = words[0].upper() if words else "nothing"
    if (at := _NAMED.get(verb)) is not None:
        return f"{verb} {words[at]}"
    found = _FROM.search(text)
    return f"{verb} {found[1]}" if found else verb


_OUR_SCRIPT_KEYS = b"3"
_CONNECTING = frozenset({"HELLO", "CLIENT", "AUTH", "SELECT", "PING", "INFO", "READONLY"})


def redis_command(packed: bytes) -> str | None:
    """Return the first command of a packed pipeline, with the operation of the cart's script; None for what opens a connection."""
    words = packed.split(b"\r\n", 16)[2::2]
    name = words[0].decode().upper()
    if name in _CONNECTING:
        return None
    if name in {"EVALSHA", "EVAL"} and len(words) > 6 and words[2] == _OUR_SCRIPT_KEYS:
        return f"{name} {words[6].decode()}"
    return name


_HEAD = struct.Struct("<iiii")
_OP_MSG = 2013
_HANDSHAKE = frozenset({"hello", "ismaster", "isMaster", "ping", "endSessions", "saslStart", "buildInfo"})


def mongo_command(message: bytes) -> str | None:
    """Return the name of the command in a message of the MongoDB wire protocol; None for what looks after the connection."""
    if _HEAD.unpack_from(message)[3] != _OP_MSG:
        return None
    at = _HEAD.size + 4  # the flags
    while message[at]:  # a section of another kind before the body
        at += 1 + struct.unpack_from("<i", message, at + 1)[0]
    size = struct.unpack_from("<i", message, at + 1)[0]
    name = next(iter(bson.decode(message[at + 1 : at + 1 + size])))
    return None if name in _HANDSHAKE else name


_CORE = re.compile(r"/(?:namespaces/[^/]+/)?(?P<plural>checkouts|events|leases)(?:/[^/?]+(?P<sub>/status)?)?$")


def api_request(method: str, path: str, query: str) -> tuple[Kind, str] | None:
    """Return what a request to the API server is about, without its names; None for a watch and for what is no object of ours."""
    found = _CORE.search(path)
    if found is None or "watch=" in query:
        return None
    what = f"{method} {found['plural']}{found['sub'] or ''}"
    return (Kind.API_READ if method == "GET" else Kind.API), what
