"""What is watched, by namespaces and by labels."""

import json
import os

import pytest

from checkout_operator.config import BadSettings, read
from checkout_operator.selectors import LabelSelector

ORIGIN = {"cartwright.dev/origin": "rest"}


@pytest.fixture
def settings(monkeypatch):
    """Read the settings of an environment that has nothing else."""

    def settings(**env):
        for name in os.environ:  # noqa: TID251 - a test of the environment
            monkeypatch.delenv(name)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        return read()

    return settings


def body(namespace, **spec):
    """A Checkout as the watch reports it."""
    return {"metadata": {"namespace": namespace}, "spec": {"userId": 7} | spec}


@pytest.mark.parametrize(
    ("env", "watches"),
    [
        ({}, ("default",)),
        ({"NAMESPACE": "shop"}, ("shop",)),
        ({"NAMESPACE": "shop", "WATCH_NAMESPACES": "b, a"}, ("a", "b", "shop")),
        ({"NAMESPACE": "shop", "WATCH_NAMESPACES": "a", "MIRROR_NAMESPACE": "m"}, ("a", "m")),
        ({"NAMESPACE": "shop", "WATCH_ALL_NAMESPACES": "true", "MIRROR_NAMESPACE": "m"}, (None,)),
    ],
)
def test_what_is_watched(settings, env, watches):
    """The operator's own namespace is watched unless others are named; that of the mirrors always is."""
    assert settings(**env).scope().watches == watches


def test_the_namespace_of_mirrors(settings):
    """Where it is none of those that are watched, only mirrors in it are worked on."""
    scope = settings(WATCH_NAMESPACES="a", MIRROR_NAMESPACE="m").scope()
    assert scope.includes(body("a"))
    assert scope.includes(body("m", managedBy="mirror"))
    assert not scope.includes(body("m"))
    assert not scope.includes(body("m", managedBy="operator"))
    assert settings(WATCH_ALL_NAMESPACES="1", MIRROR_NAMESPACE="m").scope().includes(body("m"))


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"WATCH_NAMESPACES": "*"}, "WATCH_NAMESPACES: "),
        ({"WATCH_NAMESPACES": "a", "WATCH_ALL_NAMESPACES": "true"}, "WATCH_ALL_NAMESPACES: .*say one of the two"),
        ({"WATCH_SELECTOR": "team=a"}, "WATCH_SELECTOR: .*JSON"),
        ({"WATCH_SELECTOR": '{"team": "a"}'}, "WATCH_SELECTOR: "),
        (
            {"WATCH_SELECTOR": '{"matchExpressions": [{"key": "a", "operator": "In"}]}'},
            "WATCH_SELECTOR: .*In takes values",
        ),
        (
            {"WATCH_SELECTOR": '{"matchExpressions": [{"key": "cartwright.dev/origin", "operator": "DoesNotExist"}]}'},
            "WATCH_SELECTOR: .*no mirror can have the labels",
        ),
    ],
)
def test_what_is_refused(settings, env, said):
    """A setting that means nothing, or two things, is refused by its name."""
    with pytest.raises(BadSettings, match=said):
        settings(**env)


EXPRESSIONS = [
    {"key": "a", "operator": "In", "values": ["1", "2"]},
    {"key": "b", "operator": "NotIn", "values": ["true"]},
    {"key": "b", "operator": "Exists"},
    {"key": "c", "operator": "DoesNotExist"},
]


@pytest.mark.parametrize(
    ("selector", "text", "labels"),
    [
        ({}, "", ORIGIN),
        ({"matchLabels": {"team": "a"}}, "team in (a)", ORIGIN | {"team": "a"}),
        (
            {"matchExpressions": EXPRESSIONS},
            "a in (1,2),b notin (true),b,!c",
            ORIGIN | {"a": "1", "b": "false"},
        ),
        (
            {"matchLabels": {"a": "1"}, "matchExpressions": [EXPRESSIONS[0] | {"operator": "NotIn"}]},
            "a in (1),a notin (1,2)",
            None,
        ),
        ({"matchLabels": {"cartwright.dev/origin": "shop"}}, "cartwright.dev/origin in (shop)", None),
    ],
)
def test_mirrors_are_selected(selector, text, labels):
    """Mirrors get labels that the selector selects, beside their own; one that selects no mirror gives none."""
    made = LabelSelector.model_validate_json(json.dumps(selector))
    assert (str(made), made.labels(ORIGIN)) == (text, labels)
