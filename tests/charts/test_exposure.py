"""How the gateway is reached from outside: its Service, an Ingress, or a route of the Gateway API."""

import pytest

from tests.charts.cases import BASE, CASES, ROUTES, Case, merged

PATHS = {("/", "Exact"), ("/api", "Prefix"), ("/docs", "Prefix"), ("/openapi.json", "Exact")}


@pytest.mark.parametrize(
    ("case", "wanted"),
    [
        ("production", {"type": "ClusterIP", "port": 8080}),
        ("exposed", {"type": "NodePort", "port": 8080, "nodePort": 30081}),
        ("balanced", {"type": "LoadBalancer", "port": 80}),
    ],
)
def test_the_gateway_is_exposed_as_told(rendered, case, wanted):
    """The gateway's Service has the type, the ports and the annotations of the values, and leads to the gateway."""
    service = rendered[case].named("Service")["cartwright-gateway"]
    port = service["spec"]["ports"][0]
    assert {
        "type": service["spec"]["type"],
        **{name: port[name] for name in ("port", "nodePort") if name in port},
    } == wanted
    annotations = CASES[case].values.get("gateway", {}).get("service", {}).get("annotations")
    assert service["metadata"].get("annotations") == annotations


def test_nothing_leads_in_unless_told(rendered):
    """By default there is neither an Ingress nor a route."""
    assert rendered["production"].of("Ingress", "HTTPRoute") == []


def test_an_ingress(rendered):
    """An Ingress leads its hosts, by TLS, to the gateway's Service, with the class, labels and annotations of the values."""
    rendering = rendered["routes"]
    (one,) = rendering.of("Ingress")
    asked = ROUTES["ingress"]
    assert one["spec"]["ingressClassName"] == "nginx"
    assert one["spec"]["tls"] == asked["tls"]
    assert one["metadata"]["annotations"] == asked["annotations"]
    assert one["metadata"]["labels"]["team"] == "edge"
    assert [rule["host"] for rule in one["spec"]["rules"]] == asked["hosts"]
    service = rendering.named("Service")["cartwright-gateway"]
    for rule in one["spec"]["rules"]:
        assert {(path["path"], path["pathType"]) for path in rule["http"]["paths"]} == PATHS
        for path in rule["http"]["paths"]:
            backend = path["backend"]["service"]
            assert backend["name"] == service["metadata"]["name"]
            assert backend["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}


def test_an_ingress_for_every_host(rendered):
    """Without hosts an Ingress answers for every host, with the cluster's default class and certificate."""
    (one,) = rendered["any-host"].of("Ingress")
    assert not {"ingressClassName", "tls"} & set(one["spec"])
    assert ["host" in rule for rule in one["spec"]["rules"]] == [False]


def test_a_route(rendered):
    """A route leads its hosts, from a Gateway's listener, to the gateway's Service and port."""
    rendering = rendered["routes"]
    (one,) = rendering.of("HTTPRoute")
    asked = ROUTES["httpRoute"]
    assert (one["spec"]["parentRefs"], one["spec"]["hostnames"]) == (asked["parentRefs"], asked["hostnames"])
    assert one["metadata"]["annotations"] == asked["annotations"]
    (rule,) = one["spec"]["rules"]
    kinds = {"PathPrefix": "Prefix", "Exact": "Exact"}
    assert {(match["path"]["value"], kinds[match["path"]["type"]]) for match in rule["matches"]} == PATHS
    assert rule["filters"] == asked["filters"]
    (backend,) = rule["backendRefs"]
    port = rendering.named("Service")["cartwright-gateway"]["spec"]["ports"][0]["port"]
    assert backend == {"name": "cartwright-gateway", "port": port}


def test_metrics_and_health_stay_inside(rendered):
    """No path that is led in by default has the gateway's metrics or health below it."""
    for path, kind in PATHS:
        for inside in ("/metrics", "/health", "/ready"):
            assert inside != path
            assert not (kind == "Prefix" and inside.startswith(path))
    assert rendered["routes"].done.returncode == 0


def test_a_route_without_a_gateway(render):
    """A route that belongs to no Gateway is refused in words."""
    done = render(Case(merged(BASE, {"gateway": {"httpRoute": {"enabled": True}}}))).done
    assert "gateway.httpRoute.parentRefs: say which Gateway" in done.stderr


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("paths", []),
        ("paths", [{"path": "api", "type": "Prefix"}]),
        ("ingress", {"hosts": ["Shop"]}),
        ("ingress", {"host": "a"}),
    ],
)
def test_wrong_routes(render, path, value):
    """Wrong paths and hosts are refused by their name."""
    assert f"/gateway/{path}" in render(Case(merged(BASE, {"gateway": {path: value}}))).done.stderr
