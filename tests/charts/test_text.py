"""What looks like a number comes out as it was written, or is refused: of every value that a chart knows."""

import itertools
import json
import re
import subprocess

import pytest

from devstack import helm
from devstack.home import user_environment
from tests.charts.cases import BANK, BASE, CHART, KAFKA_USER, ROUTES, SCALED, SERVICES, STORES, TRACES, Case, merged
from tests.charts.leaves import leaves, plant
from tests.charts.rendering import KUBERNETES, strings

LEAVES = {CHART: leaves(CHART), STORES: leaves(STORES)}
BOTH = {"productId", "userId", "minAvailable", "maxUnavailable", "cpu", "size", "key"}  # `key`: of a map of quantities
EXACT = 2**53 - 1  # up to here YAML's numbers, which are floats to Helm, are whole


def texts(chart):
    """Give the leaves that are text and nothing else."""
    return [leaf for leaf in LEAVES[chart] if leaf.types == {"string"}]


def numbers(chart):
    """Give the leaves that are whole numbers."""
    return [leaf for leaf in LEAVES[chart] if "integer" in leaf.types]


@pytest.mark.parametrize("chart", [CHART, STORES], ids=["platform", "stores"])
@pytest.mark.parametrize("value", [20261125, 1.10, True])
def test_text_is_text(render, chart, value):
    """Every value that is text refuses a number and a boolean by its name: YAML has lost by then how it was written."""
    values = {}
    for leaf in texts(chart):
        plant(values, leaf.path, value)
    done = render(Case(values), chart).done
    assert done.returncode != 0
    kind = "boolean" if value is True else "number"
    told = set(re.findall(rf"at '([^']+)': got {kind}, want string", done.stderr))
    assert {leaf.pointer for leaf in texts(chart)} - told == set()


def test_what_takes_both_text_and_numbers():
    """Only ids, quantities and shares may be written either way; each comes out alike."""
    both = [
        leaf for chart in LEAVES for leaf in LEAVES[chart] if {"string"} < leaf.types & {"string", "integer", "number"}
    ]
    assert {str(leaf.path[-1]) for leaf in both} <= BOTH
    assert {str(leaf.path[-2]) for leaf in both if leaf.path[-1] == "key"} == {"requests", "limits"}


def test_numbers_are_bounded():
    """No whole number may be so large that YAML rounds it."""
    for leaf in itertools.chain(numbers(CHART), numbers(STORES)):
        assert leaf.schema["maximum"] <= EXACT, leaf.pointer


FULL = merged(
    merged(BASE, BANK),
    {
        "stores": {"kafka": {"securityProtocol": "SASL_SSL", **KAFKA_USER}},
        "gateway": ROUTES,
        "console": {"url": "https://console.example.com"},
        "traces": TRACES,
        "serviceMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
        "dashboards": {"enabled": True},
        "rbac": {"aggregateClusterRoles": True},
    },
)
SHARED = {leaf.path[1] for leaf in LEAVES[CHART] if leaf.path[0] == "pods"}


def own(leaf):
    """Whether it is what a component has instead of what stands under `pods`."""
    return leaf.path[0] in {"services", "operator", "migrations"} and bool(SHARED & set(leaf.path[1:5]))


VARIANTS = {
    # what is set beside the leaves, and which leaves are left out since others take their place
    "hosts": ({"services": dict.fromkeys((*SERVICES, "bank"), SCALED)}, lambda _: False),
    "deployments": ({"workers": {"mode": "deployment"}}, lambda _: False),
    "urls": (
        {"workers": {"mode": "deployment"}},
        lambda leaf: leaf.path[-1] == "host" or "topologySpreadConstraints" in leaf.path,
    ),
    "pods": ({}, own),
    "pods-spread": ({}, lambda leaf: own(leaf) or "topologySpreadConstraints" in leaf.path),
}


def scalars(tree):
    """Give every single value in a tree."""
    if isinstance(tree, dict):
        for below in tree.values():
            yield from scalars(below)
    elif isinstance(tree, list):
        for below in tree:
            yield from scalars(below)
    else:
        yield tree


OTHERWISE = {
    "extraObjects",
    "test",
    "bankAddress",
}  # templates, ids that come out as numbers, and an address that has a port


def planted(leaf, number):
    """Give a text that a leaf takes, of digits alone where it takes that; None where it has a form of its own."""
    if "enum" in leaf.schema:
        return leaf.schema["enum"][0] if 0 in leaf.path else None
    if "properties" in leaf.schema:  # it may be an object too, which is then what is tried
        return None
    return next((text for text in (f"{number}", f"n{number}", f"/{number}") if leaf.fits(text)), None)


@pytest.fixture(name="renderings", scope="module")
def renderings_fixture(render):
    """Give the text that each leaf was given, and each variant's rendering with all of them."""
    given = {}
    for number, leaf in enumerate(LEAVES[CHART], 70_000_000):
        text = "string" in leaf.types or "enum" in leaf.schema
        if (
            text
            and leaf.path[0] not in OTHERWISE
            and leaf.path[-1] not in OTHERWISE
            and (said := planted(leaf, number))
        ):
            given[leaf] = said
        elif "integer" in leaf.types and 0 in leaf.path and leaf.path[-1] == "maxSkew":
            given[leaf] = 1
    found = []
    for more, left_out in VARIANTS.values():
        values = merged(FULL, more)
        tree = {}
        for leaf, text in given.items():
            if not left_out(leaf):
                plant(tree, leaf.path, text)
        found.append(render(Case(merged(values, tree))))
    return given, found


