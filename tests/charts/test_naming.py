"""What objects are called, and where images come from, where a user or an umbrella chart says so."""

import pytest

from tests.charts.cases import BANK, BASE, CHART, DEV, STORES, Case, merged
from tests.charts.rendering import fits

KEPT = ("CustomResourceDefinition", "ClusterRole")


def test_a_name_of_the_users_own(rendered):
    """`fullnameOverride` begins the name of every object, and addresses follow it."""
    rendering = rendered["renamed"]
    names = [one["metadata"]["name"] for one in rendering.objects if one["kind"] not in KEPT]
    assert all(name == "store" or name.startswith("store-") for name in names)
    addresses = {one["value"] for one in rendering.pod("checkout").spec["containers"][0]["env"] if "value" in one}
    assert "dns:///store-cart:50052" in addresses


def test_another_name_for_the_chart(rendered):
    """`nameOverride` takes the chart's place in names and in the label that selectors use."""
    rendering = rendered["chart-renamed"]
    assert "cartwright-tills-cart" in rendering.named("Deployment")
    assert rendering.pod("cart").labels["app.kubernetes.io/name"] == "tills"
    for one in rendering.of("Deployment"):
        assert fits(one["spec"]["selector"], one["spec"]["template"]["metadata"]["labels"])


def test_a_release_whose_name_is_a_number(rendered):
    """A release called 20261125 has that as the text of its labels."""
    for one in rendered["release-of-digits"].objects:
        assert one["metadata"]["labels"]["app.kubernetes.io/instance"] == "20261125"


@pytest.mark.parametrize("chart", [CHART, STORES], ids=["platform", "stores"])
def test_a_name_that_no_service_may_have(render, chart):
    """A release whose name begins with a digit is told to set `fullnameOverride`."""
    values = merged(BASE, BANK) if chart == CHART else {}
    assert "fullnameOverride: set it" in render(Case(values, release="1shop"), chart).done.stderr
    assert render(Case(merged(values, {"fullnameOverride": "shop"}), release="1shop"), chart).done.returncode == 0


def test_stores_have_the_name_they_are_given(render):
    """The stores' secret, Services and addresses have the name of `fullnameOverride`, whatever the release's is."""
    rendering = render(Case({"fullnameOverride": "db"}, release="eu"), STORES)
    (secret,) = rendering.of("Secret")
    assert secret["metadata"]["name"] == "db"
    assert "@db-postgresql:5432/" in secret["stringData"]["postgresql"]
    assert set(rendering.named("Service")) == {"db-postgresql", "db-mongodb", "db-redis", "db-kafka"}


def test_images_of_an_umbrella_chart(rendered, render):
    """`global.imageRegistry` takes the place of the registry's host, and pull secrets of all charts are added to ours, once each."""
    for pod in rendered["umbrella-images"].pods:
        assert [one["name"] for one in pod.spec["imagePullSecrets"]] == ["c", "a", "b"]
        for container in pod.containers:
            assert container["image"].startswith("r.example:5000/cartwright/"), pod.name
    stores = render(Case({"global": {"imageRegistry": "r.example", "imagePullSecrets": ["a"]}}), STORES)
    images = {pod.component: pod.spec["containers"][0]["image"] for pod in stores.pods}
    assert (images["postgresql"], images["kafka"]) == ("r.example/postgres:17", "r.example/apache/kafka:4.1.0")
    assert all(pod.spec["imagePullSecrets"] == [{"name": "a"}] for pod in stores.pods)


@pytest.mark.parametrize(
    ("registry", "image"),
    [
        ("ghcr.io/cartwright", "r.example/cartwright/services:1"),
        ("cartwright", "r.example/cartwright/services:1"),
        ("localhost:5000", "r.example/services:1"),
        ("old.example/a/b", "r.example/a/b/services:1"),
    ],
)
def test_a_registry_takes_the_hosts_place(render, registry, image):
    """Of an image's name the host is replaced, and the rest stays."""
    values = {"image": {"registry": registry, "tag": "1"}, "global": {"imageRegistry": "r.example"}}
    assert render(Case(values, DEV)).pod("cart").spec["containers"][0]["image"] == image
