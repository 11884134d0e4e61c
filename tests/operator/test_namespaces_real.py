"""What is watched, on a real API server: operators with the rights and settings that the chart gives them."""

import time

import pytest

from checkout_operator.projector import MAX_WRITERS
from tests.kube import Kube
from tests.operator.shop import Release
from tests.operator.spaces import LEASE, Space, buy, free_all
from tests.platforms import new_stack

pytestmark = pytest.mark.real

TEAM = {"matchLabels": {"team": "a"}, "matchExpressions": [{"key": "trial", "operator": "DoesNotExist"}]}


@pytest.fixture(scope="module")
def stack(request):
    """An API server with the resource and nothing behind it."""
    with new_stack(f"test_namespaces-{request.config.getoption('--lane')}", only={"etcd", "apiserver"}) as stack:
        yield stack


@pytest.fixture(scope="module")
def admin(stack):
    """Its admin."""
    return Kube(stack.home.kubeconfig)


@pytest.fixture
def space(admin):
    """Make a namespace that no other test has."""
    return lambda name: Space(admin, f"{name}-{time.monotonic_ns()}")


@pytest.fixture
def release(admin, tmp_path, forked):
    """Install a release into a namespace."""
    made = []

    def release(namespace, **values):
        made.append(Release(admin, tmp_path, namespace.namespace, **values))
        return made[-1]

    yield release
    for one in made:
        one.close()
        one.uninstall()
    free_all(admin)


@pytest.fixture
def operator(release, eventually):
    """Install a release, and start its operator."""

    def operator(namespace, **values):
        started = release(namespace, **values).start()
        eventually(started.is_ready, 60)
        return started

    return operator


def test_its_own_namespace(space, operator, eventually):
    """Where nothing is said the release's own namespace is watched, and no other."""
    own, other = space("own"), space("other")
    elsewhere, here = buy(other), None
    one = operator(own)
    here = buy(own)
    eventually(lambda: own.phase(here[1]) == "Paying")
    assert (one.shop.bought(), other.status(elsewhere[1])) == ([here], {})
    assert (own.holder(), other.holder()) == (f"{own.namespace}/cartwright", None)
    one.shop.complete()
    eventually(lambda: own.phase(here[1]) == "Completed")
    assert one.stop() == 0


def test_a_list(space, operator, eventually):
    """Of a list each namespace is watched, and the release's own only where the list names it."""
    own, first, second = space("own"), space("first"), space("second")
    elsewhere = buy(own)
    one = operator(own, watch={"namespaces": [first.namespace, second.namespace]})
    bought = [buy(first), buy(second)]
    eventually(lambda: first.phase(bought[0][1]) == second.phase(bought[1][1]) == "Paying")
    assert (sorted(one.shop.bought()), own.status(elsewhere[1])) == (sorted(bought), {})
    mirrored = f"co-{one.shop.sell()}"
    eventually(lambda: own.phase(mirrored) == "Paying")  # mirrors stay in the release's own
    assert [first.get(mirrored), second.get(mirrored)] == [None, None]


def test_all(space, operator, eventually):
    """Where all are watched, so is a namespace that is made later; each belongs to the release from its first Checkout on."""
    own, first = space("own"), space("first")
    before = buy(first)
    one = operator(own, watch={"allNamespaces": True})
    later = space("later")
    after = buy(later)
    eventually(lambda: first.phase(before[1]) == later.phase(after[1]) == "Paying")
    assert {before, after} <= set(one.shop.bought())
    assert {first.holder(), later.holder()} == {f"{own.namespace}/cartwright"}


def test_a_selector(space, operator, eventually):
    """What carries the labels is watched; what gains them is bought then, and what loses them is left as it is, until it has them again."""
    own = space("own")
    one = operator(own, watch={"selector": TEAM})
    without, trial = buy(own)[1], buy(own)[1]
    own.label(trial, team="a", trial="yes")
    own.label(without, team="a")
    eventually(lambda: own.phase(without) == "Paying")
    assert one.shop.bought() == [(own.namespace, without)]
    uid = own.get(without)["metadata"]["uid"]
    own.label(without, team="b")
    marker = buy(own)[1]
    own.label(marker, team="a")
    eventually(lambda: own.phase(marker) == "Paying")  # the watch has come past the change
    one.shop.complete()
    eventually(lambda: own.phase(marker) == "Completed")
    assert own.phase(without) == "Paying"
    own.label(without, team="a")
    eventually(lambda: own.phase(without) == "Completed")
    assert (own.reason(without), own.get(without)["metadata"]["uid"]) == ("Completed", uid)
    assert len(one.shop.checkouts) == 2
    mirrored = f"co-{one.shop.sell()}"
    eventually(lambda: own.phase(mirrored) == "Paying")
    assert own.get(mirrored)["metadata"]["labels"] == {"cartwright.dev/origin": "rest", "team": "a"}
    assert own.status(trial) == {}


