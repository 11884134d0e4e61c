"""The bench of the operator: what it applies, what it sees, and how it judges."""

import asyncio
import json
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import certifi
import pytest
from aiohttp import web

from tests.bench.measure import Failed
from tests.bench.operator_load import phases
from tests.bench.operator_load.__main__ import judged
from tests.bench.operator_load.applying import Applier
from tests.bench.operator_load.plot import svg
from tests.bench.operator_load.timeline import STEP_SECONDS, lateness, rate
from tests.bench.operator_load.watching import Watcher
from tests.bench.results import Results
from tests.bench.special import buy_by_resource


class ApiServer:
    """Stands in for an API server: keeps what is created, and tells of it in a watch that it ends once."""

    def __init__(self):
        self.created, self.watches, self.full, self.lists = [], [], False, 0
        self.over = asyncio.Event()
        self.ends = None
        """How many of what is created end, in the one watch; None: a watch tells of one that nobody has created."""

    async def create(self, http):
        """Keep a resource."""
        if self.full:
            return web.Response(status=429, text="too many requests")
        self.created.append(await http.json())
        return web.Response(status=201)

    async def watch(self, http):
        """List nothing, or tell of one end in each watch."""
        if "watch" not in http.query:
            self.lists += 1
            return web.json_response({"metadata": {"resourceVersion": "7"}, "items": []})
        self.watches.append(http.query["resourceVersion"])
        response = web.StreamResponse()
        await response.prepare(http)
        if self.ends is not None:
            return await self._tell_ends(response)
        name, version = f"r{len(self.watches)}", str(10 * len(self.watches))
        for phase in ("Paying", "Completed"):
            seen = {"metadata": {"name": name, "resourceVersion": version}, "status": {"phase": phase}}
            await response.write(json.dumps({"type": "MODIFIED", "object": seen}).encode() + b"\n")
        return response

    async def _tell_ends(self, response):
        told = 0
        while told < self.ends:
            for one in self.created[told : self.ends]:
                name, phase = one["metadata"]["name"], ("Completed", "Failed")[told % 2]
                seen = {"metadata": {"name": name, "resourceVersion": "8"}, "status": {"phase": phase}}
                await response.write(json.dumps({"type": "MODIFIED", "object": seen}).encode() + b"\n")
                told += 1
            await asyncio.sleep(0.001)
        await self.over.wait()
        return response


