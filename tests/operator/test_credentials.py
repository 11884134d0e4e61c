"""Who the operator is to the API server stays right while tokens are replaced and expire."""

import json
import stat
import sys
from datetime import UTC, datetime, timedelta

import pytest
import structlog
import uvloop
from aiohttp import ClientConnectionError, web
from kubernetes.aio.config import incluster_config, kube_config

from checkout_operator import credentials as module
from checkout_operator.clock import ServerClock
from checkout_operator.credentials import Credentials, NoCluster
from checkout_operator.permissions import Permissions
from checkout_operator.telemetry import Metrics


class Server:
    """An API server that takes one token, and says what it was asked with."""

    def __init__(self):
        self.taken, self.seen, self.url = "one", [], ""

    async def answer(self, request):
        """Take the token, or answer 401."""
        self.seen.append(request.headers.get("Authorization"))
        return web.json_response(
            {}, status=200 if self.seen[-1] in {f"Bearer {self.taken}", f"bearer {self.taken}"} else 401
        )


@pytest.fixture
async def server():
    """An API server."""
    made = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
def clock(monkeypatch):
    """Let a test move the monotonic clock: credentials are not loaded again within seconds."""
    passed = [0.0]

    class Time:
        monotonic = staticmethod(lambda: 1000 + passed[0])

    monkeypatch.setattr(module, "time", Time)
    return lambda seconds: passed.append(passed.pop() + seconds)


class Plugin:
    """A kubeconfig whose user is a plugin. It counts its runs."""

    def __init__(self, folder, monkeypatch):
        self._answer, self._runs, self.kubeconfig = folder / "answer", folder / "runs", folder / "kubeconfig"
        script = folder / "plugin"
        script.write_text(
            f"#!{sys.executable}\nopen({str(self._runs)!r}, 'a').write('x')\nprint(open({str(self._answer)!r}).read())\n"
        )
        script.chmod(stat.S_IRWXU)
        user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(script)}}
        self._write(user)
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(self.kubeconfig))

    def _write(self, user, server="http://127.0.0.1:1"):
        self._user = user
        config = {
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        self.kubeconfig.write_text(json.dumps(config))

    def at(self, server):
        """Name the API server."""
        self._write(self._user, server)

    def give(self, token, lasts=None):
        """Have it give a token, which expires after so many seconds or does not say when."""
        status = {"token": token}
        if lasts is not None:
            status["expirationTimestamp"] = (datetime.now(UTC) + timedelta(seconds=lasts)).strftime(
                "%Y-%m-%dT%H:%M:%SZ"
            )
        answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
        self._answer.write_text(json.dumps(answer))

    def fail(self):
        """Have it give nothing."""
        self._answer.write_text("no")

    @property
    def runs(self):
        """How often it ran."""
        return len(self._runs.read_text()) if self._runs.exists() else 0


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A kubeconfig with a plugin."""
    return Plugin(tmp_path, monkeypatch)


async def test_a_plugin_is_run_again_when_its_token_expires(plugin, clock):
    """A token is used until it expires, and the plugin is then run once for all who ask."""
    plugin.give("one", lasts=3600)
    credentials = await Credentials.load()
    clock(10)
    assert [await credentials.authorization() for _ in range(3)] == ["Bearer one"] * 3
    assert plugin.runs == 1
    plugin.give("gone", lasts=-1)
    credentials = await Credentials.load()
    plugin.give("two", lasts=3600)
    clock(10)
    assert [await credentials.authorization() for _ in range(3)] == ["Bearer two"] * 3
    assert plugin.runs == 3


def test_a_plugin_is_run_by_the_operators_event_loop(plugin):
    """The operator's own event loop, which is not Python's, runs a plugin as well."""

    async def authorization():
        return await (await Credentials.load()).authorization()

    plugin.give("one", lasts=3600)
    assert uvloop.run(authorization()) == "Bearer one"


async def test_a_plugin_that_gives_expired_tokens(plugin, clock):
    """A plugin whose tokens have always expired, by a clock that is wrong, is not run for each call."""
    plugin.give("old", lasts=-3600)
    credentials = await Credentials.load()
    for _ in range(5):
        assert await credentials.authorization() == "Bearer old"
    assert plugin.runs == 1
    clock(module.RELOAD_SECONDS)
    await credentials.authorization()
    assert plugin.runs == 2


async def test_a_plugin_that_fails(plugin, clock):
    """Without a token nobody becomes an anonymous user: it is said at the start, and later the call may be repeated."""
    plugin.at("https://127.0.0.1:1")
    plugin.fail()
    with pytest.raises(NoCluster, match="plugin"):
        await Credentials.load()
    plugin.give("old", lasts=-1)
    credentials = await Credentials.load()
    plugin.fail()
    clock(10)
    with pytest.raises(module.config.ConfigException, match="plugin"):
        await credentials.authorization()
    plugin.give("new", lasts=60)
    clock(10)
    assert await credentials.authorization() == "Bearer new"


@pytest.fixture
async def session(clock, server, plugin):
    """Kopf's session, with the plugin's token."""
    plugin.at(server.url)
    plugin.give("one")
    session = (await Credentials.load()).session(Permissions(Metrics(), structlog.get_logger()), ServerClock(Metrics()))
    yield session
    await session.close()


async def test_a_token_that_is_refused_is_replaced(server, plugin, session, clock):
    """A token that the API server no longer takes is replaced, and the request sent again with the next one."""
    clock(10)
    server.taken = "two"
    plugin.give("two")
    async with session.get(server.url) as response:
        assert response.status == 200
    assert server.seen == ["Bearer one", "Bearer two"]
    server.taken = "nobody's"
    async with session.get(server.url) as response:  # not twice within seconds
        assert response.status == 401
    assert plugin.runs == 2


async def test_a_plugin_that_fails_is_like_a_broken_connection(server, plugin, session, clock):
    """The watch goes on trying where there are no credentials for a while."""
    clock(10)
    server.taken = "two"
    plugin.kubeconfig.write_text("{")
    with pytest.raises(ClientConnectionError, match="credentials"):
        await session.get(server.url)


@pytest.fixture
def pod(tmp_path, monkeypatch):
    """Give the file of a pod's token."""
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("one\n")
    authority.write_text("x")
    monkeypatch.setattr(
        kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none")
    )  # whoever runs the test may have one
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
    monkeypatch.setattr(
        incluster_config.InClusterConfigLoader.__init__,
        "__defaults__",
        (True, {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}),
    )
    return token


async def test_a_pods_token_that_is_replaced(pod, clock):
    """A pod's token is read again once a minute, also where nobody refuses it; an empty file means another try, and no more."""
    credentials = await Credentials.load()
    pod.write_text("two")
    assert await credentials.authorization() == "bearer one"
    clock(module.REREAD_SECONDS)
    assert await credentials.authorization() == "bearer two"
    pod.write_text("")
    clock(module.REREAD_SECONDS)
    with pytest.raises(module.config.ConfigException):
        await credentials.authorization()
    pod.write_text("three")
    clock(module.REREAD_SECONDS)
    assert await credentials.authorization() == "bearer three"


@pytest.mark.parametrize(
    ("host", "proxy"),
    [("https://10.0.0.1:6443", "http://proxy:3128"), ("https://127.0.0.1:6443", None), ("http://10.0.0.1", None)],
)
def test_a_proxy(monkeypatch, host, proxy):
    """A proxy that the environment names is used for the servers that it is for."""
    for name in ("HTTP_PROXY", "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert module._proxy(host) == proxy
