"""The examples for stores of other operators: each names what its operator really makes."""

import pytest
import yaml

from tests.charts.cases import EXAMPLES
from tests.charts.test_settings import told

CLUSTERS = {path.stem.removesuffix("-cluster"): path for path in EXAMPLES.glob("*-cluster.yaml")}


def objects(name):
    """Give the objects of an example by kind."""
    return {one["kind"]: one for one in yaml.safe_load_all(CLUSTERS[name].read_text())}


def makes(name):
    """Give the secrets with their keys and the Services that an operator makes of its example, as its documentation has it."""
    match objects(name):
        case {"Cluster": one}:  # CloudNativePG: applications.md
            cluster = one["metadata"]["name"]
            secrets = {f"{cluster}-app": {"uri", "password", "username"}, f"{cluster}-ca": {"ca.crt"}}
            return secrets, {f"{cluster}-rw": 5432}
        case {"Kafka": one, "KafkaUser": user}:  # Strimzi: deploying, "securing access"
            cluster, port = one["metadata"]["name"], one["spec"]["kafka"]["listeners"][0]["port"]
            secrets = {user["metadata"]["name"]: {"password"}, f"{cluster}-cluster-ca-cert": {"ca.crt"}}
            return secrets, {f"{cluster}-kafka-bootstrap": port}
        case {"MongoDBCommunity": one}:  # MongoDB's: <name>-<authentication database>-<user>
            user = one["spec"]["users"][0]
            secret = f"{one['metadata']['name']}-{user['db']}-{user['name']}"
            return {secret: {"connectionString.standard", "password", "username"}}, {}
        case {"PerconaServerMongoDB": one}:  # Percona's: app-users.md
            cluster, users = one["metadata"]["name"], {user["name"] for user in one["spec"]["users"]}
            return {f"{cluster}-custom-user-secret": users}, {f"{cluster}-{one['spec']['replsets'][0]['name']}": 27017}
        case {"Redis": one}:  # OT-CONTAINER-KIT: the secret is the user's
            secret = one["spec"]["kubernetesConfig"]["redisSecret"]
            return {secret["name"]: {secret["key"]}}, {one["metadata"]["name"]: 6379}
    raise AssertionError(name)


VALUES = {path.stem: path.stem.split("-")[0] for path in EXAMPLES.glob("*-values.yaml") if "external" not in path.stem}


@pytest.mark.parametrize("example", VALUES)
def test_values_name_what_the_operator_makes(rendered, example):
    """Every secret, key and host of an example's values is one that the operator makes of the resource beside it."""
    secrets, services = makes(VALUES[example])
    (store,) = yaml.safe_load((EXAMPLES / f"{example}.yaml").read_text())["stores"].values()
    assert store["existingSecret"] in secrets
    key = store.get("urlKey") or store["passwordKey"]
    assert key in secrets[store["existingSecret"]]
    if "caSecret" in store:
        assert store.get("caKey", "ca.crt") in secrets[store["caSecret"]]
    if "host" in store:
        assert store["host"] in services
    if "bootstrapServers" in store:
        name, port = store["bootstrapServers"].split(":")
        assert services[name] == int(port)
    used = {
        (one["valueFrom"]["secretKeyRef"]["name"], one["valueFrom"]["secretKeyRef"]["key"])
        for pod in rendered[example].pods
        for container in pod.containers
        for one in container["env"]
        if "secretKeyRef" in one.get("valueFrom", {})
    }
    assert (store["existingSecret"], key) in used


@pytest.mark.parametrize("name", CLUSTERS)
def test_users_are_those_of_the_resource(name):
    """The user, the database and the rights in an example's values are those that its resource gives."""
    given = objects(name)
    if cluster := given.get("Cluster"):
        store = yaml.safe_load((EXAMPLES / "cloudnativepg-verified-values.yaml").read_text())["stores"]["postgresql"]
        owner = cluster["spec"]["bootstrap"]["initdb"]
        assert (store["database"], store["username"]) == (owner["database"], owner["owner"])
        role = cluster["spec"]["managed"]["roles"][0]
        assert (role["name"], role["createrole"], role["login"]) == (owner["owner"], True, True)
    if users := next((one["spec"]["users"] for one in given.values() if "users" in one["spec"]), None):
        assert users[0]["roles"] == [{"name": "readWrite", "db": "cartdb"}]


def test_a_server_is_checked_against_its_authority(rendered):
    """Where an example checks the server's certificate, the file that the URL names is the one that is mounted."""
    container = rendered["cloudnativepg-verified-values"].pod("orders").spec["containers"][0]
    (mount,) = container["volumeMounts"]
    assert told(container)["POSTGRES_URL"].endswith(f"sslmode=verify-full&sslrootcert={mount['mountPath']}/ca.crt")
