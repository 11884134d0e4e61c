"""HTTP/1.1 as the load generator speaks it: a request as ready bytes, an answer cut out of what has come.

Own code, since a generator shares the machine with what it measures: a general client costs ten times as much a request.
It reads what our gateway, aiohttp and any gateway that names a body's length or sends it in chunks answer.
"""

import json
from dataclasses import dataclass
from typing import Any

END = b"\r\n\r\n"


class NotHttp(Exception):
    """What came is no answer that this generator can read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: its status, its body, and whether the connection may be used again."""

    status: int
    body: bytes
    reusable: bool = True


def request(verb: str, path: str, *, user: int | None = None, body: Any = None) -> bytes:
    """Give a request as it goes over the wire."""
    lines = [f"{verb} {path} HTTP/1.1", "Host: 127.0.0.1"]
    if user is not None:
        lines.append(f"X-User-Id: {user}")
    content = b"" if body is None else json.dumps(body).encode()
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join(lines).encode() + END + content


def cut(data: bytes) -> tuple[Answer, int] | None:
    """Give the answer at the start of `data` and how many bytes it has; None while some of it is missing."""
    head_end = data.find(END)
    if head_end < 0:
        return None
    head = data[:head_end].lower()
    if not head.startswith(b"http/1.") or not head[9:12].isdigit():
        raise NotHttp(repr(data[:80]))
    status, reusable = int(head[9:12]), b"connection: close" not in head
    start = head_end + len(END)
    if (at := head.find(b"\r\ncontent-length:")) >= 0:
        end = start + int(head[at + 17 :].split(b"\r\n", 1)[0])
        return (Answer(status, data[start:end], reusable), end) if len(data) >= end else None
    if b"\r\ntransfer-encoding: chunked" in head:
        return _chunked(data, start, status, reusable=reusable)
    if status in {204, 304}:
        return Answer(status, b"", reusable), start
    raise NotHttp("the answer does not say how long it is")


def _chunked(data: bytes, at: int, status: int, *, reusable: bool) -> tuple[Answer, int] | None:
    body = []
    while (line_end := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:line_end].split(b";", 1)[0], 16)
        at = line_end + 2 + size + 2
        if len(data) < at:
            return None
        if not size:
            return Answer(status, b"".join(body), reusable), at
        body.append(data[line_end + 2 : at - 2])
    return None
