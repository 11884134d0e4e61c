"""What every pod of the platform is held to."""

import json
import re

import pytest

from tests.charts.rendering import fits, literals

STANDARD = {"name", "instance", "component", "part-of", "version", "managed-by"}
OPERATORS = {"operator", "test"}  # what runs the operator's image
TOKENS = OPERATORS | {"auditor", "audit"}  # who may speak to the API server


def test_pods_run_as_nobody(rendering):
    """Every pod runs as a user that is not root, fixed or the cluster's choice, under the runtime's own seccomp profile."""
    asked = rendering.case.values.get("pods", {}).get("securityContext", {})
    wanted = {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001} | asked
    wanted = {name: value for name, value in wanted.items() if value is not None}
    for pod in rendering.pods:
        assert pod.spec["securityContext"] == wanted | {"seccompProfile": {"type": "RuntimeDefault"}}, pod.name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod.spec), pod.name


def test_containers_can_do_nothing_more(rendering):
    """Every container has a root that cannot be written, no capability, and no way to more rights; none says otherwise."""
    wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    for pod in rendering.pods:
        for container in pod.containers:
            assert container["securityContext"] == wanted, f"{pod.name}: {container['name']}"


def test_containers_have_requests_and_limits(rendering):
    """Every container asks for CPU and memory, and is bounded in both."""
    for pod in rendering.pods:
        for container in pod.containers:
            for bound in ("requests", "limits"):
                assert {"cpu", "memory"} <= set(container["resources"][bound]), f"{pod.name}: {container['name']}"


def test_images_are_named_exactly(rendering):
    """Every image has a digest, or a tag that does not move."""
    for pod in rendering.pods:
        for container in pod.containers:
            assert re.search(r"(@sha256:[0-9a-f]{64}|:[\w.-]+)$", container["image"]), container["image"]
            assert not container["image"].endswith(":latest")


def test_probes_fit_what_runs(rendering):
    """Services with gRPC are probed by gRPC and all others by HTTP, on a port that they have, for start, life and readiness."""
    for pod, container in rendering.platform:
        ports = {one["name"]: one["containerPort"] for one in container["ports"]}
        for name in ("startupProbe", "livenessProbe"):
            probe = container[name]
            if "exec" in probe:  # it listens on the loopback of its pod alone
                assert (pod.component, literals(container)["LISTEN_HOST"]) == ("console", "127.0.0.1")
                assert f":{ports['http']}/health" in probe["exec"]["command"][-1]
                continue
            port = probe["grpc"]["port"] if "grpc" in ports else probe["httpGet"]["port"]
            assert port in ports.values(), f"{pod.name}: {container['name']}: {name}"
            assert "httpGet" in probe or port == ports["grpc"]
        if pod.component in {"gateway", "operator"}:
            assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
        elif "grpc" in ports:
            assert container["readinessProbe"]["grpc"]["port"] == ports["grpc"]


def test_workers_take_no_service_out(rendering):
    """No worker has a readiness probe: Kafka being away must not take the API that it stands beside out of service."""
    for pod, container in rendering.platform:
        worker = container in pod.sidecars or "-" in pod.component
        assert worker is ("readinessProbe" not in container), f"{pod.name}: {container['name']}"


def test_workers_start_first_and_end_last(rendering):
    """What stands beside a service is a native sidecar; before all of them come migrations, and nothing else."""
    for pod in rendering.pods:
        first = pod.containers[: len(pod.containers) - len(pod.sidecars) - len(pod.spec["containers"])]
        assert all(one["args"][1:] == ["migrate"] for one in first), pod.name


def test_pods_may_drain_in_peace(rendering):
    """No pod is killed before both parts of its drain can be over."""
    for pod, container in rendering.platform:
        told = literals(container)
        drain = sum(int(told[name].removesuffix("s")) for name in ("DRAIN_DELAY", "DRAIN_TIMEOUT") if name in told)
        assert pod.spec["terminationGracePeriodSeconds"] > drain, pod.name


def test_tokens_are_for_those_who_need_one(rendering):
    """Only the operator, the chart's own test and, where there is an operator, the auditor get a token for the API server."""
    accounts = rendering.named("ServiceAccount")
    for pod in rendering.pods:
        named = pod.spec.get("serviceAccountName")
        account = accounts[named] if named else {}
        mounts = pod.spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
        operated = rendering.case.values.get("operator", {}).get("enabled", True)
        assert mounts is (pod.component in (TOKENS if operated else {"test"})), pod.name
        assert pod.spec["enableServiceLinks"] is False, pod.name


def test_every_object_says_what_it_is(rendering):
    """Every object and every pod has the usual labels, and those that the values ask for."""
    asked = rendering.case.values.get("commonLabels", {})
    labelled = [one["metadata"]["labels"] for one in rendering.objects] + [pod.labels for pod in rendering.pods]
    for labels in labelled:
        assert {name.removeprefix("app.kubernetes.io/") for name in labels} >= STANDARD
        assert labels["app.kubernetes.io/instance"] == rendering.case.release
        assert asked.items() <= labels.items()


def test_selectors_find_their_own_pods(rendering):
    """A deployment, a budget and a Service each find pods, and those of one component alone."""
    pods = [pod for pod in rendering.pods if pod.lasts]
    for one in rendering.of("Deployment", "PodDisruptionBudget", "Service"):
        selector = one["spec"]["selector"]
        found = [
            pod
            for pod in pods
            if fits(selector if "matchLabels" in selector else {"matchLabels": selector}, pod.labels)
        ]
        assert [pod.component for pod in found] == [one["metadata"]["labels"]["app.kubernetes.io/component"]]
        for spread in found[0].spec.get("topologySpreadConstraints", []):
            assert fits(spread["labelSelector"], found[0].labels)


def test_mounts_have_volumes(rendering):
    """What is mounted is a volume of the pod, and what is a volume is mounted: an authority's file stands where a variable says."""
    for pod in rendering.pods:
        mounted = {one["name"] for container in pod.containers for one in container.get("volumeMounts", [])}
        assert mounted == {one["name"] for one in pod.spec.get("volumes", [])}, pod.name
        for container in pod.containers:
            if file := literals(container).get("KAFKA_CA_FILE"):
                folders = [one["mountPath"] for one in container["volumeMounts"]]
                assert any(file == f"{folder}/ca.crt" for folder in folders)


@pytest.mark.parametrize("store", ["postgresql", "bankPostgresql", "mongodb", "redis", "kafka"])
def test_authorities_go_to_those_who_need_them(rendered, store):
    """A store's authority is mounted, by the key that was named, in every container that speaks to that store, and in no other."""
    case = "kafka-ssl" if store == "kafka" else f"{store}-authority"
    key = "ca.crt" if store == "kafka" else "tls-ca.crt"
    variable = {"postgresql": "POSTGRES_URL", "bankPostgresql": "BANK_POSTGRES_URL", "mongodb": "MONGODB_URL"}
    variable |= {"redis": "REDIS_URL", "kafka": "KAFKA_BOOTSTRAP_SERVERS"}
    speakers = 0
    for pod in rendered[case].pods:
        for container in pod.containers:
            speaks = any(one["name"] == variable[store] for one in container["env"])
            folders = [one["mountPath"] for one in container.get("volumeMounts", [])]
            assert folders == ([f"/etc/cartwright/{store}"] if speaks else []), f"{pod.name}: {container['name']}"
            speakers += speaks
        for volume in pod.spec.get("volumes", []):
            assert volume["secret"] == {"secretName": "authority", "items": [{"key": key, "path": "ca.crt"}]}
    assert speakers


def test_the_issuers_authority_goes_to_the_gateway(rendered):
    """The authority of the issuer's certificate is mounted where tokens are checked alone, where its variable says."""
    for pod in rendered["issuer-authority"].pods:
        for container in pod.containers:
            checks = pod.component in {"gateway", "console"}
            folders = [one["mountPath"] for one in container.get("volumeMounts", [])]
            assert folders == (["/etc/cartwright/issuer"] if checks else []), pod.name
            file = literals(container).get("SSL_CERT_FILE")
            assert file == ("/etc/cartwright/issuer/ca.crt" if checks else None)
        for volume in pod.spec.get("volumes", []):
            assert volume["secret"]["items"] == [{"key": "tls-ca.crt", "path": "ca.crt"}]


def test_pods_stand_where_they_are_told(rendered):
    """Node labels, tolerations, affinity and priority hold for every pod; annotations and spread for those that last."""
    rendering = rendered["placed"]
    asked = rendering.case.values["pods"]
    for pod in rendering.pods:
        for name in ("nodeSelector", "tolerations", "affinity", "priorityClassName"):
            assert pod.spec[name] == asked[name], pod.name
        if pod.lasts:
            annotations = pod.owner["spec"]["template"]["metadata"]["annotations"]
            assert asked["annotations"].items() <= annotations.items(), pod.name
    spread = rendering.pod("cart").spec["topologySpreadConstraints"]
    assert [one["topologyKey"] for one in spread] == asked["spreadOver"]


def test_images_are_pulled_as_told(rendered):
    """Registry, tag, digest, policy and pull secrets hold for every pod."""
    for pod in rendered["pulled"].pods:
        assert pod.spec["imagePullSecrets"] == [{"name": "r"}]
        for container in pod.containers:
            kind = "operator" if pod.component in OPERATORS else "services"
            assert (container["image"], container["imagePullPolicy"]) == (f"r.example/x/{kind}:12", "Always")
    for pod in rendered["digests"].pods:
        for container in pod.containers:
            kind, digit = ("operator", "f") if pod.component in OPERATORS else ("services", "0")
            assert container["image"] == f"ghcr.io/cartwright/{kind}@sha256:{digit * 64}"


def test_new_urls_make_new_pods(rendered):
    """A URL that changes in the values restarts the pods, which read it at their start alone."""

    def sums(case):
        pods = rendered[case].pods
        return {
            pod.owner["spec"]["template"]["metadata"]["annotations"]["checksum/stores"]
            for pod in pods
            if pod.lasts and pod.component != "operator"
        }

    assert len(sums("production")) == 1
    assert sums("production") != sums("postgresql-url")


def test_what_helm_test_buys(rendered):
    """`helm test` buys what the values say, and where they say nothing its Checkout is cancelled before it begins."""

    def spec(case):
        return json.loads(literals(rendered[case].pod("test").spec["containers"][0])["SPEC"])

    assert spec("test-items") == {"userId": 2**40, "items": [{"productId": 2, "quantity": 3}]}
    assert spec("production")["cancelRequested"] is True