def test_text_of_digits_stays_text(renderings):
    """Text that looks like a number is nowhere a number in what is made of it."""
    given, found = renderings
    digits = {int(text) for text in given.values() if str(text).isdigit() and int(text) > EXACT // 2**40}
    for rendering in found:
        wrong = [one for each in rendering.objects for one in scalars(each) if isinstance(one, int | float)]
        assert digits.isdisjoint(wrong)
        assert not [one for one in wrong if isinstance(one, float)]


def test_every_text_comes_out(renderings):
    """Every text of the values stands in some object as it was written."""
    given, found = renderings
    everything = "\n".join(text for rendering in found for each in rendering.objects for text in strings(each))
    missing = [leaf.pointer for leaf, text in given.items() if str(text) not in everything]
    assert missing == [], missing


def test_every_number_comes_out(render):
    """Every whole number of the values, as large as it may be, stands in some object with all its digits."""
    given = {}
    for leaf in numbers(CHART):
        taken = set(given.values())
        given[leaf] = next(one for one in itertools.count(leaf.schema["maximum"], -1) if one not in taken)
    words = set()
    scaled = {"services": dict.fromkeys((*SERVICES, "bank"), SCALED)}
    for more, left_out in [
        ({}, lambda leaf: leaf.path[-1] == "minAvailable"),
        (scaled | {"workers": {"mode": "deployment"}}, lambda leaf: leaf.path[-1] == "maxUnavailable"),
        ({"workers": {"mode": "deployment"}}, lambda leaf: leaf.path[-1] == "minAvailable"),
        ({"gateway": {"service": {"type": "NodePort"}}}, own),
        ({}, lambda leaf: own(leaf) or leaf.path[-1] == "minAvailable"),
    ]:
        values = merged(FULL, more)
        tree = {"gateway": {"httpRoute": {"parentRefs": [{"name": "public"}]}}}
        for leaf, number in given.items():
            if not left_out(leaf):
                plant(tree, leaf.path, number)
        for leaf in given:
            for name, text in (("topologyKey", "k"), ("whenUnsatisfiable", "ScheduleAnyway")):
                if leaf.path[-1] == "maxSkew" and not left_out(leaf):
                    plant(tree, (*leaf.path[:-1], name), text)
        hosts = {store: {"host": "db.example"} for store in ("postgresql", "bankPostgresql", "mongodb", "redis")}
        rendering = render(Case(merged(merged(values, {"stores": hosts}), tree)))
        for one in (one for each in rendering.objects for one in scalars(each)):
            assert not isinstance(one, float), one
            words |= set(re.findall(r"\d+", str(one)))
    missing = [leaf.pointer for leaf, number in given.items() if str(number) not in words]
    assert missing == [], missing


@pytest.mark.parametrize(
    ("user", "product"), [(1, 2), (EXACT, EXACT), (str(2**63 - 1), str(2**63 - 1)), ("9007199254740993", 1)]
)
def test_ids_keep_their_digits(render, user, product):
    """An id comes out with all its digits: a number as far as YAML has it whole, and larger ones as text."""
    values = merged(BASE, {"test": {"userId": user, "items": [{"productId": product, "quantity": 1}]}})
    (container,) = render(Case(values)).pod("test").spec["containers"]
    (spec,) = [json.loads(one["value"]) for one in container["env"] if one["name"] == "SPEC"]
    assert spec == {"userId": int(user), "items": [{"productId": int(product), "quantity": 1}]}


@pytest.mark.parametrize("user", [0, EXACT + 1, "0", "1.5", "12345678901234567890"])
def test_what_is_no_id(render, user):
    """Zero, a fraction, and what YAML would round are refused as ids."""
    assert "/test/userId" in render(Case(merged(BASE, {"test": {"userId": user}}))).done.stderr


@pytest.fixture(name="tagged", scope="module")
def tagged_fixture():
    """Render the chart with words of the command line over a file; give what Helm ended with and printed."""
    program = str(helm.find(user_environment(), print))
    name = [program, "template", "cartwright", str(CHART), "--kube-version", KUBERNETES, "-f", "-"]

    def tagged(*words, tag=None):
        text = json.dumps(BASE) if tag is None else f"{json.dumps(BASE)[:-1]}, image: {{tag: {tag}}}}}"
        return subprocess.run([*name, *words], input=text, capture_output=True, text=True, check=False)

    return tagged


TAGS = ["20261125", "1.10", "012", "1e5", "0x1F", "true", "v1"]


@pytest.mark.parametrize("tag", TAGS)
def test_a_tag_is_as_it_was_written(tagged, tag):
    """A tag in quotes, and one of `--set-string`, is that of the images, to the letter."""
    for done in (tagged(tag=f'"{tag}"'), tagged("--set-string", f"image.tag={tag}")):
        assert done.returncode == 0, done.stderr
        assert f'image: "ghcr.io/cartwright/services:{tag}"' in done.stdout


@pytest.mark.parametrize("tag", TAGS)
def test_a_tag_without_quotes_is_refused_where_yaml_reads_a_number(tagged, tag):
    """Without quotes, and with `--set`, a tag is refused where it is a number or a boolean by then; no other tag comes out."""
    for done in (tagged(tag=tag), tagged("--set", f"image.tag={tag}")):
        if done.returncode:
            assert re.search(r"at '/image/tag': got (number|boolean), want string", done.stderr)
        else:
            assert f'image: "ghcr.io/cartwright/services:{tag}"' in done.stdout
