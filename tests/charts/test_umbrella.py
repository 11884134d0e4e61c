"""The example of an umbrella chart: platform and stores as one release, installed in one go."""

import shutil
import subprocess
from urllib.parse import urlsplit

import pytest

from devstack import helm
from devstack.home import user_environment
from tests.charts.cases import CHART, STORES, Case
from tests.charts.rendering import helm_environment
from tests.charts.test_apiserver import pod, refusals
from tests.charts.test_migrations import migrated
from tests.charts.test_settings import process

NAMES = {"postgresql": 5432, "mongodb": 27017, "redis": 6379}


@pytest.fixture(name="chart", scope="module")
def chart_fixture(tmp_path_factory):
    """Give the example with its dependencies built, in a copy of both charts."""
    folder = tmp_path_factory.mktemp("umbrella") / "charts"
    for chart in (CHART, STORES):
        shutil.copytree(chart, folder / chart.name)
    chart = folder / CHART.name / "examples" / "umbrella"
    program = str(helm.find(user_environment(), print))
    command = [program, "dependency", "update", str(chart)]
    done = subprocess.run(command, env=helm_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return chart


@pytest.fixture(name="umbrella", scope="module")
def umbrella_fixture(render, chart):
    """Give the example, rendered."""
    return render(Case({}, release="shop"), chart)


def test_it_waits_for_no_hook(umbrella):
    """Nothing runs before the stores are installed: each pod makes what its service needs before it starts."""
    assert [one for one in umbrella.objects if "pre-install" in str(one["metadata"].get("annotations"))] == []
    for made in umbrella.pods:
        if made.lasts and made.component not in {"gateway", "console", "auditor", "operator", *NAMES, "kafka"}:
            assert migrated(made) == [process(made.spec["containers"][0])[0]], made.name


def test_its_parts_find_each_other(umbrella):
    """The secret, the keys and the addresses that the platform is told are those of the stores beside it."""
    (secret,) = umbrella.of("Secret")
    services = {name: one["spec"]["ports"][0]["port"] for name, one in umbrella.named("Service").items()}
    for made in umbrella.pods:
        for container in made.containers:
            for one in container["env"]:
                if "secretKeyRef" in one.get("valueFrom", {}):
                    named = one["valueFrom"]["secretKeyRef"]
                    assert named["name"] == secret["metadata"]["name"]
                    assert named["key"] in secret["stringData"]
                if one["name"] == "KAFKA_BOOTSTRAP_SERVERS":
                    host, port = one["value"].split(":")
                    assert services[host] == int(port)
    for store, port in NAMES.items():
        parts = urlsplit(secret["stringData"][store])
        assert (services[parts.hostname], parts.port) == (port, port)


@pytest.mark.real
def test_the_api_server_takes_it(server, umbrella):
    """The API server takes every object and every pod of it."""
    told = refusals(server, [*umbrella.objects, *map(pod, umbrella.pods)])
    assert not told, "\n".join(told)


@pytest.mark.real
def test_one_command_installs_it(server, helm_on, chart):
    """One `helm install` installs all of it, and waits for no store first."""
    server.keep({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "umbrella"}})
    words = ("-n", "umbrella", "--set", "cartwright.crds.enabled=false", "--timeout", "60s")
    try:
        done = helm_on("install", "shop", str(chart), *words)
        assert done.returncode == 0, done.stderr
        assert "STATUS: deployed" in done.stdout
    finally:
        helm_on("uninstall", "shop", "-n", "umbrella")


@pytest.mark.parametrize("condition", ["cartwright", "cartwright-stores"])
def test_a_condition_is_let_in(render, chart, condition):
    """An umbrella chart may switch either chart by a condition: both let `enabled` in."""
    assert render(Case({condition: {"enabled": True}}, release="shop"), chart).done.returncode == 0


def test_another_charts_globals_are_let_in(render, chart):
    """What an umbrella chart says to all its charts is refused by none."""
    values = {"global": {"storageClass": "fast", "imageRegistry": "r.example"}}
    rendering = render(Case(values, release="shop"), chart)
    images = {container["image"].split("/")[0] for made in rendering.pods for container in made.containers}
    assert images == {"r.example"}
