"""Recognises, in the bytes that a connection received, a request that needs no HTTP parser: one whole, plain GET.

Pure. What is recognised here means the same to every parser: it has one head without a body, each line is well-formed, and no
header changes how the request is framed, negotiated or answered. Everything else is left to aiohttp, so a request that is
not recognised costs time and nothing else (docs/decisions/0008-plain-reads.md).
"""

import re
from collections.abc import Iterable
from typing import Any

from multidict import CIMultiDict, MultiMapping, istr

MAX_HEAD_BYTES = 4096
"""The longest head of a plain read: a token of 2 kB and what a browser sends fit. A longer one goes to aiohttp."""
MAX_REQUEST_BYTES = 32 * 1024
"""The longest request that is recognised as whole; it is below what makes aiohttp pause the connection."""

# RFC 9110, section 5.5 and 5.6.2, without obs-text, which parsers decode differently, and without obs-fold.
_FIELD_LINE = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t\x20-\x7e]*+\r\n"
_HOST = re.compile(rb"[0-9A-Za-z._-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")

_FRAMING = (rb"transfer-encoding", rb"te", rb"trailer", rb"upgrade", rb"expect", rb"keep-alive", rb"http2-settings", rb"proxy-[^:]*")  # fmt: skip
"""The headers that say where a request ends, or what becomes of its connection."""
_NOT_PLAIN = (
    *_FRAMING,
    rb"content-(?!type:)[^:]*",
    rb"if-[^:]*",
    rb"range",
    rb"origin",  # of CORS, whose answer has more headers
    rb"access-control-[^:]*",
    rb"x-(?:http-)?method(?:-override)?",
    rb"sec-websocket-[^:]*",
    rb"(?:etag|max-forwards|server)",  # aiohttp refuses the request if one occurs twice
)
_CONNECTION = b"connection"
_IGNORED = (b"user-agent", b"content-type")
"""The headers that change nothing, but for which parsers refuse a request that has two. Many clients say of every request that
it has JSON, also if it has no body."""

_WHOLE = re.compile(rb"(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) [\x21-\x7e]++ HTTP/1\.1\r\n(?:" + _FIELD_LINE + rb"){1,64}\r\n")  # fmt: skip
_FRAMED = re.compile(rb"\n(content-length|connection|" + b"|".join(_FRAMING) + rb"):[\t ]*([^\r]*)", re.IGNORECASE)


class PlainRead(dict[Any, Any]):
    """A plain GET. As with an aiohttp request, what handles it can keep values in it under keys.

    `headers` has only the headers for which the recogniser was made, each at most once.
    """

    __slots__ = ("headers", "path")
    method = "GET"

    def __init__(self, path: str, headers: MultiMapping[str]) -> None:
        self.path = path
        self.headers = headers

    def again(self) -> "PlainRead":
        """Return the same read as a new request, in which nothing is kept yet."""
        return PlainRead(self.path, self.headers)


class Recogniser:
    """Recognises the plain reads of an application."""

    def __init__(self, paths: Iterable[str], headers: Iterable[str]) -> None:
        """Take the paths that can be read, and the names of all headers that their handlers look at."""
        self._paths = {path.encode(): path for path in paths}
        self._names: dict[bytes, istr] = {name.lower().encode(): istr(name) for name in headers}
        lines = b"|".join(re.escape(path) for path in self._paths)
        self._head = re.compile(rb"GET (" + lines + rb") HTTP/1\.1\r\n(?:" + _FIELD_LINE + rb"){1,32}\r\n")
        single = b"|".join((b"host", _CONNECTION, *_IGNORED, *map(re.escape, self._names)))
        self._looked_at = re.compile(
            rb"\n(?:(" + single + rb")|" + b"|".join(_NOT_PLAIN) + rb"):[ ]?([^\r]*)", re.IGNORECASE
        )

    def __call__(self, data: bytes) -> PlainRead | None:
        """Return the plain read that `data` is, or None if it is anything else, or more, or less."""
        if len(data) > MAX_HEAD_BYTES or (head := self._head.fullmatch(data)) is None:
            return None
        found: dict[bytes, bytes] = {}
        for name, value in self._looked_at.findall(data):
            known = name.lower()
            if not known or known in found:
                return None
            found[known] = value
        if not _HOST.fullmatch(found.pop(b"host", b"")):
            return None
        if found.pop(_CONNECTION, b"keep-alive").lower() != b"keep-alive":
            return None
        headers: CIMultiDict[str] = CIMultiDict()
        for known, value in found.items():
            if known in _IGNORED:
                continue
            if value != value.strip(b"\t "):
                return None
            headers[self._names[known]] = value.decode("ascii")
        return PlainRead(self._paths[head[1]], headers)


def is_whole_request(data: bytes) -> bool:
    """Return whether `data` is exactly one request, with its whole body, which leaves the connection as it was.

    A request with anything unusual is none, also if it is whole.
    """
    if len(data) > MAX_REQUEST_BYTES or (head := _WHOLE.match(data)) is None:
        return False
    length: bytes | None = None
    for name, value in _FRAMED.findall(data, 0, head.end()):
        match name.lower():
            case b"content-length" if length is None and value.isdigit() and len(value) <= len(str(MAX_REQUEST_BYTES)):
                length = value
            case b"connection" if value.lower() == b"keep-alive":
                pass
            case _:
                return False
    return head.end() + int(length or 0) == len(data)
