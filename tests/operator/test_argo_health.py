"""The health that docs/resources.md gives Argo CD, run by the Lua of Redis: both are Lua 5.1."""

import json
import re
import shutil
from dataclasses import replace

import pytest
from redis import Redis

from checkout_operator.status import project
from devstack.client import Stack
from devstack.home import ROOT, Home
from tests.operator.views import over

pytestmark = pytest.mark.real
SNIPPET = re.search(r"```lua\n(.*?)```", (ROOT / "docs" / "resources.md").read_text(), re.DOTALL)[1]
SCRIPT = f"""
local function check(obj)
{SNIPPET}
end
local health = check(cjson.decode(ARGV[1]))
return {{health.status, health.message}}
"""


@pytest.fixture(scope="module")
def lua(request):
    """Run the snippet on a resource, and give the health and its message."""
    home = Home(ROOT / ".cartwright" / f"test_lua-{request.config.getoption('--lane')}")
    Stack(home).down()
    shutil.rmtree(home.path, ignore_errors=True)
    stack = Stack.up(home.path, only={"redis"})
    with Redis.from_url(stack.env()["REDIS_URL"], decode_responses=True) as client:
        yield lambda resource: client.eval(SCRIPT, 0, json.dumps(resource))
    stack.down()


def test_argo_cd_reads_it(lua, view):
    """What has no status or runs is progressing, what bought is healthy, what failed is degraded, with the words for it."""
    bought = replace(view, saga_step="COMPLETED", finished_ms=1)
    new = {"metadata": {"generation": 1}, "spec": {"userId": 7}}
    assert lua(new) == ["Progressing", "waits for the operator"]
    assert lua(new | {"status": project(view, 1)}) == ["Progressing", "it is paying"]
    assert lua(new | {"status": project(bought, 1)}) == ["Healthy", "the order is made"]
    assert lua(new | {"status": project(over(view), 1)}) == ["Degraded", "the bank declined the payment"]
    later = {"metadata": {"generation": 2}, "status": project(bought, 1)}
    assert lua(new | later) == ["Progressing", "waits for the operator"]
