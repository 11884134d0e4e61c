"""How kopf lists what is there before it watches: in pages, and from the beginning where the next page is no longer to be had."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import aiohttp
import kopf
import pytest
import structlog
from aiohttp import web

from checkout_operator import handlers
from checkout_operator.cache import ResourceCache
from checkout_operator.claims import Claims
from checkout_operator.cluster import GROUP, PAGE, VERSION
from checkout_operator.config import Config
from checkout_operator.selectors import LabelSelector
from checkout_operator.watch_filter import WatchFilter
from checkout_operator.workqueue import WorkQueue
from tests.operator.watch import until

COUNT = 2 * PAGE + 1
VERBS = {"verbs": ["list", "watch", "patch"]}
CHECKOUTS = {"name": "checkouts", "singularName": "checkout", "kind": "Checkout", "namespaced": True} | VERBS
NAMESPACES = {"name": "namespaces", "singularName": "namespace", "kind": "Namespace", "namespaced": False} | VERBS


class ApiServer:
    """Stands in for an API server with many Checkouts. `expired` is how often it answers that a page is gone."""

    def __init__(self):
        self.limits, self.watched_from, self.expired = [], [], 0

    async def groups(self, _):
        """Name the one group."""
        version = {"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION}
        groups = [{"name": GROUP, "versions": [version], "preferredVersion": version}]
        return web.json_response({"versions": ["v1"], "groups": groups})

    async def resources(self, _):
        """Name the resources."""
        return web.json_response({"resources": [CHECKOUTS, NAMESPACES]})

    async def checkouts(self, http):
        """List a page, or watch in silence."""
        if http.query.get("watch"):
            self.watched_from.append(http.query["resourceVersion"])
            response = web.StreamResponse()
            await response.prepare(http)
            await asyncio.sleep(60)
            return response
        self.limits.append(http.query.get("limit"))
        first = int(http.query.get("continue", 0))
        if first and self.expired:
            self.expired -= 1
            return web.json_response({"kind": "Status", "code": 410, "reason": "Expired"}, status=410)
        last = min(COUNT, first + int(http.query.get("limit") or COUNT))
        left = {"continue": str(last)} if last < COUNT else {}
        items = [_checkout(number) for number in range(first, last)]
        return web.json_response({"metadata": {"resourceVersion": "7"} | left, "items": items})


def _checkout(number):
    metadata = {"name": f"r{number}", "namespace": "default", "uid": f"u{number}", "generation": 1}
    metadata |= {"resourceVersion": "5", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": metadata, "spec": {"userId": 7}}


@asynccontextmanager
async def watched(server):
    """Have kopf watch, and give its task and what it has reported. At its end kopf cancels each task that has begun meanwhile."""
    stopping, cache = asyncio.Event(), ResourceCache()
    app = web.Application()
    app.add_routes(
        [
            web.get("/api/v1", server.resources),
            web.get("/api", server.groups),
            web.get("/apis", server.groups),
            web.get(f"/apis/{GROUP}/{VERSION}", server.resources),
            web.get(f"/apis/{GROUP}/{VERSION}/namespaces/default/checkouts", server.checkouts),
        ]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    credentials = SimpleNamespace(
        settings=SimpleNamespace(host=f"http://127.0.0.1:{runner.addresses[0][1]}"),
        session=lambda _, __, *middlewares: aiohttp.ClientSession(middlewares=middlewares),
    )
    scope, log, news = Config().scope(), structlog.get_logger(), WatchFilter(cache)
    login = handlers.Login(credentials, None, None, news.middleware())
    claims = Claims(None, scope, None, log)
    registry = handlers.register(cache, WorkQueue(), login, news, scope=scope, claims=claims, log=log)
    settings = handlers.settings(LabelSelector())
    watching = asyncio.create_task(
        kopf.operator(registry=registry, settings=settings, namespaces=["default"], standalone=True, stop_flag=stopping)
    )
    try:
        yield watching, cache
    finally:
        stopping.set()
        await asyncio.gather(watching, return_exceptions=True)
        await runner.cleanup()


@pytest.mark.parametrize("expired", [0, 2])
async def test_a_list_comes_in_pages(expired):
    """However many Checkouts there are, a page of them is read at a time; one that is gone by then has the list begin anew."""
    server = ApiServer()
    server.expired = expired
    async with watched(server) as (watching, cache):
        await until(lambda: server.watched_from or watching.done(), 60)
        assert not watching.done()
        await until(lambda: len(cache.all()) == COUNT)
    assert server.limits == [str(PAGE)] * (2 * expired + 3)
    assert server.watched_from == ["7"]
