"""What a wrong value gets: a refusal that names it, before anything is installed."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from devstack import helm
from devstack.home import user_environment
from tests.charts.cases import BANK, BASE, CHART, DEV, STORES, URLS, Case, merged
from tests.charts.rendering import helm_environment

NOTHING = {"existingSecret": ""}


def at(path, value):
    """Give the tree that has one value at a path with dots."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


WRONG = [
    ("apEnv", "dev", "additional properties 'apEnv' not allowed"),
    ("appEnv", "staging", "'production', 'dev'"),
    ("logLevel", "verbose", "'debug', 'info'"),
    ("commonLabels", {"app.kubernetes.io/name": "x"}, "app.kubernetes.io~1name': false"),
    ("commonLabels", {"team": "a b"}, "team"),
    ("image.tagg", "1", "tagg"),
    ("image.digests.services", "sha256:short", "does not match pattern"),
    ("image.pullPolicy", "Sometimes", "'Always', 'IfNotPresent', 'Never'"),
    ("image.pullSecrets", [{"name": "r"}], "want string"),
    ("auth.mode", "none", "'jwt', 'mock'"),
    ("auth.issuer", "id.example", "does not match pattern"),
    ("auth.algorithms", "HS256", "does not match pattern"),
    ("stores.postgres", {}, "additional properties 'postgres' not allowed"),
    ("stores.postgresql.url", "mysql://host/db", "does not match pattern"),
    ("stores.postgresql.port", 70000, "got 70,000"),
    ("stores.mongodb.existingSecret", "Not A Name", "does not match pattern"),
    ("stores.redis.tls", "yes", "want boolean"),
    ("stores.kafka.bootstrapServers", "kafka", "does not match pattern"),
    ("stores.kafka.securityProtocol", "TLS", "'PLAINTEXT', 'SSL'"),
    ("stores.kafka.saslMechanism", "GSSAPI", "'PLAIN', 'SCRAM-SHA-256'"),
    ("stores.kafka.replication", 0, "want 1"),
    ("workers.mode", "pod", "'sidecar', 'deployment'"),
    ("drain.delaySeconds", "5s", "want integer"),
    ("gateway.corsOrigins", ["*"], "does not match pattern"),
    ("gateway.corsOrigins", ["https://shop.example.com/"], "does not match pattern"),
    ("gateway.corsOrigins", "https://shop.example.com", "want array"),
    ("connectionAge", 300, "want string"),
    ("connectionAge", "five minutes", "does not match pattern"),
    ("pods.affinity", {"podAffinities": {}}, "podAffinities"),
    ("pods.tolerations", [{"operator": "Is"}], "'Exists', 'Equal'"),
    ("services.shipping", {}, "additional properties 'shipping' not allowed"),
    ("services.gateway.replicas", -1, "minimum: got -1, want 0"),
    ("services.product.replicas", -1, "minimum: got -1, want 0"),
    ("services.product.replicas", "two", "want integer"),
    ("services.cart.workers.relay", {}, "additional properties 'relay' not allowed"),
    ("services.cart.workers.consumer.resources", {"request": {}}, "additional properties 'request' not allowed"),
    ("services.orders.resources", {"limits": {"memory": "1 GB"}}, "does not match pattern"),
    ("services.orders.env", {"POSTGRES_POOL": 8}, "want string"),
    ("services.orders.env", {"postgres-pool": "8"}, "postgres-pool"),
    ("services.gateway.autoscaling.minReplicas", 0, "want 1"),
    ("services.gateway.bankAddress", "x", "additional properties 'bankAddress' not allowed"),
    ("gateway.service.type", "Ingress", "'ClusterIP', 'NodePort', 'LoadBalancer'"),
    ("bank.successRate", 1.5, "want 1"),
    ("operator.replicas", -1, "minimum: got -1, want 0"),
    ("operator.replicas", 101, "want 100"),
    ("operator.mirror.mode", "Some", "'All', 'Failures', 'None'"),
    ("operator.mirror.maxObjects", 1_000_000, "want 100,000"),
    ("watch.namespaces", ["*"], "does not match pattern"),
    ("watch.namespaces", "shop", "want array"),
    ("watch.allNamespaces", "yes", "want boolean"),
    ("watch.selector", "team=a", "want object"),
    ("watch.selector", {"team": "a"}, "additional properties 'team' not allowed"),
    ("watch.selector.matchLabels", {"team": "it's"}, "does not match pattern"),
    ("watch.selector.matchExpressions", [{"key": "team", "operator": "In"}], "missing property 'values'"),
    ("operator.mirror.namespace", "a.b", "does not match pattern"),
    ("migrations.deadlineSeconds", 0, "want 1"),
    ("networkPolicy.gatewayFrom", [{"pods": {}}], "additional properties 'pods' not allowed"),
    ("serviceMonitor.interval", "often", "does not match pattern"),
    ("test.items", [{"productId": 1, "quantity": 100}], "want 99"),
    ("test.items", [{"productId": 1}], "missing property 'quantity'"),
]