@pytest.fixture
async def server():
    """The API server, and how it is reached."""
    server = ApiServer()
    app = web.Application()
    app.add_routes([web.post("/checkouts", server.create), web.get("/checkouts", server.watch)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    session = SimpleNamespace(verify=certifi.where(), headers={"Authorization": "Bearer x"})
    server.kube = SimpleNamespace(checkouts=f"http://127.0.0.1:{runner.addresses[0][1]}/checkouts", session=session)
    yield server
    server.over.set()
    await runner.cleanup()


async def test_each_resource_is_applied_once(server):
    """Each resource has a name, a key and a user of its own, whether they are applied at once or at a rate."""
    async with Applier(server.kube) as applier:
        await applier.at_once(20, ttl=5)
        await applier.at_rate(200, 0.1, ttl=5)
    assert len(server.created) == len(applier.applied) == 40
    assert {one["metadata"]["name"] for one in server.created} == set(applier.applied)
    assert len({one["spec"]["userId"] for one in server.created}) == 40
    assert all(one["spec"]["idempotencyKey"] == one["metadata"]["name"] for one in server.created)


async def test_a_resource_that_is_refused_ends_the_bench(server):
    """What the API server refuses is no load that was held: the bench says so and ends."""
    server.full = True
    async with Applier(server.kube) as applier:
        with pytest.raises(Failed, match="too many requests"):
            await applier.at_once(3, ttl=5)


async def test_a_watch_that_ends_goes_on(server):
    """Each end is seen once, and a watch that the API server ends goes on after what was seen last."""
    watcher = Watcher(server.kube)
    watching = asyncio.create_task(watcher.run())
    assert await watcher.until_ended({"r1", "r2", "r3"}, 10)
    watching.cancel()
    assert server.watches[:3] == ["7", "10", "20"]
    assert not await watcher.until_ended({"never"}, 0)


@pytest.mark.parametrize(("ends", "within"), [(20, 30), (12, 2)])
async def test_resources_that_are_bought_are_watched(server, ends, within):
    """What has ended by the time that is given is counted, and the API server has been asked for no list to know it."""
    server.ends = ends
    bought = await buy_by_resource(server.kube, 20, within)
    assert (len(bought.names), bought.finished) == (20, ends)
    assert (server.lists, bought.created_in <= bought.took <= within + 10) == (1, True)  # the list says where to begin


GOOD = {
    ("sustained", "to the end of the last one"): 99,
    ("sustained", phases.LOST): 0,
    ("sustained", "commit → status seen, p99"): 1,
    ("sustained", "API writes, creation and deletion included"): 4.1,
    ("sustained", "patches by kopf"): 0,
    ("live", "5,000: operator"): 150,
    ("live", "10,000: event loop late by at most"): 50,
    ("away", "3,000 that waited have ended after"): 20,
    ("away", phases.LOST): 0,
}


def verdict(figures, live=(5000, 10_000)):
    """Give whether a must is missed, and the words of the last column."""
    results = Results(machine={})
    results.note("rest", "operator", "MiB", 1000)
    for (load, name), value in figures.items():
        results.note(load, name, "", value)
    table, missed = judged(results, live)
    return missed, list(table.columns[-1].cells)


@pytest.mark.parametrize(
    ("worse", "missed"),
    [
        ({}, False),
        ({("sustained", "API writes, creation and deletion included"): 4.2}, True),
        ({("live", "10,000: event loop late by at most"): 51}, True),
        ({("live", "15,000: operator"): 1000}, False),
    ],
)
def test_a_missed_must_is_said(worse, missed):
    """A figure beyond its bound makes the bench fail; one without a bound is shown alone."""
    found, words = verdict(GOOD | worse)
    assert found is missed
    assert any("missed" in one for one in words) is missed


@pytest.mark.parametrize("left_out", GOOD)
def test_what_was_not_measured_is_not_met(left_out):
    """A must whose figure is not there makes the bench fail in words; only a number of live resources may be left out by who asks."""
    missed, words = verdict({one: value for one, value in GOOD.items() if one != left_out})
    assert (missed, ["not measured" in one for one in words].count(True)) == (True, 1)
    few = {one: value for one, value in GOOD.items() if one[0] != "live"}
    assert not verdict(few, live=[1000])[0]


class RestartedBed:
    """Stands in for a platform whose operator knows more resources with each look, and whose memory falls after a peak."""

    def __init__(self):
        self.calls, self.notes, self.known = [], {}, 0
        self.sizes = iter([KeyError("operator"), 80.0, 200.0])
        each = {
            name: lambda part, name=name: self.calls.append((name, part)) for name in ("stop", "start", "wait_ready")
        }
        self.platform = SimpleNamespace(stack=SimpleNamespace(**each))

    def note(self, load, name, unit, value):
        """Keep a figure."""
        self.notes[name] = value

    def operator_mib(self):
        """Give the memory; there is none while it does not run."""
        size = next(self.sizes, 90.0)
        if isinstance(size, KeyError):
            raise size
        return size

    def metric(self, name):
        """Give a metric."""
        if name == phases.LAG:
            return 0.03
        self.known += 400
        return self.known


async def test_the_operator_is_restarted_over_what_lives(monkeypatch):
    """After the hold the operator starts anew: how long it takes until it knows all, its memory's peak and its loop are told."""
    monkeypatch.setattr(phases, "COMPARISONS_SECONDS", 0.6)
    bed = RestartedBed()
    await phases.restart(bed, 1000)
    assert bed.calls == [("stop", "operator"), ("start", "operator"), ("wait_ready", "operator")]
    took = [bed.notes.pop(f"1,000: restarted, {what} after") for what in ("ready", "all known")]
    assert 0 < took[0] < took[1]
    assert bed.notes == {
        "1,000: restarted, event loop late by at most": 30,
        "1,000: restarted, operator at most": 200,
    }


def test_a_queue_that_grows_is_seen_over_time():
    """Each step has its own rate, and its own lateness by when a thing happened: a mean would hide that both get worse."""
    happened = {f"r{number}": 100.0 + number for number in range(20)}
    seen = {name: at + (1 if at < 110 else 7) for name, at in happened.items() if name != "r3"}
    assert rate("sustained", "seen", list(seen.values()), 100.0).values == [0.8, 0.4, 0.7]
    assert lateness("sustained", "late", seen, happened, 100.0).values == [1.0, 7.0]
    assert rate("sustained", "none", [], 100.0).values == lateness("sustained", "none", {}, {}, 0.0).values == []
    assert STEP_SECONDS == 10


def test_the_picture_has_a_panel_for_each_unit():
    """Rates share a panel, seconds have their own, and every line is named."""
    lines = [
        rate("sustained", "applied", [1.0, 2.0, 15.0], 0.0),
        rate("sustained", "seen", [], 0.0),
        lateness("sustained", "row <late>", {"a": 3.0}, {"a": 1.0}, 0.0),
    ]
    picture = ET.fromstring(svg(lines))
    words = [one.text for one in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"sustained: resources/s", "sustained: s", "applied", "seen", "row <late>"} <= set(words)
    assert len(list(picture.iter("{http://www.w3.org/2000/svg}polyline"))) == 3
    assert ET.fromstring(svg([])).tag.endswith("svg")
