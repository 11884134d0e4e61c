"""Every combination of values that the charts support: by its name, what it sets over a smallest whole installation."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack.home import ROOT

CHART = ROOT / "charts" / "cartwright"
STORES = ROOT / "charts" / "cartwright-stores"
EXAMPLES = CHART / "examples"
DEV = (CHART / "values-dev.yaml",)
NAMESPACE = "shop"
URLS = {
    # Passwords that begin with a digit: a careless reader of URLs takes them for ports.
    "postgresql": "postgresql://app:5canary@pg.example:6432/ecommerce",
    "bankPostgresql": "postgresql://app:5canary@pg.example/bank",
    "mongodb": "mongodb://app:5canary@mongo-0.example:27018,mongo-1.example:27019/?replicaSet=rs0",
    "redis": "redis://:5canary@redis.example:6380/0",
}
CANARY = "5canary"
LONGEST = "a-release-whose-name-is-as-long-as-helm-lets-it-be-abc"[:53]


@dataclass(frozen=True)
class Case:
    """What one rendering sets: values, and files of values over them."""

    values: Mapping[str, Any]
    files: tuple[Path, ...] = ()
    release: str = "cartwright"


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Give two trees of values as one, the second over the first."""
    both = {name: merged(under[name], over[name]) for name in under.keys() & over.keys() if _trees(under, over, name)}
    return {**under, **over, **both}


def _trees(under: Mapping[str, Any], over: Mapping[str, Any], name: str) -> bool:
    return isinstance(under[name], Mapping) and isinstance(over[name], Mapping)


def secret(store: str) -> dict[str, Any]:
    """Give a store whose URL is in a secret."""
    return {"existingSecret": f"{store.lower()}-url"}


BASE: dict[str, Any] = {
    "auth": {"issuer": "https://id.example:8443/realm", "audience": "shop"},
    "stores": {
        "postgresql": secret("postgresql"),
        "mongodb": secret("mongodb"),
        "redis": secret("redis"),
        "kafka": {"bootstrapServers": "kafka-0.example:9092,kafka-1.example:9094"},
    },
    "services": {"payment": {"bankAddress": "dns:///bank.example:7443"}},
}
BANK = {"appEnv": "dev", "bank": {"enabled": True}, "stores": {"bankPostgresql": secret("bankPostgresql")}}
SCALED = {"autoscaling": {"enabled": True, "minReplicas": 3}}
SERVICES = ("gateway", "console", "product", "cart", "inventory", "payment", "orders", "checkout")
PLACED = {
    "nodeSelector": {"pool": "shop"},
    "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "shop", "effect": "NoSchedule"}],
    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "priorityClassName": "system-cluster-critical",  # the one that is on every cluster
    "annotations": {"example.com/scrape": "false"},
    "spreadOver": ["topology.kubernetes.io/zone"],
}
PEERS = {
    "gatewayFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}],
    "consoleFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "staff"}}}],
    "metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
}
OPENED = {
    "dnsPorts": [5353],
    "apiServerPorts": [8443],
    "extraEgress": [{"ports": [{"port": 9093}], "to": [{"namespaceSelector": {"matchLabels": {"team": "kafka"}}}]}],
}
RULES = {"enabled": True, "labels": {"release": "prometheus"}, "runbookUrl": "https://wiki.example/shop/runbooks"}
METRICS = {"enabled": True, "interval": "15s", "labels": {"release": "prometheus"}}


def _store(store: str, **more: Any) -> Case:
    bank = BANK if store == "bankPostgresql" else {}
    return Case(merged(merged(BASE, bank), {"stores": {store: more}}))


def _kafka(protocol: str, **more: Any) -> Case:
    return Case(merged(BASE, {"stores": {"kafka": {"securityProtocol": protocol, **more}}}))


def _with(*trees: Mapping[str, Any]) -> Case:
    values: Mapping[str, Any] = BASE
    for tree in trees:
        values = merged(values, tree)
    return Case(values)


