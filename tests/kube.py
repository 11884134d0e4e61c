"""The API server of a platform, spoken to plainly."""

import base64
import itertools
import json
import secrets

import requests

CHECKOUTS = "/apis/cartwright.dev/v1alpha1/namespaces/default/checkouts"
MOUSE = [{"productId": 2, "quantity": 1}]  # what most of the applied checkouts buy
WRITES = {"POST", "PATCH", "PUT", "APPLY", "DELETE"}


class Kube:
    """Checkouts of the default namespace, as the admin has them."""

    def __init__(self, home) -> None:
        self.home = home
        config = json.loads(self.home.kubeconfig.read_text())
        authority = self.home.path / "ca.crt"
        authority.write_bytes(base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]))
        self.url = config["clusters"][0]["cluster"]["server"]
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(authority)
        self.session.headers["Authorization"] = f"Bearer {config['users'][0]['user']['token']}"
        self._names = (f"e2e-{secrets.token_hex(3)}-{number}" for number in itertools.count())

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
        return self.session.post(self.url + CHECKOUTS, json=body, timeout=10)

    def get(self, name):
        """Give a Checkout; None where there is none."""
        answer = self.session.get(f"{self.url}{CHECKOUTS}/{name}", timeout=10)
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
        answer = self.session.patch(f"{self.url}{CHECKOUTS}/{name}{below}", json=part, headers=headers, timeout=10)
        assert answer.status_code == 200, answer.text

    def delete(self, name):
        """Delete it."""
        assert self.session.delete(f"{self.url}{CHECKOUTS}/{name}", timeout=10).status_code == 200

    def mirrors(self):
        """Give how many mirrors there are."""
        query = {"fieldSelector": "spec.managedBy=mirror"}
        return len(self.session.get(self.url + CHECKOUTS, params=query, timeout=10).json()["items"])

    def writes(self):
        """Give how often Checkouts and events have been written, by the API server's own counter."""
        page = self.session.get(self.url + "/metrics", timeout=30).text
        lines = [line for line in page.splitlines() if line.startswith("apiserver_request_total{")]
        ours = [line for line in lines if 'resource="checkouts"' in line or 'resource="events"' in line]
        return sum(float(line.split()[-1]) for line in ours if any(f'verb="{verb}"' in line for verb in WRITES))
