"""What is written for a change, and what is said of it when the store answers in every way it may."""

import asyncio
from datetime import UTC, datetime

import pytest

from services.cart import changes
from services.cart.changes import CartWriter
from services.cart.domain import Cart, add, remove
from services.errors import InternalError, OutcomeUnknown, Unavailable
from tests.services.cart.memory import MemoryCache, MemoryCarts

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Answering(MemoryCarts):
    """A store that gives the answers of `replies` to its first writes, and keeps what it was to write."""

    def __init__(self, *replies):
        super().__init__()
        self.replies, self.wanted, self.reads = list(replies), [], []
        self.before_reply = []

    async def read(self, user_ids):
        self.reads.append(user_ids)
        return await super().read(user_ids)

    async def replace(self, pairs):
        self.wanted += [after for _, after in pairs]
        if self.before_reply:
            self.before_reply.pop(0)(pairs)
        if self.replies:
            return [self.replies.pop(0) for _ in pairs]
        return await super().replace(pairs)


@pytest.fixture
def cache():
    """The cache."""
    return MemoryCache()


@pytest.fixture
def change(cache):
    """Apply changes of user 1 to the carts of a store, and give the outcomes."""

    async def change(carts, *wanted):
        writer = CartWriter(carts, cache, clock=lambda: NOW)
        return await writer.change([(1, one) for one in wanted])

    return change


async def test_what_is_written_says_when_and_by_which_write(change):
    """A document carries the time of its change and the name of its write, another one each time; an empty cart has no time."""
    carts = MemoryCarts()
    first, second, emptied = await change(carts, add(1, 1), add(1, 1), remove(1))
    assert [cart.version for cart in (first, second, emptied)] == [1, 2, 3]
    assert [cart.updated_at for cart in (first, second, emptied)] == [NOW, NOW, None]
    names = {cart.write_id for cart in (first, second, emptied)}
    assert len(names) == 3
    assert all(names)
    assert carts.kept[1] == emptied


async def test_a_change_that_changes_nothing_is_not_written(change):
    """A change that leaves the cart as it is answers with the cart, and the store is not asked to write."""
    carts = Answering()
    [there] = await change(carts, add(1, 2))
    assert await change(carts, lambda cart: cart) == [there]
    assert carts.wanted == [there]


async def test_a_change_that_another_writer_overtook_is_made_again(change):
    """A lost compare-and-set is repeated on the document as it is then, under a new name."""
    carts = Answering(False)
    carts.before_reply = [lambda _: carts.kept.update({1: add(1, 5)(Cart(1))})]
    [there] = await change(carts, add(1, 1))
    assert there.lines[0].quantity == 6
    assert (there.updated_at, there.version) == (NOW, 2)
    assert carts.reads == [[1], [1]]
    assert len({one.write_id for one in carts.wanted}) == 2


async def test_a_refused_write_is_told_as_it_is(change, cache):
    """A store that refuses a write has not made it: its own error is the outcome, and readers may use the cache again."""
    away = Unavailable("the carts are unavailable")
    assert await change(Answering(away), add(1, 1)) == [away]
    assert not cache.writers[1]


async def test_a_write_that_may_land_later_is_never_told_as_refused(change, cache):
    """After a write without a reply, what the store refuses next says nothing about that one: unknown, with what was met last."""
    away = Unavailable("the carts are unavailable")
    [outcome] = await change(Answering(OutcomeUnknown("lost"), away), add(1, 1))
    assert (type(outcome), str(outcome), outcome.__cause__) == (OutcomeUnknown, "the reply to a write was lost", away)
    assert cache.writers[1]


async def test_an_error_that_is_no_outage_is_told_as_it_is(change):
    """What fails unexpectedly after a write without a reply is that error, which says as little about the write."""
    odd = InternalError()
    assert await change(Answering(OutcomeUnknown("lost"), odd), add(1, 1)) == [odd]


