"""Whose a namespace is, and what becomes of one that another release takes."""

import asyncio

import pytest
import structlog

from checkout_operator import claims as module
from checkout_operator.claims import Claims, NamespaceTaken
from checkout_operator.cluster import ClusterUnavailable, Forbidden, Refused
from checkout_operator.config import Config, Release
from tests.operator.watch import until

OURS, THEIRS = "shop/cartwright", "other/cartwright"


class Leases:
    """Stands in for the client of the API server: knows who has which namespace, and creates the Lease of one that is free."""

    def __init__(self, **holders):
        self.holders, self.errors, self.asked = holders, {}, []

    async def request(self, verb, path, body=None):
        """Read or create a Lease; there are no roles."""
        if "/roles/" in path:
            return None
        namespace = path.split("/namespaces/")[1].split("/")[0]
        self.asked.append(namespace)
        if verb == "POST" and namespace in self.errors:
            raise self.errors[namespace]
        if verb == "POST":
            self.holders.setdefault(namespace, body["spec"]["holderIdentity"])
        holder = self.holders.get(namespace)
        return {"spec": {"holderIdentity": holder}} if holder else None


def claims(leases):
    """Give the claims of a release that watches two namespaces."""
    scope = Config(watch_namespaces=("team-a", "team-b"), mirror_namespace="team-a").scope()
    return Claims(leases, scope, Release(OURS, "cartwright-operator"), structlog.get_logger())


async def test_what_another_release_has_is_refused_at_start():
    """An operator that is to watch what another release has does not begin."""
    with pytest.raises(NamespaceTaken, match="team-b belongs to the release other/cartwright"):
        await claims(Leases(**{"team-b": THEIRS})).hold_all()


async def test_one_that_is_taken_away_stops_no_other():
    """Whoever writes the Lease of one namespace takes that one alone, until they give it back."""
    leases = Leases()
    ours = claims(leases)
    await ours.hold_all()
    assert (ours.holds("team-a"), ours.holds("team-b")) == (True, True)
    leases.holders["team-b"] = THEIRS
    await ours.run_once()
    assert (ours.holds("team-a"), ours.holds("team-b")) == (True, False)
    gained = []
    ours.on_gain = lambda: gained.append(ours.holds("team-b"))
    del leases.holders["team-b"]
    await ours.run_once()
    assert ours.holds("team-b")
    assert gained == [True]  # what was left out of it meanwhile is looked for


@pytest.fixture
def quick(monkeypatch):
    """Have nothing wait."""
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(module, "ASK_SECONDS", 0.05)


REFUSALS = [
    Refused("ValidatingAdmissionPolicy 'no-leases' denied request"),
    ClusterUnavailable("failed calling webhook"),
]


@pytest.mark.parametrize("error", REFUSALS)
@pytest.mark.usefixtures("quick")
async def test_a_policy_of_one_namespace_holds_up_no_other(error):
    """A policy or webhook that refuses the claim of one namespace for ever leaves that one out, at the start and later."""
    leases = Leases()
    leases.errors["team-a"] = error
    ours = claims(leases)
    async with asyncio.timeout(10):
        await ours.hold_all()
        await ours.run_once()
        with pytest.raises(Forbidden if isinstance(error, Refused) else ClusterUnavailable):
            await ours.try_hold("team-a")
    assert (ours.holds("team-a"), ours.holds("team-b")) == (False, True)
    waiting = asyncio.create_task(ours.hold("team-a"))
    before = len(leases.asked)
    await until(lambda: len(leases.asked) > before + 2)  # what comes by the watch waits for its own namespace
    leases.errors.clear()
    assert await asyncio.wait_for(waiting, 10)


@pytest.mark.usefixtures("quick")
async def test_it_does_not_begin_without_the_api_server():
    """While the API server answers in no namespace nothing is known, and the operator waits before it watches."""
    leases = Leases()
    leases.errors |= dict.fromkeys(("team-a", "team-b"), ClusterUnavailable("no answer"))
    ours = claims(leases)
    beginning = asyncio.create_task(ours.hold_all())
    await until(lambda: "team-b" in leases.asked and leases.asked[-1] == "team-a")  # for the second time
    assert not beginning.done()
    leases.errors.clear()
    await asyncio.wait_for(beginning, 10)
    assert ours.holds("team-b")


@pytest.mark.usefixtures("quick")
async def test_a_refusal_is_logged_once():
    """What is tried for ever is logged when it begins and when its reason changes."""
    leases, ours = Leases(), None
    leases.errors["team-a"] = REFUSALS[0]
    with structlog.testing.capture_logs() as lines:
        ours = claims(leases)
        for _ in range(3):
            with pytest.raises(Forbidden):
                await ours.try_hold("team-a")
        leases.errors["team-a"] = Refused("another")
        with pytest.raises(Forbidden):
            await ours.try_hold("team-a")
    assert [(one["namespace"], one["error"][:7]) for one in lines] == [("team-a", "Validat"), ("team-a", "another")]
