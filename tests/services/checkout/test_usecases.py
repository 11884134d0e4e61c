"""Starting checkouts on both stores: one purchase out of one intention, whoever races and whatever reply is lost."""

import asyncio

import pytest

from services.checkout.claims import CartContent, Claimer, Priced, Unpriced
from services.checkout.domain import (
    AnotherRunning,
    EmptyCart,
    LostLease,
    MissingProduct,
    Origin,
    Status,
    Step,
    UnknownCheckout,
    UnknownProducts,
)
from services.checkout.usecases import Checkouts, Start
from services.errors import NotFound, OutcomeUnknown, Unavailable

WAIT = 4.0
SHORT = 0.3  # seconds; what a shopper waits for a saga that a test holds back


class MemoryCart:
    """Fits the port Carts: one document, and rivals who act exactly before or after it is read."""

    def __init__(self):
        self.version, self.lines, self.reads = 0, {}, 0
        self.names = {404: "Typewriter"}
        self.before, self.after = [], []

    def add(self, line_id, product_id=1, quantity=1):
        self.lines[line_id] = (product_id, quantity, frozenset())
        self.version += 1

    def remove(self, purchase):
        for line_id, quantity in purchase.lines:
            product_id, there, bought = self.lines.get(line_id, (0, 0, {purchase.checkout_id}))
            if purchase.checkout_id not in bought:
                self.version += 1
                self.lines[line_id] = (product_id, there - quantity, bought | {purchase.checkout_id})
                if there <= quantity:
                    del self.lines[line_id]

    async def content(self, user_id, bought):
        self.reads += 1
        if self.before:
            await self.before.pop(0)()
        for purchase in bought:
            self.remove(purchase)
        lines = tuple(
            Unpriced(line_id, product_id, quantity, self.names.get(product_id))
            for line_id, (product_id, quantity, _) in self.lines.items()
        )
        content = CartContent(self.version, lines)
        if self.after:
            await self.after.pop(0)()
        return content


class MemoryPrices:
    """Fits the port Prices: everything but the products from 404 on costs 100."""

    async def priced(self, product_ids):
        return [
            NotFound("product not found") if product_id >= 404 else Priced(product_id, "Thing", 100, "USD")
            for product_id in product_ids
        ]


class Saga:
    """Drives as it is told: to `ends[key]` or to completion, once `goes` is set; `fault` stops it."""

    def __init__(self, sessions, bring):
        self.sessions, self.bring = sessions, bring
        self.ends, self.driven, self.fault = {}, [], None
        self.goes = asyncio.Event()
        self.goes.set()
        self.begun = asyncio.Event()

    async def advance(self, session):
        self.driven.append(session.id)
        self.begun.set()
        await self.goes.wait()
        if self.fault:
            raise self.fault
        return await self.bring(self.sessions, session, self.ends.get(session.key, Step.COMPLETED))


@pytest.fixture
def cart():
    """A cart with one thing in it."""
    cart = MemoryCart()
    cart.add("l1")
    return cart


def make_desk(sessions, cart, advance, *, notify=print):
    """Wire the use case."""
    return Checkouts(sessions, Claimer(sessions, cart, MemoryPrices()), advance, notify=notify)


@pytest.fixture
async def saga(sessions, bring):
    """What drives the sagas here."""
    return Saga(sessions, bring)


@pytest.fixture
def told():
    """What sagas were stopped by."""
    return []


@pytest.fixture
def new_process(sessions, cart, saga, told):
    """Give the use case as another process has it."""
    return lambda: make_desk(
        sessions, cart, saga.advance, notify=lambda session, fault: told.append((session.id, fault))
    )


@pytest.fixture
def checkouts(new_process):
    """The use case."""
    return new_process()


@pytest.fixture
def find(sessions, user):
    """Give the checkout of a key of the user's."""
    return lambda key: sessions.find(user, Origin.REST, key)


@pytest.fixture
def buy(checkouts, user):
    """Start a checkout of the user's."""

    async def buy(key="k", wait=WAIT, process=checkouts):
        return (await process.start([Start(user, key, wait)]))[0]

    return buy