@pytest.mark.parametrize(
    ("reply", "expected"), [(False, (Unavailable, None)), (OutcomeUnknown("lost"), (OutcomeUnknown, Unavailable))]
)
async def test_a_document_that_cannot_be_read_after_a_lost_write(change, reply, expected):
    """Where the document cannot be read after a lost compare-and-set, its error is the outcome; after a lost reply it is unknown."""
    carts = Answering(reply)
    carts.before_reply = [lambda _: carts.kept.update({1: Unavailable("the carts are unavailable")})]
    [outcome] = await change(carts, add(1, 1))
    assert (type(outcome), outcome.__cause__ and type(outcome.__cause__)) == expected


async def test_a_write_without_a_reply_that_is_there_is_made(change):
    """A document that is what the lost write was to make says that it was made; it is not made again."""
    carts = Answering(OutcomeUnknown("lost"))
    carts.before_reply = [lambda pairs: carts.kept.update({1: pairs[0][1]})]
    [there] = await change(carts, add(1, 1))
    assert there == carts.kept[1]
    assert len(carts.wanted) == 1


async def test_a_cart_that_moved_on_after_a_lost_reply(change, cache):
    """Where another write came after a lost reply, nobody can tell whether ours was made, and nothing more is written."""
    carts = Answering(OutcomeUnknown("lost"))
    carts.before_reply = [lambda _: carts.kept.update({1: add(1, 5)(Cart(1))})]
    [outcome] = await change(carts, add(1, 1))
    assert isinstance(outcome, OutcomeUnknown)
    assert str(outcome) == "the reply to a write was lost, and the cart has changed since"
    assert len(carts.wanted) == 1
    assert cache.writers[1]


@pytest.mark.parametrize("reply", [False, OutcomeUnknown("lost")])
async def test_a_change_that_never_succeeds_is_given_up(change, monkeypatch, reply):
    """A change is tried for its time. Then it is refused, or unknown where one of its writes had no reply."""
    monkeypatch.setattr(changes, "CHANGE_SECONDS", 0.5)

    class Losing(Answering):
        async def replace(self, pairs):
            await asyncio.sleep(0)
            self.wanted += [after for _, after in pairs]
            return [reply for _ in pairs]

    carts = Losing()
    [outcome] = await change(carts, add(1, 1))
    refusal = outcome if reply is False else outcome.__cause__
    assert type(outcome) is (Unavailable if reply is False else OutcomeUnknown)
    assert (type(refusal), str(refusal)) == (Unavailable, "the cart is being changed; try again")
    assert len(carts.wanted) > 1


async def test_a_store_that_raises_is_an_outcome_of_each(cache):
    """What a store raises for a batch is the outcome of each user in it; the later changes of those users are tried."""

    class Failing(MemoryCarts):
        calls = 0

        async def read(self, user_ids):
            self.calls += 1
            if self.calls == 1:
                raise ZeroDivisionError
            return await super().read(user_ids)

    writer = CartWriter(Failing(), cache, clock=lambda: NOW)
    first, second, third = await writer.change([(1, add(1, 1)), (2, add(1, 1)), (1, add(1, 3))])
    assert [type(one) for one in (first, second)] == [ZeroDivisionError, ZeroDivisionError]
    assert third.lines[0].quantity == 3


@pytest.mark.parametrize("short", ["read", "replace", "read again", "begin_writes"])
async def test_an_answer_that_is_too_short_is_an_error(cache, monkeypatch, short):
    """A store or cache that leaves a user out has broken its promise: nobody is told that this user's change was made."""
    carts = Answering(False, False)
    owner, method = (cache, "begin_writes") if short == "begin_writes" else (carts, short.partition(" ")[0])
    answer, calls = getattr(owner, method), []

    async def all_but_one(asked):
        calls.append(asked)
        answers = await answer(asked)
        return answers[:-1] if len(calls) == (2 if short == "read again" else 1) else answers

    monkeypatch.setattr(owner, method, all_but_one)
    writer = CartWriter(carts, cache, clock=lambda: NOW)
    outcomes = await writer.change([(1, add(1, 1)), (2, add(1, 1))])
    assert [type(one) for one in outcomes] == [ValueError, ValueError]
