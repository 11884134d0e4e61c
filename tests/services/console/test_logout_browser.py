"""The log-out button, in a real browser, behind a real login by OpenID Connect."""

import asyncio
import threading
from contextlib import asynccontextmanager

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from playwright.sync_api import expect

from services.chassis.telemetry import Metrics
from services.console.access import access
from services.console.board import Board
from services.console.config import Config
from services.console.edge import Edge
from services.console.live import Changes
from services.console.main import application
from services.console.pages import Pages
from services.console.rendering import Renderer, Statics
from services.console.security import TOKEN_COOKIE, has_tls
from tests.browser import browser, violations
from tests.issuer import AUDIENCE
from tests.services.console.conftest import FakeServices, NoPages

ROLE = "cartwright-console"
ASKS = "Who are you?"


class LoginPages:
    """The pages of an issuer: it knows whoever comes, until `asks` is set; then it shows a form instead."""

    def __init__(self, issuer):
        self.issuer, self.asks, self.nonce = issuer, False, ""

    async def authorize(self, request):
        self.nonce = request.query["nonce"]
        if self.asks:
            return web.Response(text=f"<title>Login</title>{ASKS}", content_type="text/html")
        raise web.HTTPSeeOther(f"{request.query['redirect_uri']}?code=c&state={request.query['state']}")

    async def token(self, _):
        return web.json_response({"id_token": self.issuer.token(roles=[ROLE], nonce=self.nonce)})


@asynccontextmanager
async def serving(issuer, pages_of_issuer, port):
    """Serve a console whose login is at the issuer's pages."""
    login = web.Application()
    login.add_routes([web.get("/authorize", pages_of_issuer.authorize), web.post("/token", pages_of_issuer.token)])
    async with TestServer(login, host="127.0.0.1") as pages:
        issuer.document = {
            "authorization_endpoint": str(pages.make_url("/authorize")),
            "token_endpoint": str(pages.make_url("/token")),
        }
        env = {"AUTH_MODE": "jwt", "APP_ENV": "dev", "AUTH_AUDIENCE": AUDIENCE, "AUTH_CLIENT_ID": "console"}
        config = Config.from_env(env | {"AUTH_ISSUER": issuer.url, "CONSOLE_URL": f"http://127.0.0.1:{port}"})
        log, metrics, statics, services = structlog.get_logger(), Metrics(), Statics(), FakeServices()
        renderer = Renderer(statics, has_tls=has_tls(config.console_url))
        async with access(config, renderer, log, metrics) as doors:
            changes = Changes(services.changes, log)
            shown = Pages(services, Board(services, NoPages()), renderer, changes, asyncio.Event())
            app = application(Edge(renderer, doors.admit, log, metrics), shown, statics, doors)
            async with TestServer(app, host="127.0.0.1", port=port):
                yield


@pytest.fixture
def console(issuer):
    """Serve the console on a thread of its own, since the browser's library needs this one. Give its URL and the issuer's pages."""
    issuer.token()  # to make its keys may take longer than the console waits for them
    pages_of_issuer, port = LoginPages(issuer), unused_port()
    loop, ready, stopping = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve():
        async with serving(issuer, pages_of_issuer, port):
            ready.set()
            await stopping.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(30)
    yield f"http://127.0.0.1:{port}", pages_of_issuer
    loop.call_soon_threadsafe(stopping.set)
    thread.join(30)
    loop.close()


def test_the_button_logs_a_person_out(console):
    """Who is logged in sees the button, on wide and narrow screens, and after a click is asked by the issuer again."""
    url, pages_of_issuer = console
    with browser() as chrome:
        context = chrome.new_context(base_url=url, color_scheme="dark", viewport={"width": 390, "height": 844})
        page = context.new_page()
        page.goto("/checkouts")
        button = page.get_by_role("button", name="Log out")
        expect(button).to_be_visible()
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.set_viewport_size({"width": 1280, "height": 900})
        page.emulate_media(color_scheme="light")
        assert violations(page) == []
        button.click()
        expect(page.get_by_text("You are logged out of the console.")).to_be_visible()
        expect(button).to_be_hidden()
        assert violations(page) == []
        assert TOKEN_COOKIE not in {one["name"] for one in context.cookies()}
        pages_of_issuer.asks = True
        page.goto("/checkouts")
        expect(page.get_by_text(ASKS)).to_be_visible()
