"""Namespaces of a real API server as its admin has them: made, claimed, deleted and emptied, since no controller runs there."""

from tests.kube import MOUSE, Kube

LEASE = "checkouts.cartwright.dev"


class Space(Kube):
    """A namespace, as the admin has it."""

    def __init__(self, admin, name):
        super().__init__(admin.kubeconfig, name)
        self._space, self.name = f"{self.url}/api/v1/namespaces/{name}", name
        self.create_namespace()

    def create_namespace(self):
        """Create it."""
        answer = self.session.post(
            f"{self.url}/api/v1/namespaces", json={"metadata": {"name": self.namespace}}, timeout=10
        )
        assert answer.ok, answer.text

    def end(self):
        """Have it be terminating, as `kubectl delete namespace` does."""
        assert self.session.delete(self._space, timeout=10).ok
        assert self.session.get(self._space, timeout=10).json()["status"]["phase"] == "Terminating"

    def empty(self):
        """Delete what is in it, rights first, and then itself: what the controller does that does not run here."""
        rbac = f"{self.url}/apis/rbac.authorization.k8s.io/v1/namespaces/{self.namespace}"
        leases = f"{self.url}/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases"
        for one in (f"{rbac}/rolebindings", f"{rbac}/roles", leases, self.checkouts):
            assert self.session.delete(one, timeout=10).ok
        body = self.session.get(self._space, timeout=10).json()
        answer = self.session.put(f"{self._space}/finalize", json=body | {"spec": {"finalizers": []}}, timeout=10)
        assert answer.ok, answer.text

    def holder(self):
        """Give the release that has it; None where none has."""
        url = f"{self.url}/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases/{LEASE}"
        answer = self.session.get(url, timeout=10)
        return answer.json()["spec"]["holderIdentity"] if answer.ok else None

    def label(self, name, **labels):
        """Change labels of a Checkout."""
        self.change(name, {"metadata": {"labels": labels}})

    def phase(self, name):
        """Give its phase."""
        return self.status(name).get("phase")


def free_all(admin):
    """Delete every claim, as Kubernetes does when the releases are uninstalled: no controller runs here."""
    url = f"{admin.url}/apis/coordination.k8s.io/v1"
    for lease in admin.session.get(f"{url}/leases", timeout=10).json()["items"]:
        if lease["metadata"]["name"] == LEASE:
            where = f"{url}/namespaces/{lease['metadata']['namespace']}/leases/{LEASE}"
            assert admin.session.delete(where, timeout=10).ok


def buy(space):
    """Apply a Checkout."""
    return space.namespace, space.apply(userId=7, items=MOUSE)
