"""Every metric that an alert or a dashboard names is there on a running platform, with the labels that it is asked by.

What is declared is read from the code, since a label of a metric is seen on a page only once something was counted. What a
process really serves is read from its page.
"""

import ast
import json
import os
import re
import socket
import subprocess
import sys

import pytest
import requests
import yaml

from devstack import grafana, prometheus
from devstack.home import ROOT, user_environment
from devstack.table import PARTS

pytestmark = [pytest.mark.e2e, pytest.mark.local]  # it reads the pages of all processes

METRIC = re.compile(r"\b(?:cartwright|checkout|process)_[a-z_]+\b")
SELECTOR = re.compile(r"\b(?P<name>(?:cartwright|checkout|process)_[a-z_]+|up)\{(?P<matchers>[^}]*)\}")
SUFFIX = re.compile(r"_(?:bucket|sum|count|total)$")
OF_TARGETS = {"namespace", "part", "pod", "le"}
"""Labels that Prometheus adds, and that of a histogram's buckets."""


def asked():
    """Give every expression of the rules and of the dashboards, with what it is of."""
    for group in yaml.safe_load(prometheus.RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]
    for path in sorted(grafana.DASHBOARDS.glob("*.json")):
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                yield f"{board['title']}: {panel['title']}", target["expr"]
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                yield f"{board['title']}: ${variable['name']}", str(variable["query"])


def declared():
    """Give the labels of each metric that the code declares, by the metric's name without a suffix."""
    found = {}
    for path in [*(ROOT / "services").rglob("*.py"), *(ROOT / "operator").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name.lower() not in {"counter", "gauge", "histogram"} or not node.args:
                continue
            words = [one.value if isinstance(one, ast.Constant) else one for one in node.args]
            if isinstance(words[0], str):
                labels = [one for one in words[2:] if isinstance(one, ast.Tuple)][:1]
                names = {item.value for one in labels for item in one.elts if isinstance(item, ast.Constant)}
                found[SUFFIX.sub("", words[0])] = {one for one in names if isinstance(one, str)}
    return found


@pytest.fixture(scope="module", name="with_tokens")
def with_tokens_fixture(platform):
    """Give the page of a gateway that takes tokens, after one that it refused: the platform's own has mocked users."""
    with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as issuer:
        port, nobody = free.getsockname()[1], issuer.getsockname()[1]
    env = {name: address for name, address in platform.urls.items() if name.endswith("_ADDR")} | {
        "APP_ENV": "dev",
        "AUTH_MODE": "jwt",
        "AUTH_ISSUER": f"http://127.0.0.1:{nobody}",
        "AUTH_AUDIENCE": "shop",
        "LISTEN_HOST": "127.0.0.1",
        "HTTP_PORT": str(port),
        "DRAIN_DELAY": "0",
        "PYTHONPATH": os.pathsep.join([str(ROOT)]),
    }
    command = [sys.executable, "-m", "services.gateway.main"]
    with subprocess.Popen(command, env=user_environment() | env, stdout=subprocess.DEVNULL) as process:
        yield f"http://127.0.0.1:{port}"
        process.terminate()


@pytest.fixture(scope="module")
def pages(platform, with_tokens, eventually):
    """Give the page of metrics of every process, after a purchase, a refusal and a malformed request."""
    shopper = platform.shopper()
    shopper.add(1, 1)
    assert shopper.buy("seen").json()["status"] == "COMPLETED"
    assert requests.get(f"{shopper.url}/health", headers={"X": "x" * 20_000}, timeout=5).status_code == 431
    eventually(lambda: requests.get(f"{with_tokens}/api/v1/cart", timeout=5).status_code == 401, 60)
    rows = [row for row in platform.stack.rows() if not PARTS[row["name"]].is_store]
    urls = {row["name"]: f"http://127.0.0.1:{row['ports'][-1]}" for row in rows} | {"gateway with tokens": with_tokens}
    return {name: requests.get(f"{url}/metrics", timeout=5).text for name, url in urls.items()}


def test_every_metric_that_is_named_is_served(pages):
    """Each metric that a rule or a panel names is on the page of some process, and is a counter where it is called total."""
    served = {}
    for page in pages.values():
        served |= dict(re.findall(r"^# TYPE (\w+) (\w+)$", page, re.MULTILINE))
    for where, query in asked():
        for name in METRIC.findall(query):
            base = SUFFIX.sub("", name) if name not in served else name
            assert base in served, f"{where}: there is no {name}"
            if name.endswith("_total"):
                assert served[base] == "counter", where
            if name.endswith("_bucket"):
                assert served[base] == "histogram", where


def test_every_metric_of_a_runbook_is_served(pages):
    """Each metric that a runbook tells people to look at is on the page of some process."""
    served = {name for page in pages.values() for name in re.findall(r"^# TYPE (\w+) ", page, re.MULTILINE)}
    roles = {f"cartwright_{part}" for part in PARTS}  # of PostgreSQL
    for path in sorted((ROOT / "docs" / "runbooks").glob("*.md")):
        for name in (
            set(re.findall(r"\b(?:cartwright|checkout_operator|checkout_mirror)_[a-z_]+", path.read_text())) - roles
        ):
            assert {name, SUFFIX.sub("", name)} & served, f"{path.name}: there is no {name}"


def test_every_label_that_is_asked_for_is_declared():
    """A metric is only asked for, and summed, by labels that it has, or that Prometheus adds to each."""
    known = declared()
    for where, query in asked():
        names = {SUFFIX.sub("", name) for name in METRIC.findall(query)}
        has = OF_TARGETS.union(*(known.get(name, set()) for name in names))
        for selector in SELECTOR.finditer(query):
            own = OF_TARGETS | known.get(SUFFIX.sub("", selector["name"]), set())
            for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', selector["matchers"])):
                assert label in own, f"{where}: {selector['name']} has no label {label}"
        for label in (one for by in re.findall(r"\b(?:by|on) \(([^)]*)\)", query) for one in re.findall(r"\w+", by)):
            assert label in has, f"{where}: nothing here has a label {label}"


def test_what_is_served_has_the_labels_that_are_declared(pages):
    """On every page, each sample of a metric of ours has the labels that the code declares, so that the check above holds."""
    known = declared()
    seen = set()
    for part, page in pages.items():
        for name, labels in re.findall(r"^((?:cartwright|checkout)_\w+?)(?:\{(.*)\})? ", page, re.MULTILINE):
            base = SUFFIX.sub("", name.removesuffix("_created"))
            has = set(re.findall(r'(\w+)="', labels)) - {"le"}
            assert has == known[base], f"{part}: {name}"
            seen.add(base)
    assert len(seen) > 30


def test_recorded_series_that_are_named_are_recorded():
    """A recorded series that an alert or a panel names is recorded by some rule."""
    recorded = {
        rule["record"]
        for group in yaml.safe_load(prometheus.RULES.read_text())["groups"]
        for rule in group["rules"]
        if "record" in rule
    }
    for where, query in asked():
        assert set(re.findall(r"cartwright:\w+:\w+", query)) <= recorded, where
