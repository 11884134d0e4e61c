"""Operators that share the work of a namespace of a test's own, and what each of them said of it."""

import json
from datetime import datetime

from tests.scene import LEASES

CHANGED, TAKEN = "the members have changed", "took over a resource"


class Replicas:
    """Several operators of one release."""

    def __init__(self, scene, names, **settings):
        """Start them in a scene that has allowed nothing yet."""
        self.scene, self.settings = scene.allow(LEASES), settings
        self.running = {}
        for name in names:
            self.start(name)

    def start(self, name):
        """Start one more."""
        space = self.scene.kube.namespace
        member = {"sharding": "Leases", "member_name": name, "member_group": space, "lease_namespace": space}
        self.running[name] = self.scene.operator(**member, log_level="debug", **self.settings)

    def said(self, member):
        """Give what a member has logged of its part of the work, in order."""
        lines = (line for line in self.scene.log.read_text().splitlines() if f'"member": "{member}"' in line)
        return [json.loads(line) for line in lines]

    def members(self, member):
        """Give who shares the work, as a member last heard."""
        heard = [one for one in self.said(member) if one["event"] == CHANGED]
        return set(heard[-1]["members"]) if heard else set()

    def all_know(self, *members):
        """Return whether these members, and no others, share the work as each of them knows."""
        return all(self.members(one) == set(members) for one in members)

    def taken(self, member):
        """Give the names of the resources that a member has taken over, and when it did."""
        return {one["name"].partition("/")[2]: at(one) for one in self.said(member) if one["event"] == TAKEN}

    def leases(self):
        """Give the names of the Leases that there are."""
        kube = self.scene.kube
        url = f"{kube.url}/apis/coordination.k8s.io/v1/namespaces/{kube.namespace}/leases"
        return {one["metadata"]["name"] for one in kube.session.get(url, timeout=10).json()["items"]}


def at(line):
    """Give when a line was logged, in seconds since 1970."""
    return datetime.fromisoformat(line["timestamp"]).timestamp()
