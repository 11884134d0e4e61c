"""The chart of stores for trying out: held to the same rules, and what the platform's own trial values name is there."""

import re
from urllib.parse import urlsplit

import pytest
import yaml

from tests.charts.cases import DEV, STORES, Case
from tests.charts.rendering import fits

NAMES = {"postgresql": 5432, "mongodb": 27017, "redis": 6379, "kafka": 9092}


def test_stores_can_do_nothing_more(stores):
    """Every store runs as a user that is not root, with a root that cannot be written and no capability, within bounds."""
    assert {pod.component for pod in stores.pods} == set(NAMES)
    for pod in stores.pods:
        assert pod.spec["securityContext"]["runAsNonRoot"] is True
        assert pod.spec["securityContext"]["runAsUser"] > 0
        assert (pod.spec["automountServiceAccountToken"], pod.spec["enableServiceLinks"]) == (False, False)
        (container,) = pod.spec["containers"]
        wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        assert container["securityContext"] == wanted
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)
        assert all({"cpu", "memory"} <= set(container["resources"][bound]) for bound in ("requests", "limits"))
        assert re.search(r":\d", container["image"])


def test_stores_are_found(stores):
    """Every store has a Service that finds its pod at the store's usual port, and is reached from its own namespace alone."""
    for component, port in NAMES.items():
        service = stores.named("Service")[f"cartwright-stores-{component}"]["spec"]
        assert [one["port"] for one in service["ports"]] == [port]
        assert fits({"matchLabels": service["selector"]}, stores.pod(component).labels)
    (policy,) = stores.of("NetworkPolicy")
    assert all(fits(policy["spec"]["podSelector"], pod.labels) for pod in stores.pods)
    assert policy["spec"]["ingress"] == [{"from": [{"podSelector": {}}]}]


def test_the_trial_values_name_what_is_there(stores, rendered):
    """The secret, its keys and the addresses that the platform's trial values name are those that this chart makes."""
    (secret,) = stores.of("Secret")
    named = yaml.safe_load(DEV[0].read_text())["stores"]
    for store, given in named.items():
        if store == "kafka":
            urls = [f"kafka://{given['bootstrapServers']}"]
        else:
            assert given["existingSecret"] == secret["metadata"]["name"]
            urls = [secret["stringData"][given["urlKey"]]]
        for url in urls:
            parts = urlsplit(url)
            ports = stores.named("Service")[parts.hostname]["spec"]["ports"]
            assert [one["port"] for one in ports] == [parts.port]
    assert rendered["dev"].done.returncode == 0


def test_passwords_stand_in_the_secret_alone(stores):
    """Passwords are drawn anew for each installation, are letters and digits, and stand in the secret and nowhere else."""
    (secret,) = stores.of("Secret")
    drawn = [value for name, value in secret["stringData"].items() if name.endswith("Password")]
    assert len(drawn) == len(set(drawn)) == 3
    others = yaml.safe_dump([one for one in stores.objects if one["kind"] != "Secret"])
    for password in drawn:
        assert re.fullmatch(r"[A-Za-z0-9]{24}", password)
        assert password not in others


@pytest.mark.parametrize(
    ("values", "kind", "holds"),
    [
        ({"storageClass": "fast"}, "StatefulSet", "storageClassName: fast"),
        ({"kafka": {"size": "7Gi"}}, "StatefulSet", "storage: 7Gi"),
        ({"redis": {"maxMemory": "64mb"}}, "StatefulSet", "--maxmemory 64mb"),
        ({"postgresql": {"maxConnections": 500}}, "StatefulSet", "max_connections=500"),
    ],
)
def test_values_reach_their_store(render, values, kind, holds):
    """What the values say is what the store is started with."""
    rendering = render(Case(values), STORES)
    assert any(holds in yaml.safe_dump(one, width=1000) for one in rendering.of(kind))


def test_the_network_can_be_left_open(render):
    """Without the policy everybody reaches the stores, where that is asked for."""
    assert render(Case({"networkPolicy": {"enabled": False}}), STORES).of("NetworkPolicy") == []


def test_two_installations_share_nothing(render, stores):
    """Another release has other names for everything."""
    other = render(Case({}, release="eu"), STORES)
    names = [{(one["kind"], one["metadata"]["name"]) for one in each.objects} for each in (stores, other)]
    assert names[0] & names[1] == set()
    assert all(len(name) <= 63 for _, name in names[1])
