"""Carts are linearizable while instances of the service are killed; where the cache's protocol is broken, that is noticed.

`make linearizability` runs this and longer.
"""

import random

import pytest

from devstack.home import ROOT
from tests.linearizability.cart_service import Run
from tests.linearizability.checker import check
from tests.seeds.seed import load

pytestmark = pytest.mark.real
BROKEN = ("a_reader_fills_across_a_write", "invalidated_before_the_write_alone")
"""Seeds in the script of the cache."""
ROUNDS = 30


async def test_a_cart_is_linearizable(stores):
    """Every answer is that of some moment between the question and itself, whatever is killed meanwhile."""
    seed = random.randrange(10**9)
    run = Run(stores, seed)
    await run.round(users=6, seconds=3)
    verdict = check(run.history.operations)
    assert verdict.good, (seed, verdict)
    assert verdict.unknown
    assert run.seen["instances killed"]
    assert run.seen["removals"]


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_protocol_is_noticed(stores, name):
    """With a mistake in the cache's script some answer is of no moment: an older cart is read after a newer one."""
    seed = load()[name]
    script = seed.planted((ROOT / seed.file).read_text()).encode()
    for number in range(ROUNDS):
        run = Run(stores, number, script)
        await run.round(users=6, seconds=2)
        if check(run.history.operations).not_linearizable:
            return
    raise AssertionError(f"{name} was not noticed in {ROUNDS} rounds")