async def test_a_checkout_runs_to_its_end(buy, cart, user):
    """A start gives the checkout once it has ended, with what was in the cart at its price."""
    cart.add("l2", 2, 3)
    started = await buy()
    assert (started.session.status, started.replayed) == (Status.COMPLETED, False)
    assert [(line.line_id, line.unit_price_minor, line.quantity) for line in started.session.lines] == [
        ("l1", 100, 1),
        ("l2", 100, 3),
    ]
    assert started.session.total_minor == 400


@pytest.mark.parametrize("end", [Step.COMPLETED, Step.FAILED])
async def test_a_key_that_has_ended_is_replayed(buy, cart, saga, new_process, end):
    """The answer of a key is for ever: it comes again from any process, byte for byte, without a look at the cart."""
    saga.ends["k"] = end
    first = await buy()
    cart.add("l9")
    reads = cart.reads
    again = await buy(process=new_process())
    assert (again.replayed, again.session) == (True, first.session)
    assert (cart.reads, len(saga.driven)) == (reads, 1)


async def test_an_empty_cart_is_refused_and_stores_nothing(buy, cart, find):
    """An empty cart leaves the key usable: once something is in the cart the same key buys it."""
    cart.lines.clear()
    assert isinstance(await buy(), EmptyCart)
    assert await find("k") is None
    cart.add("l2")
    assert (await buy()).session.status is Status.COMPLETED


async def test_unknown_products_are_named_and_leave_the_key_usable(buy, cart, find):
    """A cart with things that are not sold any more is refused with all their names; without them the same key buys it."""
    cart.add("l2", 404)
    cart.add("l3", 405)
    refusal = await buy()
    assert isinstance(refusal, UnknownProducts)
    assert refusal.products == (MissingProduct(404, "Typewriter"), MissingProduct(405, None))
    assert str(refusal) == "not in the catalogue: Typewriter (product 404), product 405"
    assert await find("k") is None
    del cart.lines["l2"], cart.lines["l3"]
    assert (await buy()).session.status is Status.COMPLETED


async def test_a_purchase_is_replayed_though_its_product_is_gone(buy, cart):
    """What was bought before a product left the catalogue is replayed, though the cart could not be bought any more."""
    first = await buy()
    cart.add("l2", 404)
    again = await buy()
    assert (again.replayed, again.session) == (True, first.session)


async def test_a_line_of_9999_is_bought(buy, cart):
    """A cart line as large as one may be is claimed whole."""
    cart.add("l2", 2, 9999)
    session = (await buy()).session
    assert (session.status, session.lines[1].quantity, session.total_minor) == (Status.COMPLETED, 9999, 1_000_000)


async def test_another_running_checkout_is_named(buy, saga, find):
    """While a checkout of the cart runs, another key is refused with its id, and stores nothing."""
    saga.goes.clear()
    running = await buy("first", wait=SHORT)
    refusal = await buy("second")
    assert isinstance(refusal, AnotherRunning)
    assert refusal.checkout_id == running.session.id
    assert await find("second") is None
    saga.goes.set()


async def test_a_refusal_as_empty_takes_a_second_look(buy, cart, new_process, saga):
    """A cart that is empty because the same key bought it elsewhere is no refusal: that checkout is the answer."""

    async def rival():
        await buy(process=new_process())
        cart.lines.clear()

    cart.before = [rival]
    assert (await buy()).session.status is Status.COMPLETED
    assert len(saga.driven) == 1


async def test_a_refusal_as_unknown_takes_a_second_look(buy, cart, new_process, saga):
    """A product that is not sold any more is no refusal where the same key bought the cart without it."""

    async def rival():
        del cart.lines["l2"]
        await buy(process=new_process())

    cart.add("l2", 404)
    cart.after = [rival]
    assert (await buy()).session.status is Status.COMPLETED
    assert len(saga.driven) == 1


