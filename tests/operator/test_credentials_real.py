"""The watch and the operator's own calls on the real API server, whatever happens to their token."""

import json
import stat
import sys
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
import requests
from kubernetes.aio.config import incluster_config

from tests.kube import MOUSE
from tests.operator.views import at
from tests.operator.watch import ROLE, until, watching

pytestmark = pytest.mark.real

PLUGIN = """#!{python}
import json
print(json.dumps({{
    "apiVersion": "client.authentication.k8s.io/v1",
    "kind": "ExecCredential",
    "status": {{"token": open({token!r}).read(), "expirationTimestamp": {expires!r}}},
}}))
"""


@pytest.fixture
def account(admin):
    """Give a token of a service account with the operator's rights, and what makes it invalid."""
    space = f"{admin.url}/api/v1/namespaces/default"
    name = f"rotated-{time.monotonic_ns()}"

    def create(url, body):
        answer = admin.session.post(url, json=body, timeout=10)
        assert answer.ok, answer.text
        return answer.json()

    create(f"{space}/serviceaccounts", {"metadata": {"name": name}})
    secret = create(f"{space}/secrets", {"metadata": {"name": name}})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "cartwright-operator"}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
    binding = {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]}
    create(f"{admin.url}{ROLE.rpartition('/roles/')[0]}/rolebindings", binding)
    bound = {"kind": "Secret", "apiVersion": "v1", "name": name, "uid": secret["metadata"]["uid"]}
    token = create(
        f"{space}/serviceaccounts/{name}/token", {"spec": {"boundObjectRef": bound, "expirationSeconds": 600}}
    )
    return token["status"]["token"], lambda: admin.session.delete(f"{space}/secrets/{name}", timeout=10)


@pytest.fixture
def source(api_server, use, tmp_path, monkeypatch):
    """Give the file of a token, that credentials of a kind come from."""

    def source(kind):
        config, token = json.loads(api_server.home.operator_kubeconfig.read_text()), tmp_path / "token"
        if kind == "a pod":
            address = urlsplit(config["clusters"][0]["cluster"]["server"])
            authority = tmp_path / "authority"
            authority.write_bytes((api_server.home.data("apiserver") / "apiserver.crt").read_bytes())
            where = {"KUBERNETES_SERVICE_HOST": address.hostname, "KUBERNETES_SERVICE_PORT": str(address.port)}
            loader = incluster_config.InClusterConfigLoader
            monkeypatch.setattr(loader.__init__, "__defaults__", (True, where))
            monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
            monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
        elif kind == "a token's file":
            use(config | {"users": [one | {"user": {"tokenFile": str(token)}} for one in config["users"]]})
        else:
            script = tmp_path / "plugin"
            expires = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
            script.write_text(PLUGIN.format(python=sys.executable, token=str(token), expires=expires))
            script.chmod(stat.S_IRWXU)
            run = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(script)}}
            use(config | {"users": [one | {"user": run} for one in config["users"]]})
        return token

    return source


@pytest.mark.parametrize("kind", ["a pod", "a token's file", "a plugin"])
async def test_a_token_that_ends(api_server, admin, account, source, kind):
    """When a token is no longer taken, the watch and the writes go on with the next one, and none of them is lost."""
    first, invalidate = account
    file = source(kind)
    file.write_text(first)
    async with watching(server_timeout=1) as watch:
        name = admin.apply(userId=7, items=MOUSE)
        await until(lambda: watch.cache.get(at(name)))
        assert await watch.cluster.replace_status(at(name), {"phase": "Pending"})
        file.write_text(json.loads(api_server.home.operator_kubeconfig.read_text())["users"][0]["user"]["token"])
        invalidate()
        asked = {"headers": {"Authorization": f"Bearer {first}"}, "verify": admin.session.verify, "timeout": 10}
        await until(lambda: requests.get(f"{admin.url}/version", **asked).status_code == 401)
        assert await watch.cluster.replace_status(at(name), {"phase": "Paying"})
        later = admin.apply(userId=7, items=MOUSE)
        await until(lambda: watch.cache.get(at(later)))
        assert watch.permissions.missing() == []
