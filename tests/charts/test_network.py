"""Who can reach whom: addresses, Services, and the policies that close everything else."""

import re

from tests.charts.rendering import Pod, fits, literals

CALLS = {
    "gateway": {"product", "cart", "orders", "checkout"},
    "console": {"checkout", "payment", "inventory", "orders", "product"},
    "cart": {"product"},
    "checkout": {"cart", "product", "inventory", "payment"},
    "payment": {"bank"},
    "operator": {"checkout"},
}
GRPC = {
    "product": 50051,
    "cart": 50052,
    "inventory": 50053,
    "payment": 50054,
    "orders": 50055,
    "checkout": 50056,
    "bank": 50058,
}
APISERVER = {443, 6443}


def called(pod: Pod) -> dict[str, int]:
    """Give the components that a pod calls by the addresses that it was told, and their ports."""
    found = {}
    for container in pod.containers:
        for value in literals(container).values():
            if match := re.fullmatch(r"dns:///[\w-]*?([a-z]+):(\d+)", value):
                found[match[1]] = int(match[2])
    return found


def measured(pod):
    """Give the components whose metrics a pod was told to read, and at which ports."""
    found = {}
    for container in pod.containers:
        for one in filter(None, literals(container).get("METRICS_ADDRS", "").split(",")):
            part, port = one.partition("=")[0], int(one.rpartition(":")[2])
            component = part.partition("-")[0]
            assert re.search(rf"=[\w-]*?{component}:\d+$", one), one
            found.setdefault(component, set()).add(port)
    return found


def rules(rendering, pod, way):
    """Give the rules of one way, `ingress` or `egress`, of the policies that hold for a pod."""
    policies = [one["spec"] for one in rendering.of("NetworkPolicy") if fits(one["spec"]["podSelector"], pod.labels)]
    assert any(way.capitalize() in one["policyTypes"] for one in policies), pod.name
    return [rule for one in policies for rule in one.get(way) or []]


def open_to(rule, far, labels):
    """Whether a rule holds for a pod with these labels; a peer of another namespace is nobody of ours."""
    if far not in rule:
        return True
    return any(set(peer) == {"podSelector"} and fits(peer["podSelector"], labels) for peer in rule[far])


DNS = {(53, "UDP"), (53, "TCP")}


def ports_of(rule):
    """Give the ports of a rule; none for the one of DNS."""
    ports = {(one["port"], one.get("protocol")) for one in rule["ports"]}
    return set() if ports == DNS else {port for port, _ in ports}


def reach(rendering, source, target):
    """Give the ports at which a pod can reach another."""
    out = set().union(
        *(ports_of(rule) for rule in rules(rendering, source, "egress") if open_to(rule, "to", target.labels))
    )
    into = set().union(
        *(ports_of(rule) for rule in rules(rendering, target, "ingress") if open_to(rule, "from", source.labels))
    )
    return out & into


def closed(rendering):
    """Whether the case closes the network."""
    return rendering.case.values.get("networkPolicy", {}).get("enabled", True)


def test_calls_are_those_of_the_platform(rendering):
    """Each component is told the addresses of those that it calls, and of nobody else."""
    for pod in rendering.pods:
        for container in pod.containers:
            service = (container.get("args") or ["services.operator"])[0].split(".")[1]
            told = {name.removesuffix("_ADDR").lower() for name in literals(container) if name.endswith("_ADDR")}
            migrates = container.get("args", [])[1:] == ["migrate"]
            calls_nobody = pod.component == "test" or migrates or container["name"] == "relay"
            wanted = set() if calls_nobody else CALLS.get(service, set())
            assert told == wanted, f"{pod.name}: {container['name']}"


def test_addresses_lead_somewhere(rendering):
    """Every address within the platform is that of a headless Service with a port that leads to the pods' gRPC."""
    services = rendering.named("Service")
    addresses = {
        value
        for pod in rendering.pods
        for container in pod.containers
        for name, value in literals(container).items()
        if name.endswith("_ADDR") and "example" not in value
    }
    assert addresses
    for address in addresses:
        scheme, name, port = re.fullmatch(r"(dns:///)([^:]+):(\d+)", address).groups()
        assert scheme, address  # every replica is looked up, and each gets its share
        service = services[name]["spec"]
        assert service["clusterIP"] == "None", name
        assert {"name": "grpc", "port": int(port), "targetPort": "grpc", "appProtocol": "kubernetes.io/h2c"} in service[
            "ports"
        ]


