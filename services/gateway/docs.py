"""Serves the contract: openapi.yaml as JSON at /openapi.json, and as a page at /docs."""

import functools
import html
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from services.chassis.web import json_response

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: #1c2833; }
h2 { margin-top: 2.5rem; font-size: 1.1rem; } code { background: #f2f4f4; padding: .1rem .3rem; border-radius: 3px; }
.verb { font-weight: 700; color: #1f618d; } table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .25rem .75rem .25rem 0; vertical-align: top; border-bottom: 1px solid #e5e8e8; }
"""


@functools.cache
def openapi() -> dict[str, Any]:
    """Return the contract."""
    read: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "openapi.yaml").read_text())
    return read


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


async def page(_: web.Request) -> web.StreamResponse:
    """Return the contract as a page."""
    return web.Response(text=render(openapi()), content_type="text/html")


def render(contract: dict[str, Any]) -> str:
    """Return the page. Each route has a section with its parameters and answers."""
    sections = [
        _section(verb, path, operation)
        for path, item in contract["paths"].items()
        for verb, operation in item.items()
        if verb in {"get", "post", "put", "delete"}
    ]
    info = contract["info"]
    title = html.escape(info["title"])
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    return f"{head}<h1>{title}</h1><p>{html.escape(info['description'])}</p>{''.join(sections)}</html>"


def _section(verb: str, path: str, operation: dict[str, Any]) -> str:
    rows = [
        f"<tr><td><code>{html.escape(one['name'])}</code></td><td>{html.escape(one['in'])}</td>"
        f"<td>{html.escape(one.get('description', ''))}</td></tr>"
        for one in operation.get("parameters", [])
        if "name" in one
    ]
    rows += [
        f"<tr><td><code>{html.escape(str(code))}</code></td><td>answer</td>"
        f"<td>{html.escape(answer.get('description', ''))}</td></tr>"
        for code, answer in operation["responses"].items()
        if "description" in answer
    ]
    heading = f'<h2><span class="verb">{verb.upper()}</span> <code>{html.escape(path)}</code></h2>'
    return f"{heading}<p>{html.escape(operation['summary'])}</p><table>{''.join(rows)}</table>"
