"""Whose a namespace is, and what becomes of one that another release takes."""

import pytest
import structlog

from checkout_operator.claims import Claims, NamespaceTaken
from checkout_operator.config import Config, Release

OURS, THEIRS = "shop/cartwright", "other/cartwright"


class Leases:
    """Stands in for the client of the API server: knows who has which namespace, and creates the Lease of one that is free."""

    def __init__(self, **holders):
        self.holders = holders

    async def request(self, verb, path, body=None):
        """Read or create a Lease; there are no roles."""
        if "/roles/" in path:
            return None
        namespace = path.split("/namespaces/")[1].split("/")[0]
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
