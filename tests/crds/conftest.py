"""The API server, as the tests of the Checkout resource ask it."""

import pytest

from devstack.apiserver import kubectl
from devstack.home import user_environment
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
def api_fixture(api_server):
    """The API server, with what a test asks of it."""
    return Api(api_server.home.kubeconfig, program=kubectl(user_environment(), print))
