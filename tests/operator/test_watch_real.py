"""The watch and the operator's own calls against the real API server, whatever happens to rights, tokens and connections."""

import asyncio
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import kopf
import pytest
import requests
import structlog
from kubernetes.aio.config import incluster_config, kube_config

from checkout_operator import events, handlers
from checkout_operator.cache import ResourceCache
from checkout_operator.claims import Claims
from checkout_operator.clock import ServerClock
from checkout_operator.cluster import Cluster, ClusterUnavailable
from checkout_operator.config import Config
from checkout_operator.credentials import Credentials
from checkout_operator.permissions import Permissions
from checkout_operator.selectors import LabelSelector
from checkout_operator.spec import parse
from checkout_operator.telemetry import Metrics
from checkout_operator.watchdog import WatchDied, Watchdog
from checkout_operator.workqueue import WorkQueue
from devstack.client import Stack
from devstack.home import ROOT, Home, user_environment
from tests.kube import MOUSE, Kube
from tests.operator.views import at

pytestmark = pytest.mark.real

ROLE = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles/cartwright-operator"


@pytest.fixture(scope="module")
def stack(request):
    """An API server with the resource and nothing behind it."""
    home = Home(ROOT / ".cartwright" / f"test_watch-{request.config.getoption('--lane')}")
    Stack(home).down()
    shutil.rmtree(home.path, ignore_errors=True)
    stack = Stack.up(home.path, only={"etcd", "apiserver"})
    yield stack
    stack.down()


@pytest.fixture(scope="module")
def admin(stack):
    """Its admin."""
    return Kube(stack.home.kubeconfig)


@pytest.fixture
def use(monkeypatch, tmp_path):
    """Have credentials come from a kubeconfig."""

    def use(config):
        path = tmp_path / "kubeconfig"
        path.write_text(config if isinstance(config, str) else json.dumps(config))
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))

    return use


@pytest.fixture
def as_operator(stack, use):
    """Use the operator's kubeconfig."""
    use(stack.home.operator_kubeconfig.read_text())


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
        # Without the cluster: kopf's registry would keep its connections after the test.
        claims = Claims(None, scope, None, self.log)
        self.dog = Watchdog(self.cache, self.cluster, scope, claims, self.log)
        login = handlers.Login(credentials, self.permissions, clock)
        self.registry = handlers.register(self.cache, WorkQueue(), login, scope=scope, claims=claims, log=self.log)


@pytest.fixture
def watching():
    """Watch, with settings of a test's own."""

    @asynccontextmanager
    async def watching(**settings):
        watch, chosen, stopping = (
            Watching(await Credentials.load()),
            handlers.settings(LabelSelector()),
            asyncio.Event(),
        )
        for name, value in settings.items():
            setattr(chosen.watching, name, value)
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

    return watching


@pytest.fixture
def withheld(admin):
    """Take a verb from the operator's role."""
    url = admin.url + ROLE
    rules = admin.session.get(url, timeout=10).json()["rules"]

    def write(changed):
        answer = admin.session.patch(
            url, json={"rules": changed}, headers={"Content-Type": "application/merge-patch+json"}, timeout=10
        )
        assert answer.ok, answer.text

    def withhold(resource, verb):
        write([one | {"verbs": left(one, resource, verb)} for one in rules])
        return lambda: write(rules)

    def left(rule, resource, verb):
        return [each for each in rule["verbs"] if resource not in rule["resources"] or each != verb] or ["none"]

    yield withhold
    write(rules)