def test_services_lead_to_ports_that_are_there(rendering):
    """Every port of a Service leads to a port of its pods, and every service but those that people call has a Service with its own two."""
    for name, service in rendering.named("Service").items():
        component = service["metadata"]["labels"]["app.kubernetes.io/component"]
        serving = rendering.pod(component).spec["containers"][0]
        there = {one["name"]: one["containerPort"] for one in serving["ports"]}
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in there, name
            assert component == "gateway" or port["port"] == there[port["targetPort"]], name
    components = {one["metadata"]["labels"]["app.kubernetes.io/component"] for one in rendering.of("Service")}
    optional = {"bank", "auditor"}
    assert components - optional == {*GRPC, "gateway", "console"} - optional


def test_everything_is_closed(rendering):
    """Every pod is held both ways, unless the values leave the network open."""
    if not closed(rendering):
        assert rendering.of("NetworkPolicy") == []
        return
    for pod in rendering.pods:
        assert rules(rendering, pod, "egress") is not None
        assert rules(rendering, pod, "ingress") is not None


def test_pods_reach_those_whom_they_call_and_nobody_else(rendering):
    """A pod reaches another at exactly the ports that it has an address for."""
    if not closed(rendering):
        return
    pods = [pod for pod in rendering.pods if pod.lasts]
    for source in rendering.pods:
        calls = called(source)
        for target in pods:
            if target.component in {"gateway", "console"}:
                continue
            wanted = {calls[target.component]} if target.component in calls else set()
            wanted |= measured(source).get(target.component, set())
            assert reach(rendering, source, target) == wanted, f"{source.name} → {target.name}"


def test_nobody_enters_but_by_the_gateway(rendering):
    """From outside the platform only the gateway's port can be reached, and metrics by those whom the values name."""
    if not closed(rendering):
        return
    asked = rendering.case.values.get("networkPolicy", {})
    for pod in rendering.pods:
        outside = [rule for rule in rules(rendering, pod, "ingress") if not _ours(rule)]
        ports = [one["containerPort"] for container in pod.containers for one in container.get("ports", ())]
        wanted = []
        if pod.component == "gateway":
            wanted.append(({8080}, asked.get("gatewayFrom")))
        if pod.component == "console" and asked.get("consoleFrom"):
            wanted.append(({8090}, asked["consoleFrom"]))
        if peers := asked.get("metricsFrom"):
            metrics = {port for port in ports if port not in GRPC.values()}
            wanted += [(metrics, peers)] if metrics else []
        assert [(ports_of(rule), rule.get("from")) for rule in outside] == wanted, pod.name


def _ours(rule):
    return "from" in rule and all("namespaceSelector" not in peer for peer in rule["from"])


def test_every_pod_finds_names(rendering):
    """Every pod may ask the cluster's DNS, at the ports that the values say."""
    if not closed(rendering):
        return
    wanted = {
        (port, protocol)
        for port in rendering.case.values.get("networkPolicy", {}).get("dnsPorts", [53])
        for protocol in ("UDP", "TCP")
    }
    for pod in rendering.pods:
        found = [
            {(one["port"], one.get("protocol")) for one in rule["ports"]} for rule in rules(rendering, pod, "egress")
        ]
        assert wanted in found, pod.name


def test_the_migration_needs_no_policy_of_before(rendered):
    """At the first install and in an upgrade to other stores the job has its own way out, before anything else is there."""
    policy = rendered["production"].named("NetworkPolicy")["cartwright-migrations"]
    hooks = policy["metadata"]["annotations"]
    assert hooks["helm.sh/hook"] == "pre-install,pre-upgrade"
    job = rendered["production"].of("Job")[0]["metadata"]["annotations"]
    assert int(hooks["helm.sh/hook-weight"]) < int(job["helm.sh/hook-weight"])
    ports = [{(one["port"], one.get("protocol")) for one in rule["ports"]} for rule in policy["spec"]["egress"]]
    assert DNS in ports