WRONG_STORES = [
    ("postgresql.image", "postgres", "does not match pattern"),
    ("mongodb.maxConnections", 3, "additional properties 'maxConnections' not allowed"),
    ("redis.maxMemory", "1 GB", "does not match pattern"),
    ("kafka.size", True, "got boolean"),
]

MISSING = [
    ({"auth": {"issuer": ""}}, "auth.issuer: say which issuer's tokens count"),
    ({"auth": {"audience": ""}}, "auth.audience: say which audience"),
    ({"auth": {"mode": "mock"}}, "auth.mode=mock lets anybody be anybody: it needs appEnv=dev"),
    ({"services": {"payment": {"bankAddress": ""}}}, "services.payment.bankAddress: say where"),
    (BANK | {"stores": {}}, "stores.bankPostgresql: set existingSecret"),
    *(
        (at(f"stores.{store}", NOTHING), f"stores.{store}: set existingSecret (a secret that holds the URL), or url")
        for store in ("postgresql", "mongodb", "redis")
    ),
    *(
        (at(f"stores.{store}.url", URLS[store]), f"stores.{store}: set url or existingSecret, not both")
        for store in ("postgresql", "mongodb", "redis")
    ),
    (
        at("stores.redis", NOTHING | {"url": URLS["redis"], "host": "db.example"}),
        "stores.redis: host needs existingSecret, which holds the password",
    ),
    (at("stores.redis.tls", True), "stores.redis: tls goes with host"),
    (at("stores.kafka.caSecret", "authority"), "stores.kafka: caSecret needs securityProtocol SSL or SASL_SSL"),
    (at("stores.kafka.username", "shop"), "stores.kafka: username and existingSecret need securityProtocol SASL_SSL"),
    (merged(BANK, {"appEnv": "production"}), "bank.enabled: the simulated payment provider charges nobody"),
    ({"auth": {"issuer": "http://id.example"}}, "auth.issuer and auth.jwksUrl must be https"),
    (
        {"watch": {"allNamespaces": True, "namespaces": ["shop"]}},
        "watch: set namespaces or allNamespaces, not both",
    ),
    (at("stores.kafka.bootstrapServers", ""), "stores.kafka.bootstrapServers: say where Kafka is"),
    (at("stores.kafka.securityProtocol", "SASL_SSL"), "stores.kafka: SASL_SSL needs username and existingSecret"),
    (
        at("stores.kafka", {"securityProtocol": "SASL_SSL", "username": "shop"}),
        "stores.kafka: SASL_SSL needs username and existingSecret",
    ),
]


@pytest.fixture(name="refused", scope="module")
def refused_fixture(render):
    """Give what Helm says of values that are wrong, over a whole installation; all were rendered at once, side by side."""
    asked = [(CHART, at(path, value)) for path, value, _ in WRONG] + [(CHART, values) for values, _ in MISSING]
    asked += [(STORES, at(path, value)) for path, value, _ in WRONG_STORES]
    cases = [(chart, Case(values if chart == STORES else merged(BASE, values))) for chart, values in asked]
    with ThreadPoolExecutor() as pool:
        done = [one.done for one in pool.map(lambda case: render(case[1], case[0]), cases)]

    def refused(values, chart=CHART):
        said = done[asked.index((chart, values))]
        assert said.returncode != 0, said.stdout[:500]
        return said.stderr

    return refused


@pytest.mark.parametrize(("path", "value", "said"), WRONG)
def test_what_a_value_may_be(refused, path, value, said):
    """A value that is unknown or wrong is refused with its name, what it is and what it may be."""
    told = refused(at(path, value))
    assert said in told
    known = [part for part in path.split(".") if f"'{part}' not allowed" not in told]
    assert "/".join(known) in told


@pytest.mark.parametrize(("path", "value", "said"), WRONG_STORES)
def test_what_a_value_of_the_stores_may_be(refused, path, value, said):
    """The chart of stores refuses as the platform's does."""
    assert said in refused(at(path, value), STORES)


@pytest.mark.parametrize(("values", "said"), MISSING)
def test_what_must_be_said(refused, values, said):
    """What is missing, or said twice, is refused in words that say what to do."""
    assert said in refused(values)


def test_nothing_said_at_all(render):
    """Installed with no values at all the chart asks for the first thing that it lacks."""
    done = render(Case({})).done
    assert done.returncode != 0
    assert any(word in done.stderr for word in ("stores.", "auth.", "bankAddress"))


def test_a_chart_within_a_chart_is_not_refused(render):
    """What Helm itself hands to a chart within another is let in."""
    assert render(Case(BASE | {"global": {"imageRegistry": "r.example"}})).done.returncode == 0


@pytest.mark.parametrize(
    ("chart", "words"), [(CHART, []), (CHART, ["-f", str(DEV[0])]), (STORES, [])], ids=["platform", "dev", "stores"]
)
def test_helm_finds_nothing_to_complain_of(chart, words):
    """`helm lint --strict` passes for both charts."""
    program = helm.find(user_environment(), print)
    command = [str(program), "lint", "--strict", "--kube-version", "1.35.0", str(chart), *words]
    done = subprocess.run(command, env=helm_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout
