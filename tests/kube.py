"""The API server of a platform, spoken to plainly."""

import base64
import itertools
import secrets
from pathlib import Path

import requests
import yaml

MOUSE = [{"productId": 2, "quantity": 1}]  # what most of the applied checkouts buy
WRITES = {"POST", "PATCH", "PUT", "APPLY", "DELETE"}


class Kube:
    """Checkouts of a namespace, as the admin of a kubeconfig has them."""

    def __init__(self, kubeconfig: Path, namespace: str = "default") -> None:
        self.kubeconfig, self.namespace = kubeconfig, namespace
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.url = cluster["server"]
        self.checkouts = f"{self.url}/apis/cartwright.dev/v1alpha1/namespaces/{namespace}/checkouts"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = self._file("ca.crt", cluster["certificate-authority-data"])
        if token := user.get("token"):
            self.session.headers["Authorization"] = f"Bearer {token}"
        else:
            names = ("client-certificate-data", "client-key-data")
            self.session.cert = tuple(self._file(name, user[name]) for name in names)
        self._names = (f"e2e-{secrets.token_hex(3)}-{number}" for number in itertools.count())

    def _file(self, name, data):
        path = self.kubeconfig.parent / name
        path.write_bytes(base64.b64decode(data))
        path.chmod(0o600)
        return str(path)

    def apply(self, **spec):
        """Create a Checkout, and give its name."""
        name = next(self._names)
        answer = self.create(name, spec)
        assert answer.status_code == 201, answer.text
        return name

    def create(self, name, spec):
        """Create a Checkout, and give the API server's answer."""
        body = {
            "apiVersion": "cartwright.dev/v1alpha1",
            "kind": "Checkout",
            "metadata": {"name": name},
            "spec": spec,
        }
        return self.session.post(self.checkouts, json=body, timeout=10)

    def get(self, name):
        """Give a Checkout; None where there is none."""
        answer = self.session.get(f"{self.checkouts}/{name}", timeout=10)
        return answer.json() if answer.status_code == 200 else None

    def status(self, name):
        """Give its status."""
        return (self.get(name) or {}).get("status") or {}

    def condition(self, name, kind):
        """Give one of its conditions."""
        return next((one for one in self.status(name).get("conditions", ()) if one["type"] == kind), {})

    def finished(self, name):
        """Give its status once it has ended."""
        return self.condition(name, "Finished").get("status") == "True" and self.status(name)

    def reason(self, name):
        """Give why it stands so."""
        return self.condition(name, "Succeeded").get("reason")

    def patch(self, name, part, below=""):
        """Change a part of it."""
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = self.session.patch(f"{self.checkouts}/{name}{below}", json=part, headers=headers, timeout=10)
        assert answer.status_code == 200, answer.text

    def delete(self, name):
        """Delete it."""
        assert self.session.delete(f"{self.checkouts}/{name}", timeout=10).status_code == 200

    def mirrors(self):
        """Give how many mirrors there are."""
        query = {"fieldSelector": "spec.managedBy=mirror"}
        return len(self.session.get(self.checkouts, params=query, timeout=10).json()["items"])

    def writes(self):
        """Give how often Checkouts and events have been written, by the API server's own counter."""
        page = self.session.get(self.url + "/metrics", timeout=30).text
        lines = [line for line in page.splitlines() if line.startswith("apiserver_request_total{")]
        ours = [line for line in lines if 'resource="checkouts"' in line or 'resource="events"' in line]
        return sum(float(line.split()[-1]) for line in ours if any(f'verb="{verb}"' in line for verb in WRITES))
