"""The watch on the real API server, whatever happens to connections, to the definition and to etcd."""

import asyncio
import json
import shutil
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from checkout_operator.cluster import ClusterUnavailable
from checkout_operator.sharding import Shard, owner
from checkout_operator.watchdog import WatchDied
from tests.kube import MOUSE
from tests.operator.views import at
from tests.operator.watch import until, watching

pytestmark = pytest.mark.real


class Proxy:
    """A TCP proxy that can stop to deliver, with every connection that is open kept open."""

    def __init__(self, port):
        self._port, self._delivering, self._tasks, self._writers = port, asyncio.Event(), set(), []

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
        for writer in self._writers:  # a task that is cancelled before it has begun closes nothing
            writer.transport.abort()

    async def _serve(self, reader, writer):
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, upstream_writer]
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
async def proxy(api_server, use):
    """A proxy before the API server, which the operator goes through."""
    config = json.loads(api_server.home.operator_kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    proxy = Proxy(urlsplit(cluster["server"]).port)
    cluster["server"] = f"https://127.0.0.1:{await proxy.start()}"
    use(config)
    yield proxy
    await proxy.close()


async def test_a_connection_that_delivers_nothing(admin, proxy):
    """A watch whose connection stays open and delivers nothing is opened again, and misses nothing."""
    async with watching(inactivity_timeout=2) as watch:
        name = admin.apply(userId=7, items=MOUSE)
        await until(lambda: watch.cache.get(at(name)))
        proxy.freeze()
        missed = admin.apply(userId=7, items=MOUSE)
        await until(lambda: watch.cache.get(at(missed)))


async def test_a_connection_that_delivers_nothing_for_long(admin, proxy):
    """Where nothing else notices such a watch, the watchdog does: the operator ends, and the next one watches anew."""
    async with watching(inactivity_timeout=3600) as watch:
        name = admin.apply(userId=7, items=MOUSE)
        await until(lambda: watch.cache.get(at(name)))
        proxy.freeze()
        admin.apply(userId=7, items=MOUSE)
        with pytest.raises(WatchDied):
            async with asyncio.timeout(60):
                await watch.dog.run(0.5)


async def test_a_watch_of_a_part(admin, as_operator):
    """One of two operators learns of its own resources alone; it holds to that through a reconnect, a change and a deletion."""
    async with watching(server_timeout=1) as watch:
        members = frozenset({"a", "b"})
        watch.cache.shard = Shard("a", members)
        uids = {}
        for _ in range(20):
            name = admin.apply(userId=7, items=MOUSE)
            uids[name] = admin.get(name)["metadata"]["uid"]
        own = {name for name, uid in uids.items() if owner(uid, members) == "a"}
        await until(lambda: {one.name for one in watch.cache.all()} & uids.keys() == own)
        for name in uids:
            admin.change(name, {"spec": {"cancelRequested": True}})
        await until(lambda: {one.name for one in watch.cache.all() if one.spec.cancel} & uids.keys() == own)
        for name in uids:
            admin.delete(name)
        await until(lambda: not {one.name for one in watch.cache.all()} & uids.keys())


async def test_the_definition_changes_under_load(admin, as_operator, eventually):
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


async def test_etcd_is_restored(api_server, admin, as_operator, eventually):
    """Where etcd is restored to an older revision the operator does not go on from what is no more: it ends, to begin anew."""
    # For a moment after the definition has changed, as in the test before, the API server refuses with 503.
    kept = eventually(lambda: admin.apply(userId=7, items=MOUSE))
    data, saved = api_server.home.data("etcd"), api_server.home.path / "etcd.saved"

    def offline(do):
        for part in ("apiserver", "etcd"):
            api_server.stop(part)
        do()
        for part in ("etcd", "apiserver"):
            api_server.start(part)
        api_server.wait_ready("etcd", "apiserver", timeout=60)
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