@pytest.mark.parametrize("watch", [{}, {"allNamespaces": True}], ids=["one", "all"])
def test_mirrors_have_a_namespace(space, operator, eventually, watch):
    """Mirrors are in the namespace that is named for them; where that is not watched, a Checkout in it is not bought."""
    own, mirrors = space("own"), space("mirrors")
    there = buy(mirrors)
    one = operator(own, watch=watch, operator={"mirror": {"namespace": mirrors.namespace}})
    mirrored, here = f"co-{one.shop.sell()}", buy(own)
    eventually(lambda: mirrors.phase(mirrored) == own.phase(here[1]) == "Paying")
    assert own.get(mirrored) is None
    bought = [here, there] if watch else [here]
    assert {here, there} & set(one.shop.bought()) == set(bought)
    assert mirrors.holder() == f"{own.namespace}/cartwright"
    one.shop.complete()
    eventually(lambda: mirrors.phase(mirrored) == "Completed")


def test_a_namespace_is_deleted(space, operator, eventually):
    """With a namespace go its Checkouts: their sagas go on, nothing is tried for ever, and the other namespaces see nothing of it."""
    own, gone = space("own"), space("gone")
    one = operator(own, watch={"namespaces": [own.namespace, gone.namespace]})
    live = [buy(gone) for _ in range(5)]
    eventually(lambda: all(gone.phase(name) == "Paying" for _, name in live))
    gone.end()
    one.shop.complete()  # while it is terminating, a status is still written
    eventually(lambda: all(gone.phase(name) == "Completed" for _, name in live))
    gone.empty()
    eventually(lambda: one.metric('checkout_operator_resources{managed_by="operator"}') == 0)
    before = one.metric('checkout_operator_actions_total{action="start",outcome="ok"}')
    here = buy(own)
    eventually(lambda: own.phase(here[1]) == "Paying")
    assert one.metric('checkout_operator_actions_total{action="start",outcome="ok"}') == before + 1
    assert one.metric("checkout_operator_backlog") == one.metric("checkout_operator_faults_total") == 0
    assert len(one.shop.checkouts) == 6
    one.stop()
    one.start()  # it has no rights in what is gone, and says so; the others are watched, and a rollout goes on
    again = buy(own)
    eventually(lambda: own.phase(again[1]) == "Paying", 60)
    eventually(one.is_ready, 60)
    refused = f'resource="checkouts",target_namespace="{gone.namespace}",verb="list"'
    eventually(lambda: one.metric(f"checkout_operator_missing_rights{{{refused}}}") == 1)
    gone.create_namespace()  # of the same name
    one.install()
    back = buy(gone)
    eventually(lambda: gone.phase(back[1]) == "Paying", 60)
    eventually(one.is_ready, 60)
    assert gone.holder() == f"{own.namespace}/cartwright"


def test_a_deleted_namespace_is_made_again(space, operator, eventually):
    """A namespace that is deleted and made again while the operator runs is watched by the same watch, with nothing restarted."""
    own, gone = space("own"), space("gone")
    one = operator(own, watch={"namespaces": [own.namespace, gone.namespace]})
    first = buy(gone)
    eventually(lambda: gone.phase(first[1]) == "Paying")
    gone.end()
    gone.empty()
    gone.create_namespace()
    one.install()
    second = buy(gone)
    eventually(lambda: gone.phase(second[1]) == "Paying")
    assert one.shop.bought() == [first, second]
    assert one.process.is_running


