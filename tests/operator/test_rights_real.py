"""An operator that lacks a right on the real API server says which, and goes on once it has it."""

import asyncio
import os
import socket
import subprocess
import sys
import time

import pytest
import requests

from checkout_operator import events
from checkout_operator.cluster import ClusterUnavailable
from checkout_operator.spec import parse
from devstack.home import ROOT, user_environment
from tests.kube import MOUSE
from tests.operator.views import at
from tests.operator.watch import ROLE, watching

pytestmark = pytest.mark.real


@pytest.fixture
def withheld(admin):
    """Take a verb from the operator's role."""
    url = admin.url + ROLE
    rules = admin.session.get(url, timeout=10).json()["rules"]

    def write(changed):
        answer = admin.session.patch(
            url, json={"rules": changed}, headers={"Content-Type": "application/merge-patch+json"}, timeout=10
        )
        assert answer.ok, answer.text

    def withhold(resource, verb):
        write([one | {"verbs": left(one, resource, verb)} for one in rules])
        return lambda: write(rules)

    def left(rule, resource, verb):
        return [each for each in rule["verbs"] if resource not in rule["resources"] or each != verb] or ["none"]

    yield withhold
    write(rules)


@pytest.mark.parametrize("verb", ["list", "watch"])
def test_the_watch_is_forbidden(api_server, admin, withheld, eventually, verb):
    """An operator whose role lacks a verb of the watch says which one on its page, and goes on as soon as it is given."""
    give = withheld("checkouts", verb)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = {
        "KUBECONFIG": str(api_server.home.operator_kubeconfig),
        "CHECKOUT_ADDR": "127.0.0.1:1",
        "NAMESPACE": "default",
    }
    env |= {"HTTP_PORT": str(port), "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'operator'}"}
    command = [sys.executable, "-m", "checkout_operator.main"]
    page = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, env=user_environment() | env, stdout=subprocess.DEVNULL) as operator:
        try:
            missing = eventually(lambda: requests.get(f"{page}/ready", timeout=5).json()["missing_rights"], 60)
            assert missing == [f"{verb} checkouts in the namespace default"]
            line = (
                f'checkout_operator_missing_rights{{resource="checkouts",target_namespace="default",verb="{verb}"}} 1.0'
            )
            assert line in requests.get(f"{page}/metrics", timeout=5).text
            assert requests.get(f"{page}/health", timeout=5).ok
            give()
            name = admin.apply(userId=7, items=MOUSE)
            eventually(lambda: requests.get(f"{page}/ready", timeout=5).json() == {"status": "ok"}, 60)
            assert admin.get(name)
        finally:
            operator.terminate()
    assert operator.returncode == 0


@pytest.mark.parametrize(
    ("resource", "verb"),
    [("checkouts", "create"), ("checkouts", "delete"), ("checkouts/status", "patch"), ("events", "create")],
)
async def test_a_write_is_forbidden(as_operator, withheld, resource, verb):
    """A write that the role does not allow names the right, until it is given."""
    give = withheld(resource, verb)
    async with watching() as watch:
        mirror = {"userId": 7, "managedBy": "mirror", "checkoutId": "b3b5a1ac-1111-4222-8333-444455556666"}
        body = {
            "apiVersion": "cartwright.dev/v1alpha1",
            "kind": "Checkout",
            "metadata": {"name": f"co-{mirror['checkoutId']}", "namespace": "default"},
        }
        metadata = {"name": "first", "namespace": "default", "uid": "u1", "creationTimestamp": "2026-01-01T00:00:00Z"}
        failed = events.Event("9-ended", events.Type.WARNING, "OutOfStock", "no", metadata["creationTimestamp"])
        event = events.body(parse({"metadata": metadata, "spec": {"userId": 7}}), failed)
        write = {
            ("checkouts", "create"): lambda: watch.cluster.create(body | {"spec": mirror}),
            ("checkouts", "delete"): lambda: watch.cluster.delete(at("first"), "u1"),
            ("checkouts/status", "patch"): lambda: watch.cluster.replace_status(at("first"), {}),
            ("events", "create"): lambda: watch.cluster.create_event(event),
        }[resource, verb]

        async def tried(wanted):
            """Write until the rights that are missing are these: the API server learns of a role within a moment."""
            ends_at = time.monotonic() + 30
            while watch.permissions.missing() != wanted:
                try:
                    await write()
                except ClusterUnavailable as error:
                    assert "403" in str(error)  # noqa: PT017 - it is raised only while the right is missing
                assert time.monotonic() < ends_at
                await asyncio.sleep(0.05)

        await tried([f"{verb} {resource} in the namespace default"])
        give()
        await tried([])
