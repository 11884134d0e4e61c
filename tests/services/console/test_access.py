"""Who may use the console: nobody without a token that has the role, and the login that brings one."""

import asyncio
import json
import time
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from services.chassis.env import BadSettings
from services.chassis.oidc.tokens import LEEWAY
from services.chassis.telemetry import Metrics
from services.console.access import access, is_loopback
from services.console.board import Board
from services.console.config import Config
from services.console.edge import Edge
from services.console.live import Changes
from services.console.login import own_path
from services.console.main import application
from services.console.pages import Pages
from services.console.rendering import Renderer, Statics
from services.console.security import COOKIE, TOKEN_COOKIE, has_tls
from services.console.staff import roles
from tests.issuer import AUDIENCE
from tests.services.console import made
from tests.services.console.conftest import FakeServices, NoPages

ROLE = "cartwright-console"
JWT = {"AUTH_MODE": "jwt", "APP_ENV": "dev", "AUTH_AUDIENCE": AUDIENCE}
PAGES = ("/", "/checkouts", "/find?q=x", f"/checkouts/{made.ID}", f"/checkouts/{made.ID}/events", "/events", "/nowhere")


@asynccontextmanager
async def console(env):
    """Serve the console with these settings, and give a browser."""
    log, metrics, stopping, services = structlog.get_logger(), Metrics(), asyncio.Event(), FakeServices()
    statics = Statics()
    config = Config.from_env(env)
    renderer = Renderer(statics, has_tls=has_tls(config.console_url))
    changes = Changes(services.changes, log)
    async with access(config, renderer, log, metrics) as doors:
        pages = Pages(services, Board(services, NoPages()), renderer, changes, stopping)
        app = application(Edge(renderer, doors.admit, log, metrics), pages, statics, doors)
        async with TestClient(TestServer(app, host="127.0.0.1")) as client:
            client.services = services
            yield client
            stopping.set()


async def status(client, path, token=None, **more):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with client.get(path, headers=headers, allow_redirects=False, **more) as response:
        return response.status


@pytest.mark.parametrize(
    ("env", "why"),
    [
        ({}, "AUTH_ISSUER: is not set"),
        ({"AUTH_MODE": "mock"}, "APP_ENV=dev and a LISTEN_HOST"),
        ({"AUTH_MODE": "mock", "APP_ENV": "dev"}, "LISTEN_HOST=0.0.0.0"),
        ({"AUTH_MODE": "mock", "APP_ENV": "production", "LISTEN_HOST": "127.0.0.1"}, "APP_ENV=production"),
        ({"AUTH_MODE": "none", "APP_ENV": "dev"}, "must be mock or jwt"),
        ({"AUTH_ISSUER": "https://x", "AUTH_AUDIENCE": "a", "AUTH_CLIENT_ID": "c"}, "CONSOLE_URL: must be a URL"),
        (
            {"AUTH_ISSUER": "https://x", "AUTH_AUDIENCE": "a", "AUTH_CLIENT_ID": "c", "CONSOLE_URL": "http://x"},
            "CONSOLE_URL: must be https",
        ),
    ],
)
async def test_what_would_let_anybody_in_does_not_start(env, why):
    """In production the console starts with an issuer alone; without one it needs dev and an address of this machine."""
    with pytest.raises(BadSettings, match=why):
        async with console(env):
            pass


def test_only_loopback_is_this_machine():
    """No address that another machine may reach counts as this machine's own."""
    assert [is_loopback(host) for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "example.com", "")] == [False] * 5


async def test_without_a_token_nothing_is_shown(issuer):
    """Every page, stream and form is 401 without a token, and says why; only health, readiness and files are open."""
    async with console(JWT | {"AUTH_ISSUER": issuer.url}) as client:
        for path in PAGES:
            async with client.get(path) as response:
                text = await response.text()
                assert (response.status, "asks who you are" in text, made.ID in text) == (401, True, False), path
        async with client.post(f"/checkouts/{made.ID}/cancel", data={"csrf": "x"}) as response:
            assert response.status == 401
        assert client.services.cancelled == []
        assert await status(client, "/static/console.css") == 200


