"""The comparison with the checkout service: when it is made, and what it puts right."""

import asyncio
from dataclasses import replace

import pytest

from checkout_operator import reconciler as module
from checkout_operator.cache import ResourceCache
from checkout_operator.reconciler import BATCH, COMPARE_SHARE, rest_after
from checkout_operator.saga_client import Page, SagaUnavailable
from tests.operator.sagas import FORGED_STATUSES, until


@pytest.fixture
def cache():
    """No resources yet."""
    return ResourceCache()


async def test_a_comparison_that_failed_comes_again_soon(reconciler, sagas, monkeypatch):
    """A comparison that failed is made again after a short pause, not after the whole interval."""
    monkeypatch.setattr(module, "COMPARE_PAUSE_SECONDS", 0.0)
    sagas.away = True
    await until(lambda: sagas.compared == 3, asyncio.create_task(reconciler.run_compare(3600)))


async def test_a_stream_that_broke_is_made_up_for(reconciler, sagas, monkeypatch):
    """When the stream of changes has broken, everything is compared soon: changes may have been missed."""
    monkeypatch.setattr(module, "COMPARE_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(module, "RECONNECT_SECONDS", 0.0)
    comparing = asyncio.create_task(reconciler.run_compare(3600))
    await asyncio.sleep(0)
    assert sagas.compared == 1
    await until(lambda: sagas.compared == 2, asyncio.create_task(reconciler.follow()))
    comparing.cancel()


@pytest.mark.parametrize("took", [0.0, 1.0, 20.0])
def test_comparisons_take_a_share_of_the_time(took):
    """However long a comparison takes, the next one begins so late that comparing keeps its share of the time."""
    rest = rest_after(took, 15.0)
    assert rest >= 15.0
    assert took <= COMPARE_SHARE * (took + rest)


async def test_one_that_cannot_be_looked_up_stops_no_other(reconciler, cache, sagas, projector, cluster, make, view):
    """A comparison goes on past a resource whose checkout the service fails to look up."""
    sagas.views["bad"] = SagaUnavailable("internal error")
    for name in ("bad", "first"):
        cache.put(make(name))
        cache.confirm(make(name))
    await reconciler.compare()
    await projector.flush()
    assert (list(cluster.statuses), cluster.statuses["first"]["checkoutId"]) == (["first"], view.id)


async def test_a_comparison_goes_page_by_page(reconciler, cache, sagas, projector, cluster, make, view):
    """However many resources and checkouts of REST there are, each is compared, and no more than a page is held at once."""
    names = [f"r{number}" for number in range(2 * BATCH + 1)]
    for name in names:
        cache.put(make(name))
        cache.confirm(make(name))
    sagas.views = {name: replace(view, key=f"uid-{name}") for name in names}
    rest = [replace(view, id=f"c{number}", from_resource=False) for number in range(3)]
    sagas.rest = {None: Page(rest[:2], "c1"), "c1": Page(rest[2:], None)}
    await reconciler.compare()
    await projector.flush()
    assert sagas.looked_up == [BATCH, BATCH, 1]
    assert set(cluster.statuses) == {*names, "co-c0", "co-c1", "co-c2"}


@pytest.mark.parametrize("status", FORGED_STATUSES)
async def test_a_status_is_repaired(reconciler, cache, projector, cluster, make, view, status):
    """The comparison writes what the checkout says over whatever somebody wrote, claimed versions included."""
    cluster.statuses["first"] = status
    cache.put(make("first", status=status))
    cache.confirm(make("first"))
    await reconciler.compare()
    await projector.flush()
    shown = cluster.statuses["first"]
    assert (shown["phase"], shown["checkoutId"], shown["sagaVersion"]) == ("Paying", view.id, view.version)
    assert cache.endings() == {}


async def test_a_mirror_of_nothing(reconciler, cache, cluster, mirror):
    """A mirror whose checkout the service does not know is never started, and counts as ended since its creation."""
    cache.put(mirror("c9", FORGED_STATUSES[0]))
    await reconciler.compare()
    assert cluster.statuses == {"co-c9": {}}
    assert list(cache.endings()) == ["uid-co-c9"]
