"""What each process is told: all that it needs, nothing that it does not know, and no secret."""

import importlib
import re

import pytest

from checkout_operator.config import Config as OperatorConfig
from tests.charts.cases import CANARY, CASES, URLS
from tests.charts.rendering import literals, strings

PORTS = {
    # gRPC, and HTTP for health and metrics: the contract's table.
    "gateway": (None, 8080),
    "console": (None, 8090),
    "product": (50051, 9051),
    "cart": (50052, 9052),
    "inventory": (50053, 9053),
    "payment": (50054, 9054),
    "orders": (50055, 9055),
    "checkout": (50056, 9056),
    "bank": (50058, 9058),
    "auditor": (None, 9059),
    "operator": (None, 9060),
}
WORKERS = {
    ("cart", "consumer"): 9152,
    ("inventory", "sweeper"): 9153,
    ("payment", "resolver"): 9154,
    ("orders", "consumer"): 9155,
    ("checkout", "relay"): 9156,
    ("checkout", "recovery"): 9157,
}
FOUND = {"AUTH_JWKS_URL", "CONSOLE_URL"}  # by the issuer's discovery document; needed for a login alone
STAND_INS = {
    "_URL": "scheme://user:password@host/db",
    "_PASSWORD": "password",
    "_SECRET": "secret",
}  # what secrets would hold


def process(container):
    """Give the service and the role that a container runs."""
    match container.get("args"):
        case [module]:
            return module.split(".")[1], "serve"
        case [module, role]:
            return module.split(".")[1], role
    return "operator", "serve"


def config_of(service, role):
    """Give the settings that a role of a service reads."""
    if service == "operator":
        return OperatorConfig
    module = importlib.import_module(f"services.{service}.config")
    return getattr(module, f"{role.capitalize()}Config", module.Config)


def told(container):
    """Give a container's variables as its process sees them, secrets by what stands in for them."""
    seen = {}
    for one in container["env"]:
        if "value" in one:
            seen[one["name"]] = re.sub(r"\$\((\w+)\)", lambda match: seen[match[1]], one["value"])
        elif "secretKeyRef" in one["valueFrom"]:
            seen[one["name"]] = STAND_INS[re.search(r"_[A-Z]+$", one["name"])[0]]
        else:
            path = one["valueFrom"]["fieldRef"]["fieldPath"]
            seen[one["name"]] = {"metadata.namespace": "shop", "metadata.name": "a-pod", "metadata.uid": "a-uid"}[path]
    return seen


def ours(rendering):
    """Give every container that runs a program of ours with settings."""
    found = [(pod, container) for pod in rendering.pods for container in pod.containers]
    return [(pod, container) for pod, container in found if pod.component != "test"]


def test_every_variable_is_read(rendering):
    """A container has no variable that its process does not read, but for a password that becomes a part of a URL."""
    for pod, container in ours(rendering):
        service, role = process(container)
        known = {name.upper() for name in config_of(service, role).model_fields}
        parts = {name for value in literals(container).values() for name in re.findall(r"\$\((\w+)\)", value)}
        names = {one["name"] for one in container["env"]}
        known |= {"SSL_CERT_FILE"}  # read by Python itself
        known |= set(rendering.case.values.get("services", {}).get(service, {}).get("env", ()))  # the user's own
        assert names - parts <= known, f"{pod.name}: {container['name']}: {names - parts - known}"


def test_every_process_can_start(rendering):
    """What a container is told is enough for its process, valid, and names every store and service that it asks for."""
    for pod, container in ours(rendering):
        service, role = process(container)
        config, seen = config_of(service, role), told(container)
        if service == "operator":
            config(**{name.lower(): value for name, value in seen.items()})
        else:
            config.from_env(seen)
        addresses = {name.upper() for name in config.model_fields if re.search(r"_(addr|url)$", name)} - FOUND
        if service == "auditor" and ("bank", "serve") not in {process(one) for _, one in rendering.platform}:
            addresses.discard("BANK_POSTGRES_URL")  # a payment provider of the user's own has no book for us
        if role != "migrate":
            assert addresses <= set(seen), f"{pod.name}: {container['name']}: {addresses - set(seen)}"


def test_no_variable_is_there_twice(rendering):
    """A variable stands in a container once: a second one would be lost, or refused, at the next upgrade."""
    for pod in rendering.pods:
        for container in pod.containers:
            names = [one["name"] for one in container["env"]]
            assert sorted(set(names)) == sorted(names), f"{pod.name}: {container['name']}"


def test_passwords_stand_before_urls(rendering):
    """A URL that is put together from a password comes after it: Kubernetes knows only what it has read by then."""
    for _, container in ours(rendering):
        assert told(container)


def test_ports_are_those_of_the_contract(rendering):
    """Every process listens where the contract says, and says so to Kubernetes."""
    for pod, container in rendering.platform:
        service, role = process(container)
        grpc, http = PORTS[service] if role == "serve" else (None, WORKERS[service, role])
        wanted = [*([("grpc", grpc)] if grpc else []), ("http" if role == "serve" else f"m-{role}", http)]
        assert [(one["name"], one["containerPort"]) for one in container["ports"]] == wanted, pod.name
        if service != "operator":
            seen = literals(container)
            assert (seen.get("GRPC_PORT"), seen["HTTP_PORT"]) == (str(grpc) if grpc else None, str(http))


def test_everything_runs(rendering):
    """Every service and every worker runs once, the operator and the bank where they are wanted."""
    found = sorted(process(container) for _, container in rendering.platform)
    wanted = [(service, "serve") for service in PORTS]
    values = rendering.case.values
    if not (values.get("bank", {}).get("enabled") or (rendering.case.files and "dev" in rendering.case.files[0].name)):
        wanted.remove(("bank", "serve"))
    for optional in ("operator", "auditor"):
        if not values.get(optional, {}).get("enabled", True):
            wanted.remove((optional, "serve"))
    assert found == sorted([*wanted, *WORKERS])


def test_origins_reach_the_gateway_alone(rendered):
    """`gateway.corsOrigins` is what the gateway lets pages of; without it no process has the variable."""
    for name, wanted in (("cors", {"gateway": "https://shop.example.com,http://localhost:3000"}), ("production", {})):
        seen = {process(one)[0]: told(one).get("CORS_ORIGINS") for _, one in ours(rendered[name])}
        assert {service: value for service, value in seen.items() if value} == wanted


def test_workers_have_pods_of_their_own_where_asked(rendered):
    """Workers stand beside their service, or with `workers.mode: deployment` each in a deployment of its own."""
    beside = {pod.component: [one["name"] for one in pod.sidecars] for pod in rendered["production"].pods}
    assert beside["checkout"] == ["recovery", "relay"]
    alone = {pod.component for pod in rendered["deployments"].pods if pod.lasts and "-" in pod.component}
    assert alone == {f"{service}-{role}" for service, role in WORKERS}
    assert not [pod.name for pod in rendered["deployments"].pods if pod.sidecars]


def test_no_secret_stands_in_the_open(rendering):
    """Outside of Secrets there is no password: a URL has none, or one that Kubernetes puts in from a secret."""
    for one in rendering.objects:
        for text in [] if one["kind"] == "Secret" else strings(one):
            assert CANARY not in text, one["metadata"]["name"]
            for password in re.findall(r"://[^/\s:@]*:([^/\s@]+)@", text):
                assert re.fullmatch(r"\$\(\w+_PASSWORD\)|password", password), (
                    text
                )  # the resource's own examples have one
    for _, container in ours(rendering):
        assert not [name for name in literals(container) if name.endswith("PASSWORD")]


@pytest.mark.parametrize("case", [name for name in CASES if name.endswith("-url")])
def test_urls_of_the_values_are_kept_in_secrets(rendered, case):
    """A URL in the values is read from a secret of the chart's; migrations, which come before it, have one of their own."""
    store = case.removesuffix("-url")
    secrets = rendered[case].named("Secret")
    assert {name: one["stringData"] for name, one in secrets.items()} == {
        "cartwright": {store: URLS[store]},
        "cartwright-migrations": {store: URLS[store]},
    }
    assert "helm.sh/hook" in secrets["cartwright-migrations"]["metadata"]["annotations"]
    for pod, container in ours(rendered[case]):
        for one in container["env"]:
            source = one.get("valueFrom", {}).get("secretKeyRef")
            if source and source["key"] == store:
                own = "cartwright-migrations" if pod.component == "migrations" else "cartwright"
                assert source["name"] == own, pod.name