@pytest.mark.parametrize("verb", ["list", "watch"])
def test_the_watch_is_forbidden(stack, admin, withheld, eventually, verb):
    """An operator whose role lacks a verb of the watch says which one on its page, and goes on as soon as it is given."""
    give = withheld("checkouts", verb)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = {"KUBECONFIG": str(stack.home.operator_kubeconfig), "CHECKOUT_ADDR": "127.0.0.1:1", "NAMESPACE": "default"}
    env |= {"HTTP_PORT": str(port), "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'operator'}"}
    command = [sys.executable, "-m", "checkout_operator.main"]
    page = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, env=user_environment() | env, stdout=subprocess.DEVNULL) as operator:
        try:
            missing = eventually(lambda: requests.get(f"{page}/ready", timeout=5).json()["missing_rights"], 60)
            assert missing == [f"{verb} checkouts in the namespace default"]
            line = f'checkout_operator_missing_rights{{namespace="default",resource="checkouts",verb="{verb}"}} 1.0'
            assert line in requests.get(f"{page}/metrics", timeout=5).text
            assert requests.get(f"{page}/health", timeout=5).ok
            give()
            name = admin.apply(userId=7, items=MOUSE)
            eventually(lambda: requests.get(f"{page}/ready", timeout=5).json() == {"status": "ok"}, 60)
            assert admin.get(name)
        finally:
            operator.terminate()
    assert operator.returncode == 0


@pytest.mark.parametrize(
    ("resource", "verb"),
    [("checkouts", "create"), ("checkouts", "delete"), ("checkouts/status", "patch"), ("events", "create")],
)
async def test_a_write_is_forbidden(as_operator, watching, withheld, resource, verb):
    """A write that the role does not allow names the right, until it is given."""
    give = withheld(resource, verb)
    async with watching() as watch:
        mirror = {"userId": 7, "managedBy": "mirror", "checkoutId": "b3b5a1ac-1111-4222-8333-444455556666"}
        body = {
            "apiVersion": "cartwright.dev/v1alpha1",
            "kind": "Checkout",
            "metadata": {"name": f"co-{mirror['checkoutId']}", "namespace": "default"},
        }
        metadata = {"name": "first", "namespace": "default", "uid": "u1", "creationTimestamp": "2026-01-01T00:00:00Z"}
        failed = events.Event("9-ended", events.Type.WARNING, "OutOfStock", "no", metadata["creationTimestamp"])
        event = events.body(parse({"metadata": metadata, "spec": {"userId": 7}}), failed)
        write = {
            ("checkouts", "create"): lambda: watch.cluster.create(body | {"spec": mirror}),
            ("checkouts", "delete"): lambda: watch.cluster.delete(at("first"), "u1"),
            ("checkouts/status", "patch"): lambda: watch.cluster.replace_status(at("first"), {}),
            ("events", "create"): lambda: watch.cluster.create_event(event),
        }[resource, verb]

        async def tried(wanted):
            """Write until the rights that are missing are these: the API server learns of a role within a moment."""
            ends_at = time.monotonic() + 30
            while watch.permissions.missing() != wanted:
                try:
                    await write()
                except ClusterUnavailable as error:
                    assert "403" in str(error)  # noqa: PT017 - it is raised only while the right is missing
                assert time.monotonic() < ends_at
                await asyncio.sleep(0.05)

        await tried([f"{verb} {resource} in the namespace default"])
        give()
        await tried([])


PLUGIN = """#!{python}
import json
print(json.dumps({{
    "apiVersion": "client.authentication.k8s.io/v1",
    "kind": "ExecCredential",
    "status": {{"token": open({token!r}).read(), "expirationTimestamp": {expires!r}}},
}}))
"""


@pytest.fixture
def account(admin):
    """Give a token of a service account with the operator's rights, and what makes it invalid."""
    space = f"{admin.url}/api/v1/namespaces/default"
    name = f"rotated-{time.monotonic_ns()}"

    def create(url, body):
        answer = admin.session.post(url, json=body, timeout=10)
        assert answer.ok, answer.text
        return answer.json()

    create(f"{space}/serviceaccounts", {"metadata": {"name": name}})
    secret = create(f"{space}/secrets", {"metadata": {"name": name}})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "cartwright-operator"}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
    binding = {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]}
    create(f"{admin.url}{ROLE.rpartition('/roles/')[0]}/rolebindings", binding)
    bound = {"kind": "Secret", "apiVersion": "v1", "name": name, "uid": secret["metadata"]["uid"]}
    token = create(
        f"{space}/serviceaccounts/{name}/token", {"spec": {"boundObjectRef": bound, "expirationSeconds": 600}}
    )
    return token["status"]["token"], lambda: admin.session.delete(f"{space}/secrets/{name}", timeout=10)


@pytest.fixture
def source(stack, use, tmp_path, monkeypatch):
    """Give the file of a token, that credentials of a kind come from."""

    def source(kind):
        config, token = json.loads(stack.home.operator_kubeconfig.read_text()), tmp_path / "token"
        if kind == "a pod":
            address = urlsplit(config["clusters"][0]["cluster"]["server"])
            authority = tmp_path / "authority"
            authority.write_bytes((stack.home.data("apiserver") / "apiserver.crt").read_bytes())
            where = {"KUBERNETES_SERVICE_HOST": address.hostname, "KUBERNETES_SERVICE_PORT": str(address.port)}
            loader = incluster_config.InClusterConfigLoader
            monkeypatch.setattr(loader.__init__, "__defaults__", (True, where))
            monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
            monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
        elif kind == "a token's file":
            use(config | {"users": [one | {"user": {"tokenFile": str(token)}} for one in config["users"]]})
        else:
            script = tmp_path / "plugin"
            expires = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
            script.write_text(PLUGIN.format(python=sys.executable, token=str(token), expires=expires))
            script.chmod(stat.S_IRWXU)
            run = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(script)}}
            use(config | {"users": [one | {"user": run} for one in config["users"]]})
        return token

    return source


@pytest.mark.parametrize("kind", ["a pod", "a token's file", "a plugin"])
async def test_a_token_that_ends(stack, admin, account, source, watching, kind):
    """When a token is no longer taken, the watch and the writes go on with the next one, and none of them is lost."""
    first, invalidate = account
    file = source(kind)
    file.write_text(first)
    async with watching(server_timeout=1) as watch:
        name = admin.apply(userId=7, items=MOUSE)
        await until(lambda: watch.cache.get(at(name)))
        assert await watch.cluster.replace_status(at(name), {"phase": "Pending"})
        file.write_text(json.loads(stack.home.operator_kubeconfig.read_text())["users"][0]["user"]["token"])
        invalidate()
        asked = {"headers": {"Authorization": f"Bearer {first}"}, "verify": admin.session.verify, "timeout": 10}
        await until(lambda: requests.get(f"{admin.url}/version", **asked).status_code == 401)
        assert await watch.cluster.replace_status(at(name), {"phase": "Paying"})
        later = admin.apply(userId=7, items=MOUSE)
        await until(lambda: watch.cache.get(at(later)))
        assert watch.permissions.missing() == []


