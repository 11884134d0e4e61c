"""The API server of a platform, spoken to plainly."""

import base64
import itertools
import secrets
import subprocess
from pathlib import Path

import requests
import yaml

MOUSE = [{"productId": 2, "quantity": 1}]  # what most of the applied checkouts buy
WRITES = {"POST", "PATCH", "PUT", "APPLY", "DELETE"}


class Kube:
    """Checkouts of a namespace, as the admin of a kubeconfig has them."""

    def __init__(self, kubeconfig: Path, namespace: str = "default", program: Path | None = None) -> None:
        """Take where the program kubectl is, where it is to be run."""
        self.kubeconfig, self.namespace, self.program = kubeconfig, namespace, program
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.url = cluster["server"]
        self.checkouts = f"{self.url}/apis/cartwright.dev/v1alpha1/namespaces/{namespace}/checkouts"
        self.session = requests.Session()
        self.session.trust_env = False  # a bundle of certificates that the environment names would come first
        self.session.verify = self._file("ca.crt", cluster["certificate-authority-data"])
        if token := user.get("token"):
            self.session.headers["Authorization"] = f"Bearer {token}"
        else:
            names = ("client-certificate-data", "client-key-data")
            self.session.cert = tuple(self._file(name, user[name]) for name in names)
        self._prefix, self._numbers = f"e2e-{secrets.token_hex(3)}", itertools.count()

    def _file(self, name, data):
        path = self.kubeconfig.parent / name
        content = base64.b64decode(data)
        if not path.exists() or path.read_bytes() != content:  # another thread's session may be reading it
            path.touch(mode=0o600)
            path.write_bytes(content)
        return str(path)

    def _name(self):
        """Give a name that no other Checkout has; several threads may ask at once."""
        return f"{self._prefix}-{next(self._numbers)}"

    def apply(self, **spec):
        """Create a Checkout, and give its name."""
        name = self._name()
        answer = self.create(spec, name)
        assert answer.status_code == 201, answer.text
        return name

    def create(self, spec, name=None, *, status=None, strict=True, dry_run=False):
        """Create a Checkout, or do everything but the writing, and give the API server's answer."""
        body = {
            "apiVersion": "cartwright.dev/v1alpha1",
            "kind": "Checkout",
            "metadata": {"name": name or self._name()},
            "spec": spec,
        }
        if status:
            body["status"] = status
        query = {"fieldValidation": "Strict" if strict else "Ignore"} | ({"dryRun": "All"} if dry_run else {})
        return self.session.post(self.checkouts, json=body, params=query, timeout=10)

    def get(self, name):
        """Give a Checkout; None where there is none."""
        answer = self.session.get(f"{self.checkouts}/{name}", timeout=10)
        return answer.json() if answer.status_code == 200 else None

    def status(self, name):
        """Give its status."""
        return (self.get(name) or {}).get("status") or {}

    def phases(self):
        """Give the phase of every Checkout that has one, by its name."""
        items = self.session.get(self.checkouts, timeout=10).json()["items"]
        return {one["metadata"]["name"]: one["status"]["phase"] for one in items if "phase" in one.get("status", {})}

    def unfinished(self):
        """Give the names of the Checkouts that have not ended, without making the API server send the ended ones."""
        query = {"fieldSelector": "status.phase!=Completed,status.phase!=Failed"}
        headers = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
        items = self.session.get(self.checkouts, params=query, headers=headers, timeout=10).json()["items"]
        # The API server writes an empty list of this kind as null.
        return {one["metadata"]["name"] for one in items or ()}

    def condition(self, name, kind):
        """Give one of its conditions."""
        return next((one for one in self.status(name).get("conditions", ()) if one["type"] == kind), {})

    def finished(self, name):
        """Give its status once it has ended."""
        return self.condition(name, "Finished").get("status") == "True" and self.status(name)

    def reason(self, name):
        """Give why it stands so."""
        return self.condition(name, "Succeeded").get("reason")

    def change(self, name, part, below=""):
        """Change a part of it."""
        answer = self.patch(name, part, below)
        assert answer.status_code == 200, answer.text

    def patch(self, name, part, below=""):
        """Ask for a part of it to be changed, and give the API server's answer."""
        headers = {"Content-Type": "application/merge-patch+json"}
        url, query = f"{self.checkouts}/{name}{below}", {"fieldValidation": "Strict"}
        return self.session.patch(url, json=part, params=query, headers=headers, timeout=10)

    def delete(self, name):
        """Delete it."""
        assert self.session.delete(f"{self.checkouts}/{name}", timeout=10).status_code == 200

    def kubectl(self, *words):
        """Run kubectl as a person does, and give what it prints."""
        cache = self.kubeconfig.parent / "kubectl"
        command = [str(self.program), f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}"]
        command += [f"--cache-dir={cache}", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    def mirrors(self):
        """Give how many mirrors there are."""
        query = {"fieldSelector": "spec.managedBy=mirror"}
        return len(self.session.get(self.checkouts, params=query, timeout=10).json()["items"])

    def has_mirrors(self):
        """Return whether there is a mirror. It costs the API server little, however many there are."""
        query = {"fieldSelector": "spec.managedBy=mirror", "limit": 1}
        return bool(self.session.get(self.checkouts, params=query, timeout=10).json()["items"])

    def count(self):
        """Give how many Checkouts there are."""
        headers = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
        page = self.session.get(self.checkouts, params={"limit": 1}, headers=headers, timeout=10).json()
        return len(page["items"] or ()) + page["metadata"].get("remainingItemCount", 0)

    def delete_all(self):
        """Delete every Checkout."""
        assert self.session.delete(self.checkouts, timeout=120).status_code == 200

    def patches(self):
        """Give how often Checkouts have been patched but for their status: the operator has no reason to, and kopf must not."""
        page = self.session.get(self.url + "/metrics", timeout=30).text
        wanted = ('resource="checkouts"', 'subresource=""', 'verb="PATCH"')
        lines = [line for line in page.splitlines() if line.startswith("apiserver_request_total{")]
        return sum(float(line.split()[-1]) for line in lines if all(one in line for one in wanted))

    def writes(self):
        """Give how often Checkouts and events have been written, by the API server's own counter."""
        page = self.session.get(self.url + "/metrics", timeout=30).text
        lines = [line for line in page.splitlines() if line.startswith("apiserver_request_total{")]
        ours = [line for line in lines if 'resource="checkouts"' in line or 'resource="events"' in line]
        return sum(float(line.split()[-1]) for line in ours if any(f'verb="{verb}"' in line for verb in WRITES))
