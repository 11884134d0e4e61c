"""The login at the issuer: the authorization code flow of OpenID Connect with PKCE (RFC 7636).

Nothing is kept on this side. What a login needs to be completed is in a cookie of the browser that began it, and the ID
token that it brings is in another; both are out of reach of scripts.
"""

import base64
import hashlib
import hmac
import secrets
import time
from urllib.parse import urlencode

import aiohttp
import msgspec
from aiohttp import web

from services.chassis.bounded import TooLong, read_bounded
from services.chassis.logs import Logger
from services.chassis.oidc.issuer import MAX_BYTES, Discovery, Issuer, IssuerUnavailable
from services.chassis.oidc.tokens import Unauthenticated
from services.console.config import Config
from services.console.rendering import Renderer
from services.console.security import TOKEN_COOKIE, check_form, has_tls
from services.console.staff import NoRole, Staff
from services.errors import Unavailable

LOGIN_COOKIE = "console_login"
LOGIN_SECONDS = 600
MAX_COOKIE = 3800
"""What a browser keeps of one cookie is 4 KiB, its name and attributes included."""
_SECONDS = aiohttp.ClientTimeout(total=3)
_OK = 200


class _Begun(msgspec.Struct):
    """A login that has begun."""

    state: str
    nonce: str
    verifier: str
    path: str


class _Tokens(msgspec.Struct):
    id_token: str = ""


class Login:
    """Sends people to the issuer, and takes what they bring back."""

    def __init__(self, config: Config, issuer: Issuer, staff: Staff, renderer: Renderer, log: Logger) -> None:
        self._config = config
        self._issuer = issuer
        self._staff = staff
        self._renderer = renderer
        self._log = log
        self._callback = f"{config.console_url.rstrip('/')}/login/callback"
        self._secure = has_tls(config.console_url)

    def routes(self) -> tuple[web.RouteDef, ...]:
        """Return the routes of a login."""
        return (
            web.get("/login", self.begin),
            web.get("/login/callback", self.complete),
            web.post("/logout", self.end),
        )

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """Send a person to the issuer."""
        endpoints = await self._endpoints()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        begun = _Begun(state, nonce, verifier, own_path(request.query.get("to", "/")))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(begun.verifier.encode()).digest()).decode().rstrip("=")
        asked = {
            "response_type": "code",
            "client_id": self._config.auth_client_id,
            "redirect_uri": self._callback,
            "scope": "openid",
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        joined = "&" if "?" in endpoints.authorization_endpoint else "?"
        response = web.HTTPSeeOther(f"{endpoints.authorization_endpoint}{joined}{urlencode(asked)}")
        value = base64.urlsafe_b64encode(msgspec.json.encode(begun)).decode()
        self._keep(response, LOGIN_COOKIE, value, LOGIN_SECONDS)
        raise response

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """Take the code that a person brings from the issuer, and let them in if their token has the role."""
        begun = _begun(request.cookies.get(LOGIN_COOKIE, ""))
        if begun is None or not hmac.compare_digest(begun.state.encode(), request.query.get("state", "").encode()):
            return self._refuse(request, "The login was not begun in this browser, or too long ago.")
        if not (code := request.query.get("code")):
            self._log.warning("a login was refused by the issuer", error=request.query.get("error", "")[:100])
            return self._refuse(request, "The issuer did not let you in.")
        token = await self._token(code, begun.verifier)
        try:
            valid = await self._staff.check(token)
        except Unauthenticated as error:
            return self._refuse(request, f"The issuer's answer does not count: {error}.")
        except NoRole as error:
            return self._refuse(request, f"You are logged in, but may not use the console: {error}.")
        if valid.claims.get("nonce") != begun.nonce:
            return self._refuse(request, "The issuer's answer is that of another login.")
        if len(token) > MAX_COOKIE:
            return self._refuse(
                request, f"The issuer's token is longer than {MAX_COOKIE} characters: have it hold less."
            )
        response = web.HTTPSeeOther(begun.path)
        self._keep(response, TOKEN_COOKIE, token, max(1, valid.until - int(time.time())))
        response.del_cookie(LOGIN_COOKIE, path="/login")
        raise response

    async def end(self, request: web.Request) -> web.StreamResponse:
        """Forget a person's token. They stay logged in at the issuer. Raises ForgedForm for a form that is not ours."""
        await check_form(request)
        why = "You are logged out of the console."
        response = self._renderer.page(request, "login.html", why=why, to="/", logged_in=False)
        response.del_cookie(TOKEN_COOKIE, path="/")
        return response

    def _keep(self, response: web.HTTPException, name: str, value: str, seconds: int) -> None:
        # Lax, since a person comes from the issuer's site; what changes anything needs the token of a form besides.
        path = "/" if name == TOKEN_COOKIE else "/login"
        response.set_cookie(name, value, max_age=seconds, httponly=True, secure=self._secure, samesite="Lax", path=path)

    def _refuse(self, request: web.Request, why: str) -> web.StreamResponse:
        return self._renderer.page(request, "login.html", status=403, why=why, to="/")

    async def _endpoints(self) -> Discovery:
        try:
            found = await self._issuer.discover()
        except IssuerUnavailable as error:
            self._log.warning("nobody can log in", error=str(error))
            raise Unavailable("the issuer does not answer") from error
        if not found.authorization_endpoint or not found.token_endpoint:
            self._log.warning("nobody can log in", error="the discovery document names no login")
            raise Unavailable("the issuer has no login")
        return found

    async def _token(self, code: str, verifier: str) -> str:
        """Return the ID token that a code stands for; empty where the issuer gives none."""
        endpoints = await self._endpoints()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._callback,
            "client_id": self._config.auth_client_id,
            "code_verifier": verifier,
        }
        if self._config.auth_client_secret:
            form["client_secret"] = self._config.auth_client_secret
        try:
            async with (
                aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=_SECONDS) as session,
                session.post(endpoints.token_endpoint, data=form, allow_redirects=False) as response,
            ):
                if response.status != _OK:
                    self._log.warning("a code was refused by the issuer", status=response.status)
                    return ""
                return msgspec.json.decode(await read_bounded(response, MAX_BYTES), type=_Tokens).id_token
        except TooLong as error:
            self._log.warning("the issuer's answer to a code is not used", error=str(error))
            return ""
        except (TimeoutError, aiohttp.ClientError) as error:
            raise Unavailable("the issuer does not answer") from error
        except msgspec.DecodeError:
            return ""


def own_path(text: str) -> str:
    """Return a path of the console to go to after a login; another site's address becomes the front page."""
    return text if text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable() else "/"


def _begun(cookie: str) -> _Begun | None:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cookie), type=_Begun)
    except (ValueError, msgspec.DecodeError):
        return None