class Proxy:
    """A TCP proxy that can stop to deliver, with every connection that is open kept open."""

    def __init__(self, port):
        self._port, self._delivering, self._tasks = port, asyncio.Event(), set()

    async def start(self):
        """Listen, and give the port."""
        self._delivering.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    def freeze(self):
        """Deliver nothing more on the connections that are open. Those that come later work."""
        self._delivering.clear()
        self._delivering = asyncio.Event()
        self._delivering.set()

    async def close(self):
        """End every connection."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._port)
        delivering = self._delivering
        for pair in ((reader, upstream_writer), (upstream_reader, writer)):
            task = asyncio.create_task(self._copy(*pair, delivering))
            self._tasks.add(task)

    async def _copy(self, reader, writer, delivering):
        try:
            while data := await reader.read(65536):
                await delivering.wait()
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


@pytest.fixture
async def proxy(stack, use):
    """A proxy before the API server, which the operator goes through."""
    config = json.loads(stack.home.operator_kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    proxy = Proxy(urlsplit(cluster["server"]).port)
    cluster["server"] = f"https://127.0.0.1:{await proxy.start()}"
    use(config)
    yield proxy
    await proxy.close()


async def test_a_connection_that_delivers_nothing(admin, proxy, watching):
    """A watch whose connection stays open and delivers nothing is opened again, and misses nothing."""
    async with watching(inactivity_timeout=2) as watch:
        name = admin.apply(userId=7, items=MOUSE)
        await until(lambda: watch.cache.get(at(name)))
        proxy.freeze()
        missed = admin.apply(userId=7, items=MOUSE)
        await until(lambda: watch.cache.get(at(missed)))


async def test_a_connection_that_delivers_nothing_for_long(admin, proxy, watching):
    """Where nothing else notices such a watch, the watchdog does: the operator ends, and the next one watches anew."""
    async with watching(inactivity_timeout=3600) as watch:
        name = admin.apply(userId=7, items=MOUSE)
        await until(lambda: watch.cache.get(at(name)))
        proxy.freeze()
        admin.apply(userId=7, items=MOUSE)
        with pytest.raises(WatchDied):
            async with asyncio.timeout(60):
                await watch.dog.run(0.5)


async def test_the_definition_changes_under_load(admin, as_operator, watching, eventually):
    """While the definition of Checkouts is changed again and again, what is applied is reported and written, each of it."""
    url = f"{admin.url}/apis/apiextensions.k8s.io/v1/customresourcedefinitions/checkouts.cartwright.dev"
    original = admin.session.get(url, timeout=10).json()["spec"]["versions"]
    headers, names = {"Content-Type": "application/merge-patch+json"}, []

    def change(number):
        changed = json.loads(json.dumps(original))
        for version in changed:
            version["schema"]["openAPIV3Schema"]["description"] = f"Another description, {number}."
        answer = admin.session.patch(url, json={"spec": {"versions": changed}}, headers=headers, timeout=10)
        assert answer.ok, answer.text

    async def shown(watch, name):
        """Write a status, again where the API server refuses with 503 for a moment."""
        async with asyncio.timeout(30):
            while True:
                with suppress(ClusterUnavailable):
                    assert await watch.cluster.replace_status(at(name), {"phase": "Paying"})
                    return
                await asyncio.sleep(0.05)

    async with watching() as watch:
        try:
            for number in range(5):
                change(number)
                for _ in range(5):
                    names.append(
                        eventually(lambda: admin.apply(userId=7, items=MOUSE))
                    )  # 503 for a moment after a change
                    await asyncio.sleep(0)
            for name in names:
                await until(lambda name=name: watch.cache.get(at(name)))
                await shown(watch, name)
            assert {name: admin.status(name).get("phase") for name in names} == dict.fromkeys(names, "Paying")
        finally:
            answer = admin.session.patch(url, json={"spec": {"versions": original}}, headers=headers, timeout=10)
            assert answer.ok, answer.text


async def test_etcd_is_restored(stack, admin, as_operator, watching, eventually):
    """Where etcd is restored to an older revision the operator does not go on from what is no more: it ends, to begin anew."""
    # For a moment after the definition has changed, as in the test before, the API server refuses with 503.
    kept = eventually(lambda: admin.apply(userId=7, items=MOUSE))
    data, saved = stack.home.data("etcd"), stack.home.path / "etcd.saved"

    def offline(do):
        for part in ("apiserver", "etcd"):
            stack.stop(part)
        do()
        for part in ("etcd", "apiserver"):
            stack.start(part)
        stack.wait_ready("etcd", "apiserver", timeout=60)
        eventually(lambda: admin.get(kept), 60)

    def restore():
        shutil.rmtree(data)
        shutil.copytree(saved, data)

    offline(lambda: shutil.copytree(data, saved))
    async with watching() as watch:
        lost = [admin.apply(userId=7, items=MOUSE) for _ in range(20)]
        await until(lambda: all(watch.cache.get(at(name)) for name in [kept, *lost]))
        await asyncio.to_thread(offline, restore)
        applied = admin.apply(userId=7, items=MOUSE)  # at a revision that the watch has passed already
        dog = watch.dog
        with pytest.raises(WatchDied):
            async with asyncio.timeout(60):
                await dog.run(0.5)
    async with watching() as watch:  # the next operator
        await until(lambda: watch.cache.get(at(applied)))
        assert all(watch.cache.get(at(name)) is None for name in lost)
