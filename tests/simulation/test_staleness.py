"""When a simulated cart may be older than the last acknowledged write: as rarely as is promised."""

import pytest

from tests.simulation.mistakes import MISTAKES
from tests.simulation.run import run_schedule
from tests.simulation.world import STALE_SECONDS, World

FIRST = 364
"""The first seed that showed it when this was written."""


@pytest.fixture
def world():
    """A world in which nothing has happened yet."""
    return World(1)


def begin(world, user_id):
    """Let a write of a user's cart begin."""
    key = b"cart:%d" % user_id
    world.redis.run([b"EVAL", b"", b"3", key, key + b":w", key + b":l", b"begin", b"5000", b"token"], now(world))


def now(world):
    """Give the time of Redis, in milliseconds."""
    return int(world.loop.now * 1000)


def test_a_loss_of_the_cache_alone_excuses_nothing(world):
    """Where no write is under way no cart may be old, however much Redis loses."""
    world.lose_cache()
    assert not world.may_be_stale(1)


def test_a_loss_in_the_middle_of_a_write_excuses_the_carts_user_for_a_while(world):
    """Nobody else's cart may be old, and that one's not for ever."""
    begin(world, 1)
    world.lose_cache()
    assert (world.may_be_stale(1), world.may_be_stale(2)) == (True, False)
    world.loop.now += STALE_SECONDS
    assert not world.may_be_stale(1)


def test_a_writer_that_died_before_the_loss_excuses_nothing(world):
    """Its token has run out, and so has its write."""
    begin(world, 1)
    world.loop.now += 5.0
    world.lose_cache()
    assert not world.may_be_stale(1)


def test_a_write_that_redis_did_not_hear_of_excuses_carts_for_a_while(world):
    """As long as a value is trusted, and what a write and a read take."""
    world.reached("cart_cache{write_unseen}")
    assert world.may_be_stale(1)
    world.loop.now += STALE_SECONDS
    assert not world.may_be_stale(1)


def test_a_mistake_is_noticed_after_a_loss_of_the_cache_too():
    """A schedule in which Redis has lost its data is held to the promise as others are."""
    for seed in (*range(FIRST, 1000), *range(1, FIRST)):
        with MISTAKES["cache_filled_across_a_write"]():
            result = run_schedule(seed)
        if result.violation and result.violation.promise.startswith("I9") and result.coverage["cache flushed"]:
            return
    raise AssertionError("it was not noticed")
