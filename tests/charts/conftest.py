"""Every case, rendered once, and an API server to show them to."""

import subprocess
from collections.abc import Mapping

import pytest

from devstack import helm
from devstack.home import user_environment
from tests.charts.cases import CASES, CHART, EXTENDED, STORES, Case
from tests.charts.rendering import Rendering, helm_environment
from tests.charts.server import Server
from tests.platforms import new_stack


@pytest.fixture(name="render", scope="session")
def render_fixture():
    """Render a case of the platform's chart, or of another."""
    program = helm.find(user_environment(), print)

    def render(case, chart=CHART):
        return Rendering(program, chart, case)

    return render


class Rendered(Mapping):
    """Cases by name, each rendered when somebody asks for it first: all at once take half a minute of two processors."""

    def __init__(self, render, cases):
        self._render, self._cases, self._done = render, cases, {}

    def __getitem__(self, name):
        if name not in self._done:
            self._done[name] = self._render(self._cases[name])
        return self._done[name]

    def __iter__(self):
        return iter(self._cases)

    def __len__(self):
        return len(self._cases)


@pytest.fixture(name="rendered", scope="session")
def rendered_fixture(render):
    """Give every case of the platform's chart, rendered."""
    return Rendered(render, CASES)


@pytest.fixture(scope="session")
def extended(render):
    """Give every case with parts of the user's own, rendered."""
    return Rendered(render, EXTENDED)


@pytest.fixture(params=CASES)
def rendering(request, rendered):
    """Give each rendering of the platform's chart in turn."""
    return rendered[request.param]


@pytest.fixture(scope="session")
def stores(render):
    """Give the chart of stores, rendered."""
    return render(Case({}, release="cartwright-stores"), STORES)


@pytest.fixture(scope="session")
def helm_on(server):
    """Run helm on the API server: give what it ended with and what it printed."""
    env = helm_environment() | {"KUBECONFIG": str(server.kube.kubeconfig)}
    program = str(helm.find(user_environment(), print))

    def run(*words, given=""):
        return subprocess.run([program, *words], env=env, input=given, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def server(request, eventually):
    """An API server of its own, for all that is shown to one: the tests of the definition delete it."""
    with new_stack(f"test_charts-{request.config.getoption('--lane')}", only={"etcd", "apiserver"}) as stack:
        yield Server(stack, eventually)