async def test_a_barred_claim_takes_a_second_look(buy, cart, new_process, saga):
    """A claim barred by a running checkout of the same key joins it, instead of being refused for another."""
    saga.goes.clear()
    elsewhere = new_process()
    cart.after = [lambda: buy(process=elsewhere, wait=SHORT)]
    joined = asyncio.create_task(buy())
    await saga.begun.wait()
    saga.goes.set()
    assert (await joined).session.status is Status.COMPLETED
    assert len(saga.driven) == 1


class LostReply:
    """A store whose replies to claims are lost, after they were made or before."""

    def __init__(self, sessions, *, made):
        self._sessions, self._made = sessions, made

    def __getattr__(self, name):
        return getattr(self._sessions, name)

    async def claim(self, claim):
        if self._made:
            await self._sessions.claim(claim)
        raise OutcomeUnknown("the connection to the database was lost")


async def test_a_lost_reply_to_a_claim_that_was_made_finds_it(buy, sessions, cart, saga):
    """A claim whose reply was lost is looked for: the checkout is the answer, and its key claims no other."""
    desk = make_desk(LostReply(sessions, made=True), cart, saga.advance)
    started = await buy(process=desk, wait=SHORT)
    assert (started.session.status, started.session.key) == (Status.PROCESSING, "k")
    assert (await buy(wait=SHORT)).session.id == started.session.id


async def test_a_lost_reply_to_a_claim_that_was_not_made_is_no_refusal(buy, sessions, cart, saga, find):
    """A claim that was lost on its way may be tried again with the same key, which then buys."""
    desk = make_desk(LostReply(sessions, made=False), cart, saga.advance)
    assert isinstance(await buy(process=desk), Unavailable)
    assert await find("k") is None
    assert (await buy()).session.status is Status.COMPLETED


@pytest.mark.parametrize("processes", [1, 4])
async def test_one_key_many_times_at_once_is_one_checkout(buy, new_process, cart, saga, processes):
    """Sixteen requests with one key, in one process or in several, claim once, drive once and hear the same answer."""
    desks = [new_process() for _ in range(processes)]
    started = await asyncio.gather(*(buy(process=desks[number % processes]) for number in range(16)))
    assert {(one.session.id, one.session.response_body) for one in started} == {
        (started[0].session.id, started[0].session.response_body)
    }
    assert started[0].session.status is Status.COMPLETED
    assert len(saga.driven) == 1
    assert cart.reads <= processes


async def test_many_keys_at_once_buy_the_cart_once(buy, saga):
    """Requests with keys of their own buy each thing once; the others hear of the one that runs, or of nothing to buy."""
    started = await asyncio.gather(*(buy(f"k{number}") for number in range(8)))
    bought = [one for one in started if not isinstance(one, Exception)]
    assert len(bought) == len(saga.driven) == 1
    assert {type(one) for one in started if isinstance(one, Exception)} <= {AnotherRunning, EmptyCart}


async def test_a_purchase_in_the_way_is_taken_out_of_the_cart(buy, cart):
    """What another key bought before its removal reached the cart is removed by the next claim, and the rest is bought."""
    await buy("first")
    cart.add("l2")
    second = (await buy("second")).session
    assert [line.line_id for line in second.lines] == ["l2"]
    assert isinstance(await buy("third"), EmptyCart)


@pytest.mark.parametrize("read", ["before the add", "after the add"])
async def test_a_claim_on_an_old_reading_of_the_cart_buys_nothing_twice(buy, checkouts, cart, saga, read):
    """A slow claim buys only what is left, though the purchase it missed is known to be gone and its rival has failed.

    It reads the cart while the first checkout runs. That one completes; something is added; a second claim learns that
    the purchase is gone, and fails. Nothing but the version of its reading then stands against the slow claim.
    """
    saga.goes.clear()
    await buy("first", wait=SHORT)
    saga.ends["second"] = Step.FAILED

    async def rivals():
        saga.goes.set()
        await checkouts.drain()
        if read == "before the add":
            cart.add("l2")
        assert (await buy("second")).session.step is Step.FAILED

    if read == "after the add":
        cart.add("l2")
    cart.after = [rivals]
    slow = (await buy("slow")).session
    assert (slow.status, [line.line_id for line in slow.lines]) == (Status.COMPLETED, ["l2"])


