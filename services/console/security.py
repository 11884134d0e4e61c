"""What protects the person at the console: the headers of every page, and proof that a form is one of ours."""

import hmac
import secrets
from urllib.parse import urlsplit

from aiohttp import web

COOKIE = "console_csrf"
TOKEN_COOKIE = "console_token"  # noqa: S105 - its name
"""Holds the token of a person who has logged in here."""
FIELD = "csrf"
_HEADERS = {
    # Nothing is loaded from elsewhere, and nothing that stands in a page itself is run.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self';"
        " base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class ForgedForm(web.HTTPForbidden):
    """A form does not come from a page that this person has open."""


async def protect(_: web.Request, response: web.StreamResponse) -> None:
    """Add the headers to a response before it is sent."""
    response.headers.update(_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")


def form_token(request: web.Request) -> str:
    """Return the token for the forms of a page: that of the person's cookie, or a new one."""
    return request.cookies.get(COOKIE) or secrets.token_urlsafe(32)


def has_tls(console_url: str) -> bool:
    """Whether people reach the console by https, as CONSOLE_URL says: a proxy may take the TLS off on the way."""
    return urlsplit(console_url).scheme == "https"


def keep_token(request: web.Request, response: web.StreamResponse, token: str, *, secure: bool) -> None:
    """Give the person the cookie that makes forms with this token valid; `secure`: their browser sends it by https alone."""
    if request.cookies.get(COOKIE) != token:
        response.set_cookie(COOKIE, token, httponly=True, samesite="Strict", secure=secure, path="/")


async def check_form(request: web.Request) -> None:
    """Raise ForgedForm unless the form was sent from a page of ours, with the token of the person's cookie.

    Another site can neither read the token nor set its cookie, and a browser says where a form was sent from.
    """
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        raise ForgedForm(reason="the form was sent from another site")
    sent = (await request.post()).get(FIELD)
    known = request.cookies.get(COOKIE, "")
    if not known or not isinstance(sent, str) or not hmac.compare_digest(sent.encode(), known.encode()):
        raise ForgedForm(reason="the form is out of date: open the page again")
