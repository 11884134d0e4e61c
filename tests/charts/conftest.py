"""Renders every case once, two at a time."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from devstack import helm
from devstack.home import user_environment
from tests.charts.cases import CASES, CHART, STORES, Case
from tests.charts.rendering import Rendering


@pytest.fixture(name="render", scope="session")
def render_fixture():
    """Render a case of the platform's chart, or of another."""
    program = helm.find(user_environment(), print)

    def render(case, chart=CHART):
        return Rendering(program, chart, case)

    return render


@pytest.fixture(name="rendered", scope="session")
def rendered_fixture(render):
    """Give every case of the platform's chart, rendered."""
    with ThreadPoolExecutor() as pool:
        return dict(zip(CASES, pool.map(render, CASES.values()), strict=True))


@pytest.fixture(params=CASES)
def rendering(request, rendered):
    """Give each rendering of the platform's chart in turn."""
    return rendered[request.param]


@pytest.fixture(scope="session")
def stores(render):
    """Give the chart of stores, rendered."""
    return render(Case({}, release="cartwright-stores"), STORES)
