"""A namespace of a test's own, in which it lets operators of its own work; the platform's operator sees none of it."""

import itertools
from collections import Counter

import yaml

from devstack.home import ROOT
from tests.crashing_operator import Operator
from tests.kube import Kube

SETTINGS = {"listen_host": "127.0.0.1", "http_port": 0, "mirror_success_ttl": 600}
RBAC, LEASES = (ROOT / "manifests" / f"{name}.yaml" for name in ("operator-rbac", "operator-leases-rbac"))


class Scene:
    """A namespace, and operators with the operator's identity."""

    def __init__(self, platform, name):
        self.kube = Kube(platform.stack.home.kubeconfig, name)
        self.log = platform.stack.home.log(name)
        self.log.touch(mode=0o600)
        self._operators = []
        self._settings = SETTINGS | {"namespace": name, "checkout_addr": platform.urls["CHECKOUT_ADDR"]}
        self._make("/api/v1/namespaces", {"metadata": {"name": name}})

    def allow(self, *more):
        """Give the operator its role here, and those of other manifests."""
        for part in itertools.chain(*(yaml.safe_load_all(path.read_text()) for path in (RBAC, *more))):
            part["metadata"]["namespace"] = self.kube.namespace
            self._make(f"/apis/{part['apiVersion']}/namespaces/{self.kube.namespace}/{part['kind'].lower()}s", part)
        return self

    def operator(self, crash=None, names=(), *, silent_watch=False, **settings):
        """Start an operator that works here."""
        started = Operator(self._settings | settings, str(self.log), crash, frozenset(names), silent_watch=silent_watch)
        self._operators.append(started)
        return started

    def clear(self):
        """End the operators that a test has left behind, and close the connections to the API server."""
        for one in self._operators:
            one.kill()
        self.kube.session.close()

    def events(self):
        """Count the events about each resource, by their reasons."""
        url = f"{self.kube.url}/api/v1/namespaces/{self.kube.namespace}/events"
        items = self.kube.session.get(url, timeout=10).json()["items"]
        return Counter((one["involvedObject"]["name"], one["reason"]) for one in items)

    def _make(self, path, body):
        answer = self.kube.session.post(self.kube.url + path, json=body, timeout=10)
        assert answer.status_code == 201, answer.text
