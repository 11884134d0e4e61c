"""The health that docs/resources.md gives Argo CD, run by the Lua of Redis: both are Lua 5.1."""

import json
import re
from dataclasses import replace

import pytest
from redis import Redis

from checkout_operator.status import project
from devstack.home import ROOT
from tests.operator.views import over
from tests.platforms import new_stack

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
    with (
        new_stack(f"test_lua-{request.config.getoption('--lane')}", only={"redis"}) as stack,
        Redis.from_url(stack.env()["REDIS_URL"], decode_responses=True) as client,
    ):
        yield lambda resource: client.eval(SCRIPT, 0, json.dumps(resource))


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
