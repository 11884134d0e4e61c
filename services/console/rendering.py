"""Makes pages of templates. Everything that is filled in is escaped."""

import hashlib
import time
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from services.console import security
from services.console.words import ago, counted, money, reason_of, span

HERE = Path(__file__).parent
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
CACHED = "public, max-age=31536000, immutable"


def now_ms() -> int:
    """Return the time of this machine in milliseconds since the epoch, for what a page says is so long ago."""
    return int(time.time() * 1000)


class Statics:
    """The style sheet, the script and the icon: read once, and named by their content so that they can be cached for good."""

    def __init__(self) -> None:
        self._files = {path.name: path.read_bytes() for path in sorted((HERE / "static").iterdir())}

    def url(self, name: str) -> str:
        """Return the address of a file, which changes with its content."""
        return f"/static/{name}?v={hashlib.sha256(self._files[name]).hexdigest()[:12]}"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Return a file."""
        name = request.match_info["name"]
        if name not in self._files:
            raise web.HTTPNotFound
        return web.Response(
            body=self._files[name],
            content_type=_TYPES[Path(name).suffix],
            charset="utf-8",
            headers={"Cache-Control": CACHED},
        )


class Renderer:
    """Renders templates."""

    def __init__(self, statics: Statics, trace_viewer: str = "", *, has_tls: bool = False) -> None:
        """Take the files of the pages. `has_tls`: people reach the pages by https, whatever stands between.

        `trace_viewer`: the address of a trace, with `{trace_id}` in it; empty where there is no viewer.
        """
        self._has_tls = has_tls
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "when": when,
            "clock": clock,
            "span": span,
            "money": money,
            "reason": reason_of,
            "counted": counted,
        }
        self._environment.filters["svg"] = Markup  # what services.console.plots has made, and escaped
        self._environment.globals["static"] = statics.url
        self._environment.globals["trace_url"] = lambda trace_id: trace_viewer.replace("{trace_id}", trace_id)

    def fragment(self, template: str, **values: Any) -> str:
        """Return a part of a page."""
        now = now_ms()
        return self._environment.get_template(template).render(now=now, moment=partial(when, now=now), **values)

    def page(self, request: web.Request, template: str, *, status: int = 200, **values: Any) -> web.Response:
        """Return a page. Its forms carry the person's token. `logged_in=False`: it is the page that logs the person out."""
        token = security.form_token(request)
        shared = {"csrf": token, "path": request.path, "logged_in": security.TOKEN_COOKIE in request.cookies}
        text = self.fragment(template, **(shared | values))
        response = web.Response(text=text, status=status, content_type="text/html", charset="utf-8")
        security.keep_token(request, response, token, secure=self._has_tls or request.secure)
        return response


def clock(at_ms: int) -> Markup:
    """Return a time of day as HTML, to the millisecond: in UTC, which the script shows in the reader's zone."""
    at = time.gmtime(at_ms / 1000)
    shown = f"{time.strftime('%H:%M:%S', at)}.{at_ms % 1000:03}"
    return Markup('<time datetime="{}" data-clock>{}</time>').format(_iso(at_ms), shown)


def _iso(at_ms: int) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at_ms / 1000))}.{at_ms % 1000:03}Z"


def when(at_ms: int, now: int | None = None) -> Markup:
    """Return a time as HTML: in UTC, which the script shows in the reader's zone, and how long ago it was."""
    if not at_ms:
        return Markup("–")
    at = time.gmtime(at_ms / 1000)
    shown = time.strftime("%d %b %Y, %H:%M:%S UTC", at)
    spoken = ago(at_ms, now_ms() if now is None else now)
    return Markup('<time datetime="{}">{}</time> <span class="ago" data-at="{}">{}</span>').format(
        _iso(at_ms), shown, at_ms, spoken
    )
