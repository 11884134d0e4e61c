"""Batches and lists: order, neighbours, sizes, and what stands beside a refusal."""

import grpc
import pytest

from services.checkout.api import CheckoutApi
from services.checkout.domain import AnotherRunning, MissingProduct, Step, UnknownProducts
from services.pb import checkout_pb2 as pb
from tests.services.checkout.wire import INVALID, PRECONDITION, cancel, spoilt, start

pytestmark = pytest.mark.real


async def test_a_bad_item_among_good_ones(stub, user):
    """Results come in the order of their items, and a bad one harms no other, whichever method is asked."""
    items = [start(user, f"k{number}") for number in range(5)]
    items[1], items[3] = spoilt(items[1], {"user_id": 0}), spoilt(items[3], {"idempotency_key": "\0"})
    kinds = [*["answer", "refusal"] * 2, "answer"]
    reply = await stub.StartCheckouts(pb.StartCheckoutsRequest(items=items))
    assert [one.WhichOneof("outcome") for one in reply.results] == kinds
    keys = [one.answer.checkout.idempotency_key for one in reply.results]
    assert keys == ["k0", "", "k2", "", "k4"]
    asked = [
        pb.GetCheckout(user_id=one.user_id, origin=pb.RESOURCE, idempotency_key=one.idempotency_key) for one in items
    ]
    got = await stub.GetCheckouts(pb.GetCheckoutsRequest(items=asked))
    assert [one.checkout.idempotency_key for one in got.results] == keys
    assert [got.results[number].refusal.code for number in (1, 3)] == [INVALID, INVALID]
    stop = [cancel(one.user_id, one.idempotency_key) for one in items]
    ended = await stub.CancelCheckouts(pb.CancelCheckoutsRequest(items=stop))
    assert [one.checkout.idempotency_key for one in ended.results] == keys


@pytest.mark.parametrize("method", ["StartCheckouts", "GetCheckouts", "CancelCheckouts"])
async def test_the_size_of_a_batch(stub, method):
    """An empty batch has an empty answer; one too large is refused as a whole, with its bound."""
    request = getattr(pb, f"{method}Request")
    assert list((await getattr(stub, method)(request())).results) == []
    item = {"StartCheckouts": pb.StartCheckout, "GetCheckouts": pb.GetCheckout, "CancelCheckouts": pb.CancelCheckout}
    with pytest.raises(grpc.aio.AioRpcError, match="at most 256 items") as error:
        await getattr(stub, method)(request(items=[item[method]()] * 257))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_lists(stub, sessions, user, make_claim, bring):
    """A list has what runs and what has just ended, oldest first, and no more than was asked for."""
    made = [await sessions.claim(make_claim(user + number * 10**9)) for number in range(4)]
    await bring(sessions, made[1], Step.COMPLETED)

    async def ids(**asked):
        listed = await stub.ListCheckouts(pb.ListCheckoutsRequest(origin=pb.REST, **asked))
        return [one.id for one in listed.checkouts]

    everything = [one.id for one in made]
    assert await ids() == [made[0].id, *everything[2:]]
    assert await ids(ended_within_ms=2**32 - 1, most=2**32 - 1) == everything
    assert await ids(ended_within_ms=60_000, most=2) == everything[:2]


async def test_a_list_has_pages(stub, sessions, user, make_claim, bring):
    """The pages of a list have each checkout once, also when what a page ended with is no longer in the list."""
    made = [await sessions.claim(make_claim(user + number * 10**9)) for number in range(5)]
    pages, more = [], {}
    while len(pages) < 4:
        page = await stub.ListCheckouts(pb.ListCheckoutsRequest(origin=pb.REST, most=2, **more))
        pages.append([one.id for one in page.checkouts])
        if not page.HasField("next_cursor"):
            break
        await bring(sessions, made[2 * len(pages) - 1], Step.COMPLETED)
        more = {"cursor": page.next_cursor}
    assert pages == [[one.id for one in made[start : start + 2]] for start in (0, 2, 4)]
    with pytest.raises(grpc.aio.AioRpcError, match="cursor must be the next_cursor of a page"):
        await stub.ListCheckouts(pb.ListCheckoutsRequest(origin=pb.REST, cursor="x"))


async def test_a_conflict_says_what_a_program_needs(user):
    """Beside its words a conflict names the running checkout, or the products that are gone, of its own item alone."""

    class Refusing:
        async def start(self, requests):
            missing = UnknownProducts([MissingProduct(404, "Typewriter"), MissingProduct(405)])
            return [missing if request.key == "gone" else AnotherRunning("c9") for request in requests]

    items = [pb.StartCheckout(user_id=user, origin=pb.REST, idempotency_key=key) for key in ("gone", "busy")]
    reply = await CheckoutApi(Refusing(), None, None).StartCheckouts(pb.StartCheckoutsRequest(items=items), None)
    gone, busy = reply.results
    assert (gone.refusal.code, busy.refusal.code) == (PRECONDITION, PRECONDITION)
    assert gone.refusal.message == "not in the catalogue: Typewriter (product 404), product 405"
    named = [(one.product_id, one.product_name) for one in gone.unknown_products]
    assert (named, gone.running_checkout_id) == ([(404, "Typewriter"), (405, "")], "")
    assert (list(busy.unknown_products), busy.running_checkout_id) == ([], "c9")