def test_more_can_be_opened(rendered):
    """What the values add holds for every pod, and the API server is where they say."""
    case = rendered["opened"]
    (extra,) = case.case.values["networkPolicy"]["extraEgress"]
    for pod in case.pods:
        assert extra in rules(case, pod, "egress"), pod.name
    out = [ports_of(rule) for rule in rules(case, case.pod("operator"), "egress")]
    assert {8443} in out


def test_pods_leave_for_their_stores_alone(rendering):
    """Out of the platform a pod reaches the ports of its stores, of the issuer, of the provider and of the API server."""
    if not closed(rendering) or rendering.case.files or "dnsPorts" in rendering.case.values.get("networkPolicy", {}):
        return
    stores = rendering.case.values["stores"]
    for pod in rendering.pods:
        variables = {one["name"] for container in pod.containers for one in container["env"]}
        if pod.component == "migrations":
            variables.discard("REDIS_URL")  # the cart's settings ask for it, but a cache needs no migration
        wanted = set().union(*(_store_ports(stores, store) for store, name in STORES.items() if name in variables))
        if pod.component in {"gateway", "console"} and rendering.case.values["auth"].get("mode", "jwt") == "jwt":
            wanted |= {443, 8443} | ({9443} if "jwksUrl" in rendering.case.values["auth"] else set())
        if pod.component.partition("-")[0] == "payment" and not rendering.case.values.get("bank"):
            wanted |= {7443}
        operated = rendering.case.values.get("operator", {}).get("enabled", True)
        if pod.component in {"operator", "test"} or (pod.component in {"auditor", "audit"} and operated):
            wanted |= APISERVER
        out = set().union(*(ports_of(rule) for rule in rules(rendering, pod, "egress") if "to" not in rule))
        assert out == wanted, pod.name


STORES = {
    "postgresql": "POSTGRES_URL",
    "bankPostgresql": "BANK_POSTGRES_URL",
    "mongodb": "MONGODB_URL",
    "redis": "REDIS_URL",
    "kafka": "KAFKA_BOOTSTRAP_SERVERS",
}
USUAL = {"postgresql": 5432, "bankPostgresql": 5432, "mongodb": 27017, "redis": 6379}
IN_URLS = {"postgresql": {6432}, "bankPostgresql": {5432}, "mongodb": {27018, 27019}, "redis": {6380}}


def _store_ports(stores, store):
    """Give the ports of a store: of its URL, of its settings, or the usual one."""
    if store == "kafka":
        return {int(one.rpartition(":")[2]) for one in stores["kafka"]["bootstrapServers"].split(",")}
    given = stores.get(store, {})
    return IN_URLS[store] if given.get("url") else {given.get("port", USUAL[store])}


def test_metrics_are_read_once_each(rendered):
    """Prometheus' operator finds every process's metrics once: services by their Service, workers and the operator by pod."""
    for case in ("metrics", "metrics-deployments"):
        rendering = rendered[case]
        monitor, pod_monitor = rendering.of("ServiceMonitor")[0], rendering.of("PodMonitor")[0]
        found = []
        for service in rendering.of("Service"):
            if fits(monitor["spec"]["selector"], service["metadata"]["labels"]):
                ports = {one["name"] for one in service["spec"]["ports"]}
                hits = [one for one in monitor["spec"]["endpoints"] if one["port"] in ports]
                found += [service["metadata"]["labels"]["app.kubernetes.io/component"]] * len(hits)
        for endpoint in pod_monitor["spec"]["podMetricsEndpoints"]:
            kept = [one["regex"] for one in endpoint.get("relabelings", []) if one.get("action") == "keep"]
            for pod, container in rendering.platform:
                has = endpoint["port"] in {one["name"] for one in container["ports"]}
                if has and fits(pod_monitor["spec"]["selector"], pod.labels) and (not kept or pod.component in kept):
                    found.append(container["name"] if container in pod.sidecars else pod.component)
        processes = [one["name"] if one in pod.sidecars else pod.component for pod, one in rendering.platform]
        assert sorted(found) == sorted(processes)
        for one in (monitor, pod_monitor):
            assert one["metadata"]["labels"]["release"] == "prometheus"
            endpoints = one["spec"].get("endpoints") or one["spec"]["podMetricsEndpoints"]
            assert {(each["path"], each["interval"]) for each in endpoints} == {("/metrics", "15s")}
    assert "ServiceMonitor" not in {one["kind"] for one in rendered["production"].objects}