async def test_a_claim_that_is_always_barred_gives_up_in_time(buy, cart, sessions, find):
    """A claim that something bars again and again ends as unavailable, to be tried again soon, and stores nothing."""

    class Barred(LostReply):
        async def claim(self, claim):
            await asyncio.sleep(0)

    desk = make_desk(Barred(sessions, made=False), cart, None)
    refusal = await buy(process=desk, wait=SHORT)
    assert isinstance(refusal, Unavailable)
    assert refusal.retry_after > 0
    assert await find("k") is None


async def test_a_shopper_who_will_not_wait_longer_hears_how_it_stands(buy, checkouts, saga, sessions):
    """Past its time a request hears that the checkout runs; the saga goes on, and a drain waits for it."""
    saga.goes.clear()
    started = await buy(wait=SHORT)
    assert (started.session.status, started.replayed) == (Status.PROCESSING, False)
    assert checkouts.driven == [started.session.id]
    saga.goes.set()
    await checkouts.drain()
    assert (await sessions.load(started.session.id)).status is Status.COMPLETED
    assert checkouts.driven == []


async def test_a_shopper_who_leaves_stops_nothing(buy, saga, checkouts, find):
    """A request that is cancelled leaves its checkout running to the end."""
    saga.goes.clear()
    asking = asyncio.create_task(buy())
    await saga.begun.wait()
    asking.cancel()
    await asyncio.wait({asking})
    saga.goes.set()
    await checkouts.drain()
    assert (await find("k")).status is Status.COMPLETED


async def test_a_saga_that_another_drives_is_waited_for(buy, new_process, saga):
    """A repeat that reaches another process waits for the end there too."""
    saga.goes.clear()
    first = await buy(wait=SHORT)
    joined = asyncio.create_task(buy(process=new_process()))
    await asyncio.sleep(0)
    saga.goes.set()
    assert (await joined).session.id == first.session.id
    assert (await joined).session.status is Status.COMPLETED


@pytest.mark.parametrize("fault", [Unavailable("payment is away"), OutcomeUnknown("no answer"), LostLease("x")])
async def test_what_stops_a_saga_is_no_refusal(buy, saga, told, fault):
    """A part that is away or a lease that is lost is told to the operators; the shopper hears that it runs."""
    saga.fault = fault
    started = await buy(wait=SHORT)
    assert started.session.status is Status.PROCESSING
    assert told == [(started.session.id, fault)]


async def test_a_checkout_is_its_users_alone(buy, checkouts, user):
    """Another user's checkout is as unknown as one that does not exist."""
    mine = (await buy()).session
    there, theirs, none = await checkouts.get([(user, mine.id), (user + 10**9, mine.id), (user, "x")])
    assert there == mine
    assert isinstance(theirs, UnknownCheckout)
    assert isinstance(none, UnknownCheckout)


async def test_a_key_that_ended_elsewhere_while_it_was_claimed_is_the_answer(buy, cart, saga, new_process):
    """A claim that meets its own key, ended and no bar to the cart, gives that end at once and does not ask again."""
    elsewhere = new_process()
    saga.ends["k"] = Step.FAILED
    cart.after = [lambda: buy(process=elsewhere)]
    assert (await buy()).session.status is Status.FAILED
    assert cart.reads == 2


async def test_a_shopper_who_leaves_takes_nobody_along(buy, cart, saga):
    """Requests that joined a claim get their checkout, though the one that began it was cancelled meanwhile."""
    reading, goes_on = asyncio.Event(), asyncio.Event()

    async def slow():
        reading.set()
        await goes_on.wait()

    cart.before = [slow]
    leaving, staying = asyncio.create_task(buy()), asyncio.create_task(buy())
    await reading.wait()
    leaving.cancel()
    await asyncio.wait({leaving})
    goes_on.set()
    assert (await staying).session.status is Status.COMPLETED
    assert len(saga.driven) == 1
