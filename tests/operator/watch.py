"""The operator's watch and its client, in the process of a test."""

import asyncio
import socket
import time
from contextlib import asynccontextmanager
from functools import partial
from unittest.mock import patch

import kopf
import structlog
from aiohttp import TCPConnector

from checkout_operator import credentials as credentials_module
from checkout_operator import handlers
from checkout_operator.cache import ResourceCache
from checkout_operator.claims import Claims
from checkout_operator.clock import ServerClock
from checkout_operator.cluster import Cluster
from checkout_operator.config import Config
from checkout_operator.credentials import Credentials
from checkout_operator.permissions import Permissions
from checkout_operator.selectors import LabelSelector
from checkout_operator.telemetry import Metrics
from checkout_operator.watch_filter import WatchFilter
from checkout_operator.watchdog import Watchdog
from checkout_operator.workqueue import WorkQueue

ROLE = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles/cartwright-operator"


async def until(check, seconds=30):
    """Wait until `check` gives something true, and give it."""
    ends_at = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < ends_at, f"not within {seconds} s"
        await asyncio.sleep(0.05)
    return found


class Watching:
    """The operator's watch and its client, in this process."""

    def __init__(self, credentials):
        self.cache, self.log = ResourceCache(), structlog.get_logger()
        self.permissions = Permissions(Metrics(), self.log)
        clock = ServerClock(Metrics())
        self.cluster, scope = Cluster(credentials, self.permissions, clock), Config().scope()
        # Without the cluster: the registry of kopf would keep its connections after the test.
        claims = Claims(None, scope, None, self.log)
        self.dog = Watchdog(self.cache, self.cluster, scope, claims, self.log)
        news = WatchFilter(self.cache)
        login = handlers.Login(credentials, self.permissions, clock, news.middleware())
        self.registry = handlers.register(
            self.cache, WorkQueue(), login, news, scope=scope, claims=claims, log=self.log
        )


@asynccontextmanager
async def watching(**settings):
    """Watch, with settings of a test's own, by the credentials that the environment gives.

    At its end kopf cancels what it is doing. A connection whose handshake is just over then takes a round trip more to end: the
    loop of the test must not end before it, or the socket stays open, and a later test is blamed for it.
    """
    sockets = []

    def opened(address):
        sockets.append(socket.socket(*address[:3]))
        return sockets[-1]

    connector = partial(TCPConnector, socket_factory=opened)
    watch, chosen, stopping = Watching(await Credentials.load()), handlers.settings(LabelSelector()), asyncio.Event()
    for name, value in settings.items():
        setattr(chosen.watching, name, value)
    with patch.object(credentials_module, "TCPConnector", connector):
        running = asyncio.create_task(
            kopf.operator(
                registry=watch.registry, settings=chosen, namespaces=["default"], standalone=True, stop_flag=stopping
            )
        )
        try:
            yield watch
            assert not running.done()
        finally:
            stopping.set()
            await running
            await watch.cluster.close()
            await until(lambda: all(one.fileno() == -1 for one in sockets))
    assert sockets
