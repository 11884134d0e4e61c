"""The table of columns, conditions and reasons in docs/resources.md is what the resource and the operator have."""

import re
from dataclasses import replace

import pytest
import yaml

from checkout_operator import event_recorder, events
from checkout_operator.reconciler import INVALID_SPEC, KEY_REUSED
from checkout_operator.status import MESSAGES, project, refused
from devstack.home import ROOT
from services.checkout.domain import Reason
from tests.operator.test_events import again
from tests.operator.test_status_reachable import WAYS, seen

DOCS = (ROOT / "docs" / "resources.md").read_text()
FAILURES = {*Reason, INVALID_SPEC}


def rows(what):
    """The rows of the table about one thing, as (name, value, meaning)."""
    lines = re.findall(rf"^\| {what} \| `([^`]+)` \| `?(.*?)`? ?\| (.*) \|$", DOCS, re.MULTILINE)
    assert lines
    return lines


def reasons(text):
    """The reasons that a meaning names."""
    named = set(re.findall(r"`(\w+)`", text))
    return (named - {"failure"}) | (FAILURES if "failure" in named else set())


def columns(priority):
    """The printed columns of the resource, as (head, JSONPath)."""
    version = yaml.safe_load((ROOT / "crds" / "checkouts.yaml").read_text())["spec"]["versions"][0]
    return [
        (one["name"].upper(), one["jsonPath"])
        for one in version["additionalPrinterColumns"]
        if one.get("priority", 0) == priority
    ]


@pytest.mark.parametrize(("what", "priority"), [("column", 0), ("wide column", 1)])
def test_the_columns(what, priority):
    """Every printed column is documented with the field that it shows, in their order."""
    assert [(name, value) for name, value, _ in rows(what)] == columns(priority)


def test_the_failures():
    """Every reason of a failure is documented: those of the checkout service, and those of the operator itself."""
    assert {name for name, _, _ in rows("failure")} == FAILURES == {*MESSAGES, INVALID_SPEC}
    assert KEY_REUSED in FAILURES


def test_the_conditions():
    """Every type of a condition is documented with each status that it can have, and each reason for that."""
    known = {(kind, status): reasons(meaning) for kind, status, meaning in rows("condition")}
    found = {}
    shown = [refused(reason, 1, "2026-01-01T00:00:00Z", "no") for reason in (KEY_REUSED, INVALID_SPEC)]
    for here in {one for way in WAYS for one in way}:
        why = [replace(here, reason=reason) for reason in FAILURES] if here.reason else [here]
        shown += [project(seen(one), 1) for one in why]
    for status in shown:
        for one in status["conditions"]:
            found.setdefault((one["type"], one["status"]), set()).add(one["reason"])
    assert known == found


def test_the_events(view):
    """Every reason of an event is documented with its type, and how long trouble lasts before it has one."""
    told = [events.unanswered_event(1, "no"), *events.progress_events(again(view, "pay", "no"))]
    told += events.progress_events(again(view, "claim", "waits for checkout c0 of the cart"))
    told += events.progress_events(again(view, "release", "no"))
    slow = replace(view.steps[0], attempts=2, finished_ms=view.steps[0].started_ms + 60_000)
    told += events.progress_events(replace(view, saga_step="COMPLETED", steps=(slow,), finished_ms=1))
    failed = {events.failure_event(refused(reason, 1, "2026-01-01T00:00:00Z", "no")) for reason in FAILURES}
    known = {(reason, kind) for name, kind, _ in rows("event") for reason in reasons(f"`{name}`")}
    assert known == {(one.reason, one.type.value) for one in (*told, *failed)}
    assert f"has lasted {events.NOTABLE_SECONDS:g} s" in DOCS
    assert f"limited to {event_recorder.EVENTS_PER_SECOND:g} a second" in DOCS


def test_the_explanation_is_that_of_the_definition():
    """What the page shows of `kubectl explain checkout.spec` has every field with its words, as the definition has them now."""
    version = yaml.safe_load((ROOT / "crds" / "checkouts.yaml").read_text())["spec"]["versions"][0]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    (pasted,) = re.findall(r"^\$ kubectl explain checkout\.spec\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
    assert re.findall(r"^  (\w+) +<", pasted, re.MULTILINE) == sorted(spec["properties"])
    words = " ".join(pasted.split())
    for one in (spec, *spec["properties"].values()):
        assert " ".join(one["description"].split()) in words


def test_lists_show_the_beginning_of_an_order():
    """In no list that the page shows is a whole order id under ORDER: the column shows its beginning."""
    shown = re.findall(r"^\$ kubectl get checkouts(?: -w)?\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
    assert len(shown) > 1
    assert not [one for one in shown if re.search(r"[0-9a-f]{8}-", one)]
