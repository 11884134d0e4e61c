"""One API server for the tests of the Checkout resource, with nothing behind it."""

import shutil

import pytest

from devstack.apiserver import kubectl
from devstack.client import Stack
from devstack.home import ROOT, Home, user_environment
from tests.kube import Kube


class Api(Kube):
    """An API server as the tests of its rules ask it."""

    def try_out(self, spec, **more):
        """Give the answer to a Checkout that is not kept."""
        return self.create(spec, dry_run=True, **more)

    def kept(self, **spec):
        """Create a Checkout of user 1, or of another, and give its name."""
        return self.apply(**({"userId": 1} | spec))

    def project(self, name, **status):
        """Write a part of the status, as the operator does, and give the answer."""
        return self.patch(name, {"status": status}, "/status")


@pytest.fixture(name="api", scope="session")
def api_fixture():
    """An API server of its own, with the resource."""
    home = Home(ROOT / ".cartwright" / "test_crds")
    Stack(home).down()
    shutil.rmtree(home.path, ignore_errors=True)
    stack = Stack.up(home.path, only={"etcd", "apiserver"})
    yield Api(home.kubeconfig, program=kubectl(user_environment(), print))
    stack.down()