def test_the_namespace_of_mirrors_is_deleted(space, operator, eventually):
    """Into a namespace that is being deleted no mirror is tried again and again; what was left out is counted."""
    own, mirrors = space("own"), space("mirrors")
    one = operator(own, operator={"mirror": {"namespace": mirrors.namespace}})
    mirrors.end()
    for _ in range(2 * MAX_WRITERS):
        one.shop.sell()
    skipped = 'checkout_mirror_skipped_total{reason="namespace"}'
    eventually(lambda: one.metric(skipped) >= 10)
    tried = 'checkout_operator_writes_total{outcome="NamespaceGone",verb="create"}'
    compared = "checkout_operator_compared_timestamp_seconds"
    since = one.metric(compared)
    eventually(lambda: one.metric(compared) > since + 3)
    assert 0 < one.metric(tried) <= MAX_WRITERS  # those that were under way when the first was refused
    here = buy(own)
    eventually(lambda: own.phase(here[1]) == "Paying")


def test_two_releases(space, operator, eventually):
    """Two releases in one cluster do not meet: each buys, shows and mirrors what is its own."""
    spaces = [space("one"), space("two")]
    releases = [operator(one) for one in spaces]
    bought = [buy(one) for one in spaces]
    mirrored = [f"co-{one.shop.sell()}" for one in releases]
    for one, (_, name), mirror in zip(spaces, bought, mirrored, strict=True):
        eventually(lambda one=one, name=name: one.phase(name) == "Paying")
        eventually(lambda one=one, mirror=mirror: one.phase(mirror) == "Paying")
    assert [one.shop.bought() for one in releases] == [[one] for one in bought]
    assert spaces[0].get(mirrored[1]) is spaces[1].get(mirrored[0]) is None


def test_two_releases_of_one_namespace(space, release, operator, eventually):
    """A namespace belongs to one release. A second one is refused at start with words, and buys nothing; it begins once it is free."""
    own, other = space("own"), space("other")
    first = operator(own)
    second = release(other, watch={"namespaces": [own.namespace]})
    code, said = second.start().ends()
    assert code == 1
    assert f"the namespace {own.namespace} belongs to the release {own.namespace}/cartwright" in said
    assert f"kubectl -n {own.namespace} delete lease {LEASE}" in said
    assert "Traceback" not in said
    bought = buy(own)
    eventually(lambda: own.phase(bought[1]) == "Paying")
    assert (first.shop.bought(), second.shop.bought()) == ([bought], [])
    first.stop()
    assert second.start().ends()[0] == 1  # the first one is only away
    first.uninstall()
    free_all(own)
    eventually(second.start().is_ready, 60)
    assert own.holder() == f"{other.namespace}/cartwright"


def test_a_claim_ends_with_its_role(space, operator, admin):
    """The Lease of a namespace belongs to the role that the release has there, so that uninstalling frees it."""
    own = space("own")
    operator(own)
    lease = admin.session.get(
        f"{admin.url}/apis/coordination.k8s.io/v1/namespaces/{own.namespace}/leases/{LEASE}", timeout=10
    ).json()
    (owner,) = lease["metadata"]["ownerReferences"]
    roles = f"{admin.url}/apis/rbac.authorization.k8s.io/v1/namespaces/{own.namespace}/roles"
    role = admin.session.get(f"{roles}/{owner['name']}", timeout=10).json()
    assert (owner["kind"], owner["uid"]) == ("Role", role["metadata"]["uid"])


def test_all_beside_another(space, release, operator, eventually):
    """One of all namespaces is refused where another release has one; what another claims later, it leaves alone."""
    taken, own, late = space("taken"), space("own"), space("late")
    first = operator(taken)
    everything = release(own, watch={"allNamespaces": True})
    code, said = everything.start().ends()
    assert (code, f"the namespace {taken.namespace} belongs to the release" in said) == (1, True)
    first.stop()
    first.uninstall()
    free_all(own)
    eventually(everything.start().is_ready, 60)
    here = buy(own)
    eventually(lambda: own.phase(here[1]) == "Paying")
    operator(late)
    there = buy(late)
    eventually(lambda: late.phase(there[1]) == "Paying")
    assert there not in everything.shop.bought()
    assert release(space("more"), watch={"allNamespaces": True}).start().ends()[0] == 1
    everything.stop()
    eventually(everything.start().is_ready, 60)  # it has begun before: it is not refused
    again = buy(own)
    eventually(lambda: own.phase(again[1]) == "Paying")
    assert there not in everything.shop.bought()