async def test_a_token_with_the_role_opens_the_console(issuer):
    """A token of the issuer that has the role is enough; without the role it is 403, and one that does not count is 401."""
    async with console(JWT | {"AUTH_ISSUER": issuer.url}) as client:
        assert await status(client, "/checkouts", issuer.token(roles=["other", ROLE])) == 200
        assert await status(client, "/checkouts", issuer.token(roles=ROLE)) == 200
        for without in ({}, {"roles": []}, {"roles": ["other"]}, {"roles": {"a": ROLE}}, {"roles": f"x {ROLE}"}):
            assert await status(client, "/checkouts", issuer.token(**without)) == 403
        for bad in ({"exp": 1}, {"aud": "other"}, {"iss": "https://other"}):
            assert await status(client, "/checkouts", issuer.token(roles=[ROLE], **bad)) == 401
        assert await status(client, "/checkouts", "x.y.z") == 401


async def test_the_claim_and_the_role_are_settings(issuer):
    """The claim may lie within another, as Keycloak has it, and the role have another name."""
    env = JWT | {
        "AUTH_ISSUER": issuer.url,
        "AUTH_ADMIN_CLAIM": "realm_access.roles",
        "AUTH_ADMIN_ROLE": "shopkeeper",
    }
    async with console(env) as client:
        assert await status(client, "/checkouts", issuer.token(realm_access={"roles": ["shopkeeper"]})) == 200
        assert await status(client, "/checkouts", issuer.token(realm_access={"roles": [ROLE]})) == 403


def test_roles_are_read_from_what_holds_them():
    """A claim is one role or a list of them; what is neither holds none, and a name with dots may be a claim's own."""
    assert roles({"a": {"b": ["x", 1, None]}}, "a.b") == {"x"}
    assert roles({"https://shop.example/roles": ["x"]}, "https://shop.example/roles") == {"x"}
    assert roles({"a": "x"}, "a.b") == frozenset()
    assert roles({"a": 7}, "a") == frozenset()


async def test_an_issuer_that_is_away_is_said_to_be(issuer):
    """While nobody can check tokens the console is 503 for everybody; it shows nothing meanwhile."""
    token = issuer.token(roles=[ROLE])
    issuer.stop()
    async with console(JWT | {"AUTH_ISSUER": issuer.url}) as client:
        assert await status(client, "/checkouts", token) == 503


class TokenEndpoint:
    """Gives the ID token that a code stands for, once; `asked` are the forms that came."""

    def __init__(self):
        self.asked, self.tokens = [], {}

    async def give(self, request):
        form = await request.post()
        self.asked.append(dict(form))
        token = self.tokens.pop(form["code"], None)
        response = web.StreamResponse(status=200 if token else 400)
        await response.prepare(request)
        body = json.dumps({"id_token": token} if token else {"error": "invalid_grant"}).encode()
        for piece in (body[:20], body[20:]):  # a long answer does not come at once
            await response.write(piece)
            for _ in range(50):
                await asyncio.sleep(0)
        return response


@pytest.fixture
async def endpoint(issuer):
    """The issuer's token endpoint."""
    made = TokenEndpoint()
    app = web.Application()
    app.add_routes([web.post("/token", made.give)])
    async with TestServer(app, host="127.0.0.1") as server:
        issuer.document = {
            "authorization_endpoint": f"{issuer.url}/authorize",
            "token_endpoint": str(server.make_url("/token")),
        }
        yield made


@pytest.fixture
async def login(issuer, endpoint):
    """A console with a login."""
    env = {"AUTH_ISSUER": issuer.url, "AUTH_CLIENT_ID": "console", "CONSOLE_URL": "http://127.0.0.1:8090"}
    async with console(JWT | env | {"AUTH_CLIENT_SECRET": "s3cret"}) as client:
        yield client


async def begin(client, to="/checkouts?user=7"):
    """Begin a login, and give what the issuer is asked for."""
    async with client.get(f"/login?to={to}", allow_redirects=False) as response:
        assert response.status == 303
        return {name: value[0] for name, value in parse_qs(urlsplit(response.headers["Location"]).query).items()}


async def complete(client, **query):
    """Come back from the issuer, and give the answer."""
    async with client.get("/login/callback", params=query, allow_redirects=False) as response:
        return response.status, response.headers.get("Location", ""), await response.text()


