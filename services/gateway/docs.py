"""Serves the contract: openapi.yaml as JSON at /openapi.json, and as a page at /docs that sends requests too.

The page is Swagger UI, whose files the package offapi carries. Everything comes from here: the page loads nothing from elsewhere,
and its Content-Security-Policy has the browser hold it to that.
"""

import asyncio
import functools
import gzip
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import yaml
from aiohttp import ETag, hdrs, web

from services.chassis.web import json_response

_HERE = Path(__file__).parent
_VIEWER = Path(str(distribution("offapi").locate_file("offapi")))
"""The package is located and not imported: it would read every viewer that it has into memory."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; "  # the viewer's stylesheet holds its icons
    "connect-src 'self'; "  # the contract, and the requests that a reader sends
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of the page. No inline script or style is allowed: a token may be entered there."""
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
    "Cache-Control": "no-cache",  # kept, and asked for again with its ETag: an update shows at once
}
FILES = {
    "/docs": _HERE / "static" / "docs.html",
    "/docs/page.js": _HERE / "static" / "docs.js",
    "/docs/page.css": _HERE / "static" / "docs.css",
    "/docs/viewer.js": _VIEWER / "swagger_bundle.js",
    "/docs/viewer.css": _VIEWER / "swagger_style.css",
}
"""The page and what it loads, by path."""


@functools.cache
def openapi() -> dict[str, Any]:
    """Return the contract. Fields of the file that begin with x- only help to write it, and are left out."""
    read: dict[str, Any] = yaml.safe_load((_HERE / "openapi.yaml").read_text())
    return {name: value for name, value in read.items() if not name.startswith("x-")}


def routes() -> list[web.RouteDef]:
    """Return the routes of the contract, of the page, and of what the page loads."""
    pages = [web.get(path, _sends(file)) for path, file in FILES.items()]
    return [web.get("/", root), web.get("/openapi.json", document), *pages]


async def root(request: web.Request) -> web.StreamResponse:
    """Redirect a browser to the page, and tell other clients where the contract is."""
    headers = {"Vary": "Accept"}
    if "text/html" in request.headers.get("Accept", ""):
        return web.Response(status=302, headers=headers | {"Location": "/docs"})
    links = {"docs": "/docs", "openapi": "/openapi.json", "health": "/health"}
    return json_response({"name": openapi()["info"]["title"]} | links, headers=headers)


async def document(_: web.Request) -> web.StreamResponse:
    """Return the contract as JSON."""
    return json_response(openapi())


@dataclass(frozen=True, slots=True)
class _Held:
    """A file, kept compressed: the viewer has 1.6 MB, and 0.4 MB when compressed."""

    body: bytes
    compressed: bytes
    tag: ETag


@functools.cache
def _hold(file: Path) -> _Held:
    """Read a file and compress it: once, and not before somebody reads the page, since most gateways never show it."""
    body = file.read_bytes()
    # Weak, since both encodings share it.
    tag = ETag(hashlib.sha256(body).hexdigest()[:16], is_weak=True)
    return _Held(body, gzip.compress(body, 6, mtime=0), tag)


def accepts_gzip(header: str) -> bool:
    """Return whether an Accept-Encoding allows gzip (RFC 9110, 12.5.3)."""
    weights = {}
    for one in header.lower().split(","):
        coding, _, weight = one.partition(";")
        weights[coding.strip()] = weight.replace(" ", "").removeprefix("q=")
    weight = weights.get("gzip", weights.get("*", "0"))
    return weight.strip("0.") != "" or weight == ""


def _sends(file: Path) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    content_type = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}[file.suffix]
    headers = _HEADERS | {hdrs.CONTENT_TYPE: f"{content_type}; charset=utf-8"}

    async def send(request: web.Request) -> web.StreamResponse:
        held = await asyncio.to_thread(_hold, file)
        known = {one.value for one in request.if_none_match or ()}
        if known & {held.tag.value, "*"}:
            response = web.Response(status=304, headers=_HEADERS)
        elif accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
            response = web.Response(body=held.compressed, headers=headers | {hdrs.CONTENT_ENCODING: "gzip"})
        else:
            response = web.Response(body=held.body, headers=headers)
        response.etag = held.tag
        return response

    return send
