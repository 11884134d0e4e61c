"""What is printed after an installation: what to try, and what to beware of."""

import json
import subprocess

import pytest

from devstack import helm
from devstack.home import user_environment
from tests.charts.cases import CASES, CHART, NAMESPACE
from tests.charts.rendering import helm_environment

pytestmark = pytest.mark.real


@pytest.fixture(name="notes", scope="module")
def notes_fixture(server):
    """Give what Helm prints after it would have installed a case on our API server, which has the definition already."""
    program = helm.find(user_environment(), print)
    env = helm_environment() | {"KUBECONFIG": str(server.kube.kubeconfig)}

    def notes(name):
        case = CASES[name]
        files = [word for path in case.files for word in ("-f", str(path))]
        command = [str(program), "install", case.release, str(CHART), "-n", NAMESPACE, "--dry-run=server", "-f", "-"]
        command += ["--set", "crds.enabled=false"]
        given = json.dumps(case.values)
        done = subprocess.run([*command, *files], env=env, input=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.partition("NOTES:")[2]

    return notes


def test_what_to_try(notes):
    """What is printed names the resource and the gateway's own Service and port."""
    told = notes("production")
    assert f"kubectl -n {NAMESPACE} get checkouts -w" in told
    assert f"kubectl -n {NAMESPACE} port-forward svc/cartwright-gateway 8080:8080" in told
    assert "svc/cartwright-gateway 8080:80\n" in notes("balanced")
    assert "svc/eu-cartwright-gateway" in notes("other-release")
    assert f"The operator watches the namespace {NAMESPACE} and no other" in told
    assert "idempotencyKey: first" in told
    assert "needs the verb buy on shoppers.cartwright.dev/1" in told
    assert "get checkouts" not in notes("no-operator")
    assert "of the namespaces shop, team-a, team-b and no other" in notes("watch-list")
    others = notes("watch-others")
    assert (
        "watches the namespace team-a and no other, and there the Checkouts with the labels of watch.selector" in others
    )
    assert "kubectl -n team-a get checkouts -w" in others
    labels = 'labels: {"shop.example/team":"a","ticket":"true","tier":"gold"}'
    assert f"metadata: {{name: first, {labels}}}" in others
    assert "watches the Checkouts of all namespaces, but for those that belong to another release" in notes("watch-all")
    assert "watches" not in notes("no-operator")
    bought = next(line for line in told.splitlines() if "kubectl" in line and "apply" in line)
    checked = subprocess.run(["bash", "-n", "-c", bought], capture_output=True, text=True, check=True)
    assert (bought.startswith("  echo '"), checked.stderr) == (True, "")


@pytest.mark.parametrize(
    ("case", "warnings"),
    [
        ("production", []),
        ("mock-users", ["auth.mode is mock"]),
        ("dev", ["auth.mode is mock", "the payment provider is simulated"]),
        ("urls", ["the payment provider is simulated", "URLs of stores stand in the values"]),
        ("routes", []),
        ("any-host", ["gateway.ingress.tls is empty"]),
        ("open-network", ["networkPolicy.enabled is off"]),
        (
            "buyers-unchecked",
            [f"admission.checkBuyer is off: whoever may create a Checkout in {NAMESPACE} may buy for any"],
        ),
    ],
)
def test_what_to_beware_of(notes, case, warnings):
    """What is not safe is warned of, and only then."""
    told = [line for line in notes(case).splitlines() if line.startswith("WARNING: ")]
    assert len(told) == len(warnings)
    assert all(wanted in line for wanted, line in zip(warnings, told, strict=True))