async def test_a_person_logs_in_and_sees_the_page(login, issuer, endpoint):
    """A page leads to the issuer; the code that comes back is exchanged with its proof, and the person is let in."""
    async with login.get("/checkouts?user=7&phase=Failed", allow_redirects=False) as response:
        assert response.status == 303
        assert response.headers["Location"] == "/login?to=/checkouts?user%3D7%26phase%3DFailed"
    asked = await begin(login)
    endpoint.tokens = {
        "other-nonce": issuer.token(roles=[ROLE], nonce="another"),
        "no-nonce": issuer.token(roles=[ROLE]),
        "no-role": issuer.token(nonce=asked["nonce"]),
        "expired": issuer.token(roles=[ROLE], nonce=asked["nonce"], exp=1),
        "huge": issuer.token(roles=[ROLE, "x" * 4000], nonce=asked["nonce"]),
    }
    for code in (*endpoint.tokens, "unknown"):
        assert (await complete(login, code=code, state=asked["state"]))[0] == 403, code
    for query in ({"code": "c"}, {"code": "c", "state": "x"}, {"state": asked["state"], "error": "access_denied"}, {}):
        assert (await complete(login, **query))[0] == 403, query
    login.session.cookie_jar.clear()
    assert (await complete(login, code="c", state=asked["state"]))[0] == 403
    assert await status(login, "/checkouts") == 303


async def test_a_login_leads_to_no_other_site(login, issuer, endpoint):
    """Where a login leads is a path of the console, whatever the link that began it says."""
    for to in ("//evil.example", "https://evil.example", "/\\evil.example", "checkouts", "/\nx"):
        assert own_path(to) == "/"
    asked = await begin(login, "https://evil.example/")
    endpoint.tokens["c"] = issuer.token(roles=[ROLE], nonce=asked["nonce"])
    assert (await complete(login, code="c", state=asked["state"]))[:2] == (303, "/")


async def test_an_issuer_without_a_login_is_said_to_have_none(login, issuer):
    """Where the issuer's document names no login, the page says so instead of failing."""
    issuer.document = {}
    async with login.get("/login", allow_redirects=False) as response:
        assert (response.status, "issuer has no login" in await response.text()) == (503, True)
    issuer.document = json.loads('{"authorization_endpoint": "ftp://x", "token_endpoint": "x"}')
    assert await status(login, "/login") == 503


async def test_a_login_ends_by_a_form_of_ours_alone(login, issuer, endpoint):
    """Whoever is logged in finds a button that logs them out; a form of another site, or one without the token, does not."""
    asked = await begin(login)
    endpoint.tokens["c"] = issuer.token(roles=[ROLE], nonce=asked["nonce"])
    await complete(login, code="c", state=asked["state"])
    async with login.get("/checkouts") as response:
        assert 'action="/logout"' in await response.text()
    cookies = {one.key: one.value for one in login.session.cookie_jar}
    for form, site in (({}, "same-origin"), ({"csrf": "x"}, "same-origin"), ({"csrf": cookies[COOKIE]}, "cross-site")):
        async with login.post("/logout", data=form, headers={"Sec-Fetch-Site": site}) as response:
            assert (response.status, TOKEN_COOKIE in response.headers.get("Set-Cookie", "")) == (403, False)
    async with login.post("/logout", data={"csrf": cookies[COOKIE]}) as response:
        assert (response.status, 'action="/logout"' in await response.text()) == (200, False)
    assert await status(login, "/checkouts") == 303


@pytest.mark.parametrize(("url", "secure"), [("https://console.shop.example", True), ("http://127.0.0.1:8090", False)])
async def test_cookies_are_kept_to_https_where_people_use_it(issuer, url, secure):
    """Where people reach the console by https, no cookie travels without it, though a proxy has taken the TLS off on the way."""
    env = {"AUTH_ISSUER": issuer.url, "AUTH_CLIENT_ID": "console", "CONSOLE_URL": url}
    async with (
        console(JWT | env) as client,
        client.get("/checkouts", headers={"Authorization": "Bearer x"}) as response,
    ):
        assert response.cookies[COOKIE]["secure"] == (True if secure else "")


async def test_a_stream_ends_with_its_session(issuer):
    """An open page gets no more news once its token has ended, and the script that asks again is told so."""
    token = issuer.token(roles=[ROLE], exp=int(time.time()) - LEEWAY + 2)
    async with console(JWT | {"AUTH_ISSUER": issuer.url}) as client:
        bearer = {"Authorization": f"Bearer {token}"}
        async with asyncio.timeout(15), client.get("/events", headers=bearer) as response:
            assert response.status == 200
            assert b"event: update" in await response.content.read()  # it comes to an end
        assert await status(client, "/events", token) == 401
