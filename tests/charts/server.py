"""An API server of our own that looks at what a chart makes and keeps nothing of it."""

import json

from tests.charts.cases import NAMESPACE
from tests.kube import Kube

APPLY = {"Content-Type": "application/apply-patch+yaml"}
STRICT = {"dryRun": "All", "fieldValidation": "Strict", "fieldManager": "helm", "force": "true"}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
SELECTOR = {"type": "object", "properties": {"matchLabels": TEXTS}}
RELABELING = {
    "sourceLabels": {"type": "array", "items": {"type": "string"}},
    "regex": {"type": "string"},
    "targetLabel": {"type": "string"},
    "replacement": {"type": "string"},
    "action": {"type": "string", "enum": ["keep", "drop", "replace"]},
}
ENDPOINT = {
    "port": {"type": "string"},
    "path": {"type": "string"},
    "interval": {"type": "string", "pattern": r"^\d+(ms|s|m|h)$"},
    "relabelings": {"type": "array", "items": {"type": "object", "properties": RELABELING}},
}


REFERENCE = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "namespace": {"type": "string"}, "sectionName": {"type": "string"}},
}
BACKEND = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "port": {"type": "integer", "minimum": 1, "maximum": 65535}},
}
PATH = {"type": {"type": "string", "enum": ["Exact", "PathPrefix"]}, "value": {"type": "string"}}
MATCH = {"type": "object", "properties": {"path": {"type": "object", "required": ["type"], "properties": PATH}}}
RULE = {
    "matches": {"type": "array", "items": MATCH},
    "filters": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    "backendRefs": {"type": "array", "items": BACKEND},
}
ROUTE = {
    "parentRefs": {"type": "array", "items": REFERENCE},
    "hostnames": {"type": "array", "items": {"type": "string"}},
    "rules": {"type": "array", "items": {"type": "object", "properties": RULE}},
}
PROMETHEUS_RULE = {
    "type": "object",
    "required": ["expr"],
    "properties": {
        "alert": {"type": "string"},
        "record": {"type": "string"},
        "expr": {"type": "string"},
        "for": {"type": "string", "pattern": r"^\d+(ms|s|m|h)$"},
        "labels": TEXTS,
        "annotations": TEXTS,
    },
}
RULE_GROUP = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "rules": {"type": "array", "items": PROMETHEUS_RULE}},
}
RULE_GROUPS = {"groups": {"type": "array", "items": RULE_GROUP}}


def monitor(kind, endpoints):
    """Give the definition of a resource of Prometheus' operator, with the fields that the chart may use."""
    listed = {"type": "array", "items": {"type": "object", "properties": ENDPOINT, "required": ["port"]}}
    spec = {"type": "object", "required": ["selector"], "properties": {"selector": SELECTOR, endpoints: listed}}
    return definition(kind, "monitoring.coreos.com", spec)


def definition(kind, group, spec, **annotations):
    """Give the definition of a resource of somebody else's, with the fields that the chart may use."""
    plural = f"{kind.lower()}s"
    version = {"name": "v1", "served": True, "storage": True}
    version["schema"] = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}", "annotations": annotations},
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


class Server:
    """An API server with a namespace that is held to the strictest of the pod security standards."""

    def __init__(self, stack, eventually):
        self.kube = Kube(stack.home.kubeconfig)
        self.paths = {}
        held = {f"pod-security.kubernetes.io/{how}": "restricted" for how in ("enforce", "warn")}
        self.keep({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": held}})
        for namespace in ("team-a", "team-b", "mirrors"):
            self.keep({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        self.keep(monitor("ServiceMonitor", "endpoints"))
        self.keep(monitor("PodMonitor", "podMetricsEndpoints"))
        self.keep(definition("PrometheusRule", "monitoring.coreos.com", {"type": "object", "properties": RULE_GROUPS}))
        eventually(lambda: self.path("monitoring.coreos.com/v1", "PrometheusRule"))
        eventually(lambda: self.path("monitoring.coreos.com/v1", "ServiceMonitor"))
        eventually(lambda: self.path("monitoring.coreos.com/v1", "PodMonitor"))
        approved = {
            "api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api"
        }  # their group asks for it
        route = definition(
            "HTTPRoute", "gateway.networking.k8s.io", {"type": "object", "properties": ROUTE}, **approved
        )
        self.keep(route)
        eventually(lambda: self.path("gateway.networking.k8s.io/v1", "HTTPRoute"))

    def path(self, version, kind, namespace=NAMESPACE):
        """Give where objects of a kind are, as the server itself says."""
        if (version, kind) not in self.paths:
            base = f"{self.kube.url}/{'api' if version == 'v1' else 'apis'}/{version}"
            for one in self.kube.session.get(base, timeout=10).json().get("resources", ()):
                if "/" not in one["name"]:
                    space = "/namespaces/{}" if one["namespaced"] else ""
                    self.paths[version, one["kind"]] = f"{base}{space}/{one['name']}"
        return self.paths[version, kind].format(namespace)

    def apply(self, one, **query):
        """Apply an object, and give the server's answer."""
        where = self.path(one["apiVersion"], one["kind"], one["metadata"].get("namespace", NAMESPACE))
        url = f"{where}/{one['metadata']['name']}"
        return self.kube.session.patch(url, data=json.dumps(one), params=query, headers=APPLY, timeout=30)

    def keep(self, one):
        """Apply an object that the checks need."""
        answer = self.apply(one, fieldManager="tests")
        assert answer.status_code in {200, 201}, answer.text

    def remove(self, one):
        """Delete an object that the checks needed."""
        where = self.path(one["apiVersion"], one["kind"], one["metadata"].get("namespace", NAMESPACE))
        answer = self.kube.session.delete(f"{where}/{one['metadata']['name']}", timeout=30)
        assert answer.ok, answer.text

    def complaints(self, one):
        """Give what the server has against an object: nothing of it is kept."""
        answer = self.apply(one, **STRICT)
        warned = [answer.headers["Warning"]] if "Warning" in answer.headers else []
        return warned if answer.ok else [*warned, answer.json()["message"]]
