"""Settings are checked before anything starts, and compared with those of a running stack."""

import subprocess
import sys

import pytest

from devstack import settings
from devstack.home import ROOT, Home, user_environment
from devstack.settings import WrongSettings, changed
from devstack.table import PARTS

PORTS = dict.fromkeys((variable for one in PARTS.values() for variable, _ in one.ports), 1)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("BANK_SUCCESS_RATE", "2", "BANK_SUCCESS_RATE: Input should be less than or equal to 1 (got '2')"),
        ("DRAIN_DELAY", "soon", "DRAIN_DELAY: must be a duration such as 250ms, 2s, 5m or 1h (got 'soon')"),
        ("RESERVATION_TTL", "x", "RESERVATION_TTL: must be a duration such as 250ms, 2s, 5m or 1h (got 'x')"),
        ("TOPIC_PARTITIONS", "x", "TOPIC_PARTITIONS: "),
        ("MIRROR_MODE", "x", "MIRROR_MODE: Input should be 'All', 'Failures' or 'None' (got 'x')"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, variable, value, told):
    """A wrong setting of any part is told once, by its variable, whichever roles read it."""
    with pytest.raises(WrongSettings) as error:
        settings.check(PARTS.values(), Home(tmp_path), PORTS, {variable: value})
    assert str(error.value).count(variable) == 1
    assert told in str(error.value)


def test_the_usual_settings_are_right(tmp_path):
    """What devstack itself sets is accepted by every part."""
    settings.check(PARTS.values(), Home(tmp_path), PORTS, {})


@pytest.mark.parametrize("variable", ["BANK_SUCCESS_RATE", "MIRROR_MODE", "POSTGRES_URL", "GATEWAY_PORT", "CLUSTER"])
def test_a_setting_that_changed(variable):
    """A setting that a stack was started without, or with, is named; its value, which may be secret, is not needed."""
    assert changed({}, {variable: "1"}) == changed({variable: "1"}, {}) == [variable]
    assert changed({variable: "1"}, {variable: "1"}) == []


def test_what_is_no_setting():
    """A shell's own variables are no settings, and neither is what the stack itself decides."""
    assert changed({}, {"PWD": "/", "HTTP_PORT": "1", "KUBECONFIG": "/x", "BANK_ADDR": "x", "BANK_ADMIN": ""}) == []


def test_the_settings_are_known_outside_of_the_tests():
    """`make up` knows the settings of every part, the operator's too, without the paths that the tests have."""
    env = {name: value for name, value in user_environment().items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", "from devstack import settings; print(*settings._names())"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"MIRROR_MODE", "AUTH_ADMIN_ROLE", "GATEWAY_PORT"} <= set(done.stdout.split())
