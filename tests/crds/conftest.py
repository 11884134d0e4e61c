"""One API server for the tests of the Checkout resource, spoken to plainly."""

import base64
import itertools
import json
import shutil
import subprocess

import pytest
import requests

from devstack.client import Stack
from devstack.home import ROOT, Home, user_environment
from devstack.stores import find

CHECKOUTS = "/apis/cartwright.dev/v1alpha1/namespaces/default/checkouts"
NAMES = (f"t-{number}" for number in itertools.count())


class Api:
    """An API server, spoken to plainly."""

    def __init__(self, stack: Stack) -> None:
        self.kubeconfig = stack.home.kubeconfig
        config = json.loads(self.kubeconfig.read_text())
        authority = stack.home.path / "ca.crt"
        authority.write_bytes(base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]))
        self.url = config["clusters"][0]["cluster"]["server"]
        self.session = requests.Session()
        self.session.trust_env = False  # a bundle of certificates that the environment names would come first
        self.session.verify = str(authority)
        self.session.headers["Authorization"] = f"Bearer {config['users'][0]['user']['token']}"
        self.program = find({"apiserver"}, user_environment(), print).cluster.kubectl

    def create(self, spec, name=None, status=None, *, strict=True, keep=False):
        """Create a Checkout; unless it is to be kept, everything but the writing is done."""
        body = {
            "apiVersion": "cartwright.dev/v1alpha1",
            "kind": "Checkout",
            "metadata": {"name": name or next(NAMES)},
            "spec": spec,
        }
        if status:
            body["status"] = status
        query = {"fieldValidation": "Strict" if strict else "Ignore"} | ({} if keep else {"dryRun": "All"})
        return self.session.post(self.url + CHECKOUTS, json=body, params=query, timeout=10)

    def kept(self, **spec):
        """Create a Checkout, and give its name."""
        answer = self.create({"userId": 1} | spec, keep=True)
        assert answer.status_code == 201, answer.text
        return answer.json()["metadata"]["name"]

    def patch(self, name, part, below=""):
        """Change a part of a Checkout."""
        headers = {"Content-Type": "application/merge-patch+json"}
        url = f"{self.url}{CHECKOUTS}/{name}{below}"
        return self.session.patch(url, json=part, params={"fieldValidation": "Strict"}, headers=headers, timeout=10)

    def status(self, name, **status):
        """Write a part of the status, as the operator does."""
        return self.patch(name, {"status": status}, "/status")

    def kubectl(self, *words):
        """Run kubectl as a person does."""
        cache = self.kubeconfig.parent / "kubectl"
        command = [str(self.program), f"--kubeconfig={self.kubeconfig}", f"--cache-dir={cache}", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(name="api", scope="session")
def api_fixture():
    """An API server of its own, with the resource."""
    home = Home(ROOT / ".cartwright" / "test_crds")
    Stack(home).down()
    shutil.rmtree(home.path, ignore_errors=True)
    stack = Stack.up(home.path, only={"etcd", "apiserver"})
    yield Api(stack)
    stack.down()