@pytest.mark.parametrize(
    ("case", "component", "variable", "value"),
    [
        (
            "postgresql-host",
            "orders",
            "POSTGRES_URL",
            "postgresql://cartwright:password@db.example:1234/ecommerce?a=b&c=d",
        ),
        (
            "bankPostgresql-host",
            "bank",
            "BANK_POSTGRES_URL",
            "postgresql://cartwright:password@db.example:1234/bank?a=b&c=d",
        ),
        ("mongodb-host", "cart", "MONGODB_URL", "mongodb://cartwright:password@db.example:1234/admin?a=b&c=d"),
        ("redis-host", "cart", "REDIS_URL", "redis://:password@db.example:1234/0?a=b&c=d"),
        ("redis-tls", "cart", "REDIS_URL", "rediss://shop:password@db.example:6379/3"),
        ("kafka-sasl-ssl", "cart", "KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
        ("kafka-sasl-ssl", "cart", "KAFKA_SASL_MECHANISM", "SCRAM-SHA-512"),
        ("kafka-sasl-ssl", "checkout", "KAFKA_CA_FILE", "/etc/cartwright/kafka/ca.crt"),
        ("kafka-sasl-ssl", "checkout", "CHECKOUT_TOPIC", "shop.checkouts"),
        ("kafka-sasl", "orders", "KAFKA_SASL_USERNAME", "shop"),
        ("kafka-sasl", "migrations", "KAFKA_SASL_MECHANISM", "PLAIN"),
        ("dev", "bank", "BANK_ADMIN", "1"),
        ("dev", "gateway", "AUTH_MODE", "mock"),
        ("production", "gateway", "AUTH_ISSUER", "https://id.example:8443/realm"),
        ("production", "gateway", "APP_ENV", "production"),
        ("production", "checkout", "GRPC_REFLECTION", "0"),
        ("production", "payment", "BANK_ADDR", "dns:///bank.example:7443"),
        ("production", "payment", "BANK_TLS", "1"),
        ("plain-bank", "payment", "BANK_TLS", "0"),
        ("production", "checkout", "GRPC_MAX_CONNECTION_AGE", "10s"),
        ("production", "gateway", "HTTP_MAX_CONNECTION_AGE", "10s"),
        ("jwt-in-full", "gateway", "AUTH_JWKS_URL", "https://keys.example:9443/keys"),
        ("own-variables", "checkout", "CHECKOUT_TIMEOUT", "10m"),
        ("own-variables", "checkout", "GRPC_REFLECTION", "1"),
        ("own-variables", "operator", "LOG_LEVEL", "debug"),
        ("mirrors", "operator", "MIRROR_MODE", "None"),
        ("mirrors", "operator", "MIRROR_MAX_OBJECTS", "100000"),
        ("slow-drain", "payment", "DRAIN_TIMEOUT", "120s"),
        ("production", "auditor", "AUDIT_NAMESPACES", "shop"),
        ("watch-others", "auditor", "AUDIT_NAMESPACES", "mirrors,team-a"),
        ("watch-all", "auditor", "AUDIT_NAMESPACES", "*"),
        ("audits", "audit", "AUDIT_AFTER", "2m"),
        ("bank", "audit", "BANK_POSTGRES_URL", "scheme://user:password@host/db"),
        (
            "production",
            "auditor",
            "AUDIT_COMMAND",
            "kubectl -n shop exec deploy/cartwright-console -- python -m services.console.terminal {checkout_id}",
        ),
    ],
)
def test_values_reach_their_process(rendered, case, component, variable, value):
    """What the values say is what the process is told."""
    pod = rendered[case].pod(component)
    seen = [told(container)[variable] for container in pod.containers if variable in told(container)]
    assert value in seen