# What a component may have of its own, with one value of each for the gateway, a worker, the operator and the migrations.
OWN = {
    "annotations": {"example.com/own": "1"},
    "labels": {"example.com/team": "own"},
    "nodeSelector": {"pool": "own"},
    "tolerations": [{"key": "own", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "priorityClassName": "system-node-critical",
    "securityContext": {"runAsUser": 12345, "fsGroup": 12345},
    "serviceAccountAnnotations": {"example.com/role": "own"},
    "extraEnv": [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
    "envFrom": [{"secretRef": {"name": "own", "optional": True}, "prefix": "OWN_"}],
    "extraVolumes": [{"name": "own", "emptyDir": {"sizeLimit": "1Mi"}}],
    "extraVolumeMounts": [{"name": "own", "mountPath": "/own"}],
}
RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
THEIRS = {"image": "busybox:1", "securityContext": RESTRICTED, "volumeMounts": OWN["extraVolumeMounts"]}
DEPLOYED = {
    "deploymentLabels": {"example.com/team": "own"},
    "deploymentAnnotations": {"example.com/reload": "true"},
    "extraContainers": [{"name": "proxy", **THEIRS}],
}
SPREAD = {
    "topologySpreadConstraints": [
        {"maxSkew": 2, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
    ],
    "podDisruptionBudget": {"minAvailable": "50%"},
}
SERVED = SPREAD | {"minReadySeconds": 7}
FIRST = {"initContainers": [{"name": "first", **THEIRS}]}
COMPONENTS: dict[str, dict[str, Any]] = {
    "services.gateway": OWN | FIRST | DEPLOYED | SERVED,
    "services.checkout": OWN | FIRST | DEPLOYED | SERVED,
    "services.checkout.workers.recovery": OWN | FIRST | DEPLOYED | SERVED | {"replicas": 2},
    "operator": OWN | FIRST | DEPLOYED | SPREAD | {"replicas": 2},
    "migrations": OWN | FIRST,
}
ROUTES = {
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"cert-manager.io/cluster-issuer": "public"},
        "labels": {"team": "edge"},
        "hosts": ["shop.example", "www.shop.example"],
        "tls": [{"secretName": "shop-tls", "hosts": ["shop.example", "www.shop.example"]}],
    },
    "httpRoute": {
        "enabled": True,
        "annotations": {"example.com/a": "b"},
        "labels": {"team": "edge"},
        "parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "https"}],
        "hostnames": ["shop.example"],
        "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x-user-id"]}}],
    },
}
BEHAVIOR = {"scaleDown": {"stabilizationWindowSeconds": 600}}
MEMORY = {
    "type": "Resource",
    "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 80}},
}
SELECTOR = {
    "matchLabels": {"shop.example/team": "a"},
    "matchExpressions": [
        {"key": "tier", "operator": "In", "values": ["gold", "silver"]},
        {"key": "trial", "operator": "DoesNotExist"},
        {"key": "region", "operator": "NotIn", "values": ["us"]},
        {"key": "ticket", "operator": "Exists"},
    ],
}
TRACES = {
    "endpoint": "http://otel-collector.observability:4318",
    "ratio": 0.05,
    "slow": "500ms",
    "headersSecret": "otel",
    "viewerUrl": "https://jaeger.example/trace/{trace_id}",
}
KAFKA_USER = {"username": "shop", "existingSecret": "kafka-user"}
CASES: dict[str, Case] = {
    "production": _with(),
    "dev": Case({}, DEV),
    "dev-deployments": Case({"workers": {"mode": "deployment"}}, DEV),
    "deployments": _with({"workers": {"mode": "deployment"}}),
    "mock-users": _with({"appEnv": "dev", "auth": {"mode": "mock"}}),
    "jwt-in-full": _with(
        {"auth": {"jwksUrl": "https://keys.example:9443/keys", "userClaim": "uid", "algorithms": "ES256"}}
    ),
    "cors": _with({"gateway": {"corsOrigins": ["https://shop.example.com", "http://localhost:3000"]}}),
    **{
        f"{store}-{how}": _store(store, **more)
        for store in URLS
        for how, more in {
            "url": {"url": URLS[store], "existingSecret": ""},
            "host": {"existingSecret": "password", "host": "db.example", "port": 1234, "parameters": "a=b&c=d"},
            "authority": {"caSecret": "authority", "caKey": "tls-ca.crt", "urlKey": "uri"},
        }.items()
    },
    "urls": _with(BANK, {"stores": {store: {"url": url, "existingSecret": ""} for store, url in URLS.items()}}),
    "redis-tls": _store("redis", existingSecret="password", host="db.example", tls=True, username="shop", database="3"),
    "kafka-ssl": _kafka("SSL", caSecret="authority"),
    "kafka-sasl": _kafka("SASL_PLAINTEXT", saslMechanism="PLAIN", **KAFKA_USER),
    "kafka-sasl-ssl": _kafka("SASL_SSL", caSecret="authority", topic="shop.checkouts", **KAFKA_USER),
    "bank": _with(BANK),
    "traces": _with({"traces": TRACES}),
    "operators": _with({"operator": {"replicas": 3}}),
    "no-operator": _with({"operator": {"enabled": False}}),
    "no-auditor": _with({"auditor": {"enabled": False}, "networkPolicy": PEERS, "prometheusRule": RULES}),
    "audits": _with(
        {"auditor": {"after": "2m", "every": "1m", "cronJob": {"schedule": "30 2 * * *", "suspend": False}}}
    ),
    "no-definition": _with({"crds": {"enabled": False}}),
    "definition-not-kept": _with({"crds": {"keep": False}}),
    "scaled": _with({"services": dict.fromkeys(SERVICES, SCALED)}),
    "scaled-deployments": _with({"services": dict.fromkeys(SERVICES, SCALED), "workers": {"mode": "deployment"}}),
    "one-of-each": _with({"services": {name: {"replicas": 1} for name in SERVICES}}),
    "open-network": _with({"networkPolicy": {"enabled": False}}),
    "peers": _with(BANK, {"networkPolicy": PEERS}),
    "peers-deployments": _with({"networkPolicy": PEERS, "workers": {"mode": "deployment"}}),
    "metrics": _with(BANK, {"serviceMonitor": METRICS}),
    "rules": _with({"serviceMonitor": METRICS, "prometheusRule": RULES}),
    "dashboards": _with({"dashboards": {"enabled": True, "annotations": {"grafana_folder": "Shop"}}}),
    "metrics-deployments": _with({"serviceMonitor": METRICS, "workers": {"mode": "deployment"}}),
    "opened": _with(BANK, {"networkPolicy": OPENED}),
    "issuer-authority": _with({"auth": {"caSecret": "authority", "caKey": "tls-ca.crt"}}),
    "workers-apart": _with(
        {"workers": {"mode": "deployment"}, "services": {"cart": {"workers": {"consumer": {"replicas": 3}}}}}
    ),
    "plain-bank": _with({"services": {"payment": {"bankTls": False}}}),
    "no-migrations": _with({"migrations": {"enabled": False}}),
    "test-items": _with({"test": {"items": [{"productId": 2, "quantity": 3}], "userId": 2**40}}),
    "digests": _with({"image": {"digests": {"services": f"sha256:{'0' * 64}", "operator": f"sha256:{'f' * 64}"}}}),
    "pulled": _with({"image": {"registry": "r.example/x", "tag": "12", "pullPolicy": "Always", "pullSecrets": ["r"]}}),
    "labels": _with({"commonLabels": {"team": "shop"}}),
    "placed": _with({"pods": PLACED}),
    "exposed": _with({"gateway": {"service": {"type": "NodePort", "nodePort": 30081, "annotations": {"a": "b"}}}}),
    "balanced": _with({"gateway": {"service": {"type": "LoadBalancer", "port": 80}}}),
    "own-variables": _with(
        {
            "services": {
                "checkout": {
                    "env": {"CHECKOUT_TIMEOUT": "10m", "GRPC_REFLECTION": "1"},
                    "workers": {"relay": {"env": {"LOG_LEVEL": "debug"}}},
                }
            },
            "operator": {"env": {"LOG_LEVEL": "debug", "COMPARE_EVERY": "30"}},
        }
    ),
    "mirrors": _with({"operator": {"mirror": {"mode": "None", "maxWritesPerSecond": 5, "maxObjects": 100_000}}}),
    "slow-drain": _with({"drain": {"delaySeconds": 30, "timeoutSeconds": 120}}),
    "routes": _with({"gateway": ROUTES}),
    "any-host": _with({"gateway": {"ingress": {"enabled": True}, "service": {"port": 80}}}),
    "renamed": _with(BANK, {"fullnameOverride": "store", "nameOverride": "checkout-platform"}),
    "chart-renamed": _with(BANK, {"nameOverride": "tills"}),
    "umbrella-images": _with(
        {"global": {"imageRegistry": "r.example:5000", "imagePullSecrets": ["a", {"name": "b"}]}},
        {"image": {"pullSecrets": ["c", "a"]}},
    ),
    "open-shift": _with({"pods": {"securityContext": {"runAsUser": None, "runAsGroup": None}}}),
    "budgets": _with(
        {"pods": {"podDisruptionBudget": {"maxUnavailable": "25%", "unhealthyPodEvictionPolicy": "IfHealthyBudget"}}},
        {"services": {"cart": {"podDisruptionBudget": {"minAvailable": 1}}}},
        {"services": {"orders": {"podDisruptionBudget": {"enabled": False}}}},
    ),
    "scaling-told": _with(
        {"services": {"cart": {"autoscaling": {"enabled": True, "behavior": BEHAVIOR, "metrics": [MEMORY]}}}}
    ),
    "watch-list": _with({"watch": {"namespaces": ["team-b", "shop", "team-a"]}}),
    "watch-others": _with(
        {"watch": {"namespaces": ["team-a"], "selector": SELECTOR}, "operator": {"mirror": {"namespace": "mirrors"}}}
    ),
    "watch-all": _with({"watch": {"allNamespaces": True}, "operator": {"mirror": {"namespace": "mirrors"}}}),
    "buyers-unchecked": _with({"admission": {"checkBuyer": False}}),
    "roles": _with({"rbac": {"aggregateClusterRoles": True}}),
    "no-hook": _with(BANK, {"migrations": {"hook": False}}, {"stores": {"postgresql": {"caSecret": "authority"}}}),
    "no-hook-deployments": _with(BANK, {"migrations": {"hook": False}, "workers": {"mode": "deployment"}}),
    "failed-job-kept": _with({"migrations": {"keepFailed": True, "deadlineSeconds": 900, "backoffLimit": 6}}),
    "release-of-digits": Case(merged(BASE, BANK | {"fullnameOverride": "shop"}), release="20261125"),
    "other-release": Case(merged(BASE, BANK), release="eu"),
    "longest-release": Case(merged(merged(BASE, BANK), {"workers": {"mode": "deployment"}}), release=LONGEST),
    **{path.stem: Case(BASE, (path,)) for path in sorted(EXAMPLES.glob("*-values.yaml"))},
    "external-alone": Case({}, (EXAMPLES / "external-values.yaml",)),
    "operators-together": Case(
        {name: BASE[name] for name in ("auth", "services")},
        tuple(EXAMPLES / f"{name}-values.yaml" for name in ("cloudnativepg-verified", "mongodb", "redis", "strimzi")),
    ),
}


def _own() -> dict[str, Any]:
    values: dict[str, Any] = {}
    for path, own in COMPONENTS.items():
        tree: dict[str, Any] = own
        for name in reversed(path.split(".")):
            tree = {name: tree}
        values = merged(values, tree)
    return values


# What is the user's own, containers and objects of theirs among it: held to what the values say, not to our rules for pods.
EXTENDED: dict[str, Case] = {
    "own-sidecars": Case(merged(BASE, _own())),
    "own-deployments": Case(merged(merged(BASE, _own()), {"workers": {"mode": "deployment"}})),
    "own-no-hook": Case(merged(merged(BASE, _own()), {"migrations": {"hook": False}})),
    "own-for-all": Case(merged(BASE, {"pods": OWN | FIRST | DEPLOYED | SERVED})),
    "own-objects": Case(
        BASE
        | {
            "extraObjects": [
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": "{{ .Release.Name }}-more"},
                    "data": {"tag": "20261125"},
                },
                'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ include "cartwright.name" . }}-text}\n',
            ]
        }
    ),
    **{path.stem: Case({}, (path,)) for path in sorted((CHART / "ci").glob("*-values.yaml"))},
}
