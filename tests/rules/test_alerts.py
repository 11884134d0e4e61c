"""Alerts are whole: each has its tests, its page, and a text that says what is wrong and what the shop loses."""

import re

import pytest

from devstack.home import ROOT
from tests.rules.conftest import RUNBOOKS

HEADINGS = ["## What it means", "## What to look at", "## What to do"]


def test_every_alert_has_a_test_that_fires_and_one_that_stays_quiet(alerts, cases):
    """Of each alert, by its severity, there is a case in which it fires, and a case in which it never does."""
    fires, quiet = set(), set()
    for _, case in cases:
        for alert in {check["alertname"] for check in case["alert_rule_test"]}:
            checks = [one for one in case["alert_rule_test"] if one["alertname"] == alert]
            found = [one["exp_labels"]["severity"] for check in checks for one in check["exp_alerts"]]
            fires |= {(alert, severity) for severity in found}
            if not found:
                quiet.add(alert)
    assert {(rule["alert"], rule["labels"]["severity"]) for rule in alerts} == fires
    assert {rule["alert"] for rule in alerts} == quiet


def test_cases_are_named_for_their_alert(cases):
    """A case's name begins with the alert that it is about, and no two have the same name."""
    for path, case in cases:
        names = {check["alertname"] for check in case["alert_rule_test"]}
        assert names == {case["name"].split()[0]}, f"{path.name}: {case['name']}"
    assert len({case["name"] for _, case in cases}) == len(cases)


def test_alerts_and_pages_are_the_same(alerts):
    """Every alert leads to a page of its own name in docs/runbooks, and every page is an alert's."""
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == {rule["alert"] for rule in alerts}
    for rule in alerts:
        assert (ROOT / rule["annotations"]["runbook_url"]).stem == rule["alert"]
        assert (ROOT / rule["annotations"]["runbook_url"]).parent == RUNBOOKS


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("Cartwright*.md")), ids=lambda page: page.stem)
def test_pages_say_what_one_needs(page):
    """A page says what its alert means, what to look at and what to do, and its links lead somewhere."""
    lines = page.read_text().splitlines()
    assert lines[0] == f"# {page.stem}"
    assert [line for line in lines if line.startswith("## ")] == HEADINGS
    for link in re.findall(r"\]\(([^)#]*)(?:#[^)]*)?\)", page.read_text()):
        assert not link or (page.parent / link).exists(), link


def test_alerts_are_told_apart_by_how_soon_one_must_look(alerts):
    """An alert is critical or a warning; its name says whose it is."""
    for rule in alerts:
        assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"}), rule["alert"]
        assert re.fullmatch(r"Cartwright([A-Z][a-z]+)+", rule["alert"])


def test_texts_are_for_people(alerts):
    """A summary is one sentence without a stop; a description is sentences, and names where the fault is."""
    for rule in alerts:
        said = rule["annotations"]
        assert set(said) == {"summary", "description", "runbook_url"}
        assert re.fullmatch(r"[A-Z][^.]{10,90}", said["summary"]), said["summary"]
        assert said["description"].endswith("."), rule["alert"]
        assert "$labels.namespace" in said["description"] or "absent(" in rule["expr"], rule["alert"]


def test_texts_name_labels_that_the_alert_has(alerts):
    """Every label that a text names is one that the alert's expression keeps."""
    for rule in alerts:
        named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["description"]))
        kept = {label for by in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in re.findall(r"\w+", by)}
        kept |= set(re.findall(r'label_replace\(.*?, "(\w+)"', rule["expr"]))
        if ":" in rule["expr"]:  # of a recorded series, which has the namespace
            kept.add("namespace")
        assert named <= kept, f"{rule['alert']}: {named - kept}"


def test_every_page_was_tried(alerts):
    """The README of the runbooks says of each alert, once, how its fault was made, what was seen, and on which kind of platform."""
    _, said = (RUNBOOKS / "README.md").read_text().split("\n## How each page was tried\n")
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in said.splitlines() if line.startswith("| `Cartwright")]
    assert [row[0].strip(" `") for row in rows] == sorted({rule["alert"] for rule in alerts})
    for row in rows:
        assert len(row) == 4, row[0]
        assert all(cell.strip() for cell in row), row[0]
        assert row[3].strip() in re.findall(r"\*(\w+)\*:", said), row[0]
