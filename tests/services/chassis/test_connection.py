"""A connection answers in the order in which it was asked, whoever answers."""

import pytest
from aiohttp import web as aiohttp_web

from services.chassis.connection import PLAIN_READS, PlainReads
from services.chassis.malformed import Runner
from services.chassis.plain_read import Recogniser
from services.chassis.telemetry import Metrics
from tests.services.chassis.held import bodies, fast, settle, slow
from tests.wire import Wire


async def test_a_plain_read_is_answered_before_aiohttp(place, server):
    """Aiohttp sees none of it; head and body are written at once."""
    wire = Wire(server)
    for number in (1, 2):
        wire.receive(fast(number))
        assert bodies(await wire.answers(number))[-1] == number
    assert (place.begun, server.requests_count, wire.writes) == ([("PlainRead", 1), ("PlainRead", 2)], 0, 2)


async def test_a_client_that_repeats_itself_sends_new_requests(place, server):
    """The same bytes again are another request, in which nothing of the one before is kept; other bytes are read anew."""
    wire = Wire(server)
    for count, number in enumerate((1, 1, 2, 1), 1):
        wire.receive(fast(number))
        assert bodies(await wire.answers(count))[-1] == number
    assert place.begun == [("PlainRead", number) for number in (1, 1, 2, 1)]
    assert place.kept == [None] * 4


async def test_one_connection_can_do_both(place, server):
    """A client that writes now and then reads as fast as one that only reads."""
    wire, count = Wire(server), 0
    for number in (1, 2, 3):
        for request in (fast(number), slow(number)):
            wire.receive(request)
            count += 1
            await wire.answers(count)
    assert [kind for kind, _ in place.begun] == ["PlainRead", "Request"] * 3


ORDERS = {
    "a read behind a write": [slow(1), fast(2)],
    "a write behind a read": [fast(1), slow(2)],
    "reads": [fast(1), fast(2), fast(3), fast(4)],
    "writes": [slow(1), slow(2), slow(3)],
    "all sorts": [fast(1), slow(2), fast(3), fast(4), slow(5), fast(6)],
    "two reads in one piece": [fast(1) + fast(2), fast(3)],
    "a read and a write in one piece": [fast(1) + slow(2), fast(3)],
    "a write and a read in one piece": [slow(1) + fast(2), fast(3)],
    "a read and the start of another": [fast(1) + fast(2)[:9], fast(2)[9:], fast(3)],
    "a read in two pieces": [fast(1)[:20], fast(1)[20:], fast(2)],
    "a read, byte by byte": [*[bytes([byte]) for byte in fast(1)], fast(2)],
    "a body in two pieces": [slow(1)[:-2], slow(1)[-2:], fast(2)],
    "a body that comes with a read": [slow(1)[:-2], slow(1)[-2:] + fast(2), fast(3)],
    "reads after something unusual": [fast(1), slow(2, b"Expect: 100-continue\r\n"), fast(3), fast(4)],
    "many reads": [fast(number) for number in range(1, 101)],
}


@pytest.mark.parametrize("pieces", ORDERS.values(), ids=ORDERS.keys())
@pytest.mark.parametrize("backwards", [False, True])
async def test_answers_come_in_the_order_of_the_requests(place, server, pieces, backwards):
    """However requests arrive, and whichever could be answered first, the first one asked is answered first."""
    count = b"".join(pieces).count(b"X-Number")
    numbers = [*range(1, count + 1)]
    place.hold(*numbers)
    wire = Wire(server)
    for piece in pieces:
        wire.receive(piece)
        await settle()
    for number in reversed(numbers) if backwards else numbers:
        place.gates[number].set()
        await settle()
    answers = await wire.answers(count)
    assert bodies(answers) == numbers
    assert [number for _, number in place.begun] == numbers
    assert not wire.paused


@pytest.mark.parametrize("first", [slow(1) + slow(2), slow(1) + fast(2), fast(1) + fast(2), slow(1)[:-1]])
async def test_a_read_does_not_overtake_what_came_with_another_request(place, server, first):
    """Where one piece held more, or less, than one request, the connection stays with aiohttp: nothing is out of order."""
    place.hold(1, 2)
    wire = Wire(server)
    wire.receive(first)
    if b"X-Number: 2" not in first:
        wire.receive(slow(1)[-1:] + slow(2))
    await place.reached(1)
    place.gates[1].set()
    await wire.answers(1)
    await place.reached(2)
    wire.receive(fast(3))
    await settle()
    assert bodies(wire.read()) == [1]
    place.gates[2].set()
    assert bodies(await wire.answers(3)) == [1, 2, 3]
    assert ("PlainRead", 3) not in place.begun


async def test_a_client_that_does_not_wait_is_not_read_further(place, server):
    """While a plain read is under way the connection is not read from, so a client cannot fill the memory."""
    place.hold(1)
    wire = Wire(server)
    wire.receive(fast(1))
    await place.reached(1)
    assert not wire.paused
    wire.receive(fast(2))
    assert wire.paused
    place.gates[1].set()
    assert bodies(await wire.answers(2)) == [1, 2]
    assert not wire.paused


async def test_a_client_that_does_not_read_is_not_answered_further(place, server):
    """Once the buffer of a connection is full, the next read begins after the client has read."""
    wire = Wire(server)
    wire.protocol.pause_writing()
    wire.receive(fast(1))
    await wire.answers(1)
    wire.receive(fast(2))
    await settle()
    assert (place.begun, wire.paused) == ([("PlainRead", 1)], True)
    wire.protocol.resume_writing()
    assert bodies(await wire.answers(2)) == [1, 2]


@pytest.mark.parametrize("full", [False, True])
async def test_a_client_that_leaves_disturbs_nobody(place, server, caplog, full):
    """A read whose client has left ends without a word; what waited behind it is not begun."""
    place.hold(1)
    wire, other = Wire(server), Wire(server)
    if full:
        wire.protocol.pause_writing()
        place.gates[1].set()
    wire.receive(fast(1), fast(2))
    await place.reached(1)
    await settle()
    wire.leave()
    place.gates[1].set()
    other.receive(fast(3))
    assert bodies(await other.answers()) == [3]
    await settle()
    assert place.begun == [("PlainRead", 1), ("PlainRead", 3)]
    assert (wire.protocol.is_busy, caplog.records) == (False, [])
    assert wire.protocol not in server.connections


async def test_hooks_hold_for_plain_reads_or_the_process_does_not_start():
    """A hook that plain reads would go without is refused when the process starts."""

    async def hook(*_):
        """Do nothing."""

    app = aiohttp_web.Application()
    app.on_response_prepare.append(hook)
    app[PLAIN_READS] = PlainReads(Recogniser(["/read"], []), hook)
    runner = Runner(app, Metrics(), handle_signals=False)
    with pytest.raises(TypeError, match="ResponseHook"):
        await runner.setup()
