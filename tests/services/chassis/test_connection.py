"""A connection answers in the order in which it was asked, whoever answers, and ends as it should."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiohttp import web as aiohttp_web

from services.chassis.connection import PLAIN_READS, PlainReads
from services.chassis.malformed import Runner
from services.chassis.plain_read import Recogniser
from services.chassis.telemetry import Metrics
from services.chassis.web import Readiness, close_when_draining, close_when_old, json_response
from tests.wire import Wire

HOST = b"Host: x\r\n"


def fast(number):
    """Give a plain read that is answered with its number."""
    return b"GET /read HTTP/1.1\r\n" + HOST + b"X-Number: %d\r\n\r\n" % number


def slow(number, more=b""):
    """Give a request that aiohttp answers, with its number."""
    return b"POST /write HTTP/1.1\r\n" + HOST + b"X-Number: %d\r\nContent-Length: 4\r\n" % number + more + b"\r\nbody"


class Place:
    """A server in which each request waits until its number may be answered."""

    def __init__(self):
        self.gates = {}
        self.begun = []
        self.readiness = Readiness()
        self.readiness.state = "serving"
        self.now = 0.0

    async def answer(self, request):
        number = int(request.headers["X-Number"])
        self.begun.append((type(request).__name__, number))
        if number in self.gates:
            await self.gates[number].wait()
        return json_response(number)

    def hold(self, *numbers):
        """Have these requests wait."""
        self.gates |= {number: asyncio.Event() for number in numbers}

    async def reached(self, count):
        """Wait until so many requests have begun."""
        async with asyncio.timeout(10):
            while len(self.begun) < count:  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0)

    @asynccontextmanager
    async def runner(self, *, answer=None, **options):
        """Serve."""
        app = aiohttp_web.Application()
        app.add_routes([aiohttp_web.get("/read", self.answer), aiohttp_web.post("/write", self.answer)])
        app.on_response_prepare.append(close_when_draining(self.readiness))
        app.on_response_prepare.append(close_when_old(10, lambda: self.now))
        app[PLAIN_READS] = PlainReads(Recogniser(["/read"], ["X-Number"]), answer or self.answer)
        runner = Runner(app, Metrics(), handle_signals=False, **options)
        await runner.setup()
        try:
            yield runner
        finally:
            for gate in self.gates.values():
                gate.set()
            await runner.cleanup()


@pytest.fixture
def place():
    return Place()


@pytest.fixture
async def runner(place):
    async with place.runner() as it:
        yield it


@pytest.fixture
def server(runner):
    return runner.server


def bodies(answers):
    """Give the numbers of answers."""
    return [int(answer.body) for answer in answers]


async def settle():
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_plain_read_is_answered_before_aiohttp(place, server):
    """Aiohttp sees none of it; head and body are written at once."""
    wire = Wire(server)
    for number in (1, 2):
        wire.receive(fast(number))
        assert bodies(await wire.answers(number))[-1] == number
    assert (place.begun, server.requests_count, wire.writes) == ([("PlainRead", 1), ("PlainRead", 2)], 0, 2)


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


async def test_a_draining_process_ends_connections(place, server):
    """While draining, the answer of a plain read says that the connection closes, and it does."""
    wire = Wire(server)
    wire.receive(fast(1))
    assert "Connection" not in (await wire.answers())[0].headers
    place.readiness.state = "draining"
    wire.receive(fast(2), fast(3))
    answers = await wire.answers(3)
    assert (bodies(answers), answers[1].headers["Connection"], wire.closed) == ([1, 2], "close", True)


async def test_an_old_connection_ends(place, server):
    """The age of a connection counts from its first request, whoever answers it, and a plain read can be the last one."""
    wire = Wire(server)
    wire.receive(slow(1))
    await wire.answers(1)
    place.now = 4.9
    wire.receive(fast(2))
    assert "Connection" not in (await wire.answers(2))[1].headers
    place.now = 10.0
    wire.receive(fast(3))
    assert ((await wire.answers(3))[2].headers["Connection"], wire.closed) == ("close", True)


@pytest.mark.parametrize(
    ("request_", "state"),
    [(slow(1), "draining"), (slow(1, b"Connection: close\r\n"), "serving"), (b"BAD\r\n\r\n", "serving")],
)
async def test_nothing_is_answered_after_the_last_answer(place, server, request_, state):
    """Once an answer of aiohttp ends the connection, a plain read behind it is not begun."""
    place.readiness.state = state
    wire = Wire(server)
    wire.on_write = lambda: asyncio.get_running_loop().call_soon(wire.receive, fast(2))  # before it is closed
    wire.receive(request_)
    await wire.answers()
    await settle()
    assert (wire.closed, len(wire.read()), ("PlainRead", 2) in place.begun) == (True, 1, False)


async def test_a_stop_waits_for_the_read_under_way(place, runner):
    """A process that stops answers what it has begun, then closes the connection, and begins nothing more."""
    place.hold(1)
    wire = Wire(runner.server)
    wire.receive(fast(1))
    await place.reached(1)
    stopping = asyncio.create_task(runner.cleanup())
    await settle()
    wire.receive(fast(2))
    assert (stopping.done(), wire.closed) == (False, False)
    place.gates[1].set()
    await stopping
    assert (bodies(wire.read()), wire.read()[0].headers["Connection"], wire.closed) == ([1], "close", True)
    assert place.begun == [("PlainRead", 1)]


async def test_a_stop_does_not_wait_for_ever(place):
    """A read that does not end in time ends with its connection."""
    place.hold(1)
    async with place.runner(shutdown_timeout=0.01) as runner:
        wire = Wire(runner.server)
        wire.receive(fast(1))
        await place.reached(1)
        await runner.cleanup()
        await settle()
        assert (wire.closed, wire.read(), wire.protocol.is_busy) == (True, [], False)


@pytest.mark.parametrize("before", [[], [fast(1)], [slow(1)], [fast(1), slow(2)], [b"GET "]])
async def test_an_idle_connection_is_closed(place, before):
    """A connection on which nothing happens is closed, whatever came before."""
    async with place.runner(idle_seconds=0.02) as runner:
        wire = Wire(runner.server)
        wire.receive(*before)
        async with asyncio.timeout(10):
            while not wire.closed:
                wire.changed.clear()
                await wire.changed.wait()
        assert len(wire.read()) == sum(one.endswith((b"body", b"\r\n\r\n")) for one in before)


@pytest.mark.parametrize("request_", [fast(1), slow(1)])
async def test_a_connection_is_not_idle_while_it_waits_for_an_answer(place, request_):
    """However long an answer takes, its connection stays, and is idle only some time after it."""
    place.hold(1)
    async with place.runner(idle_seconds=3600.0) as runner:
        wire = Wire(runner.server)
        wire.receive(request_)
        await place.reached(1)
        for closed in (False, True):
            wire.protocol._active_at -= 3601
            wire.protocol._close_if_idle()
            assert wire.closed is closed
            if not closed:
                place.gates[1].set()
                await wire.answers()
                await settle()
                wire.protocol._close_if_idle()
                assert not wire.closed


async def test_aiohttp_closes_no_connection(server):
    """The limit of aiohttp on idle connections, which does not count plain reads, closes none."""
    assert Wire(server).protocol.keepalive_timeout > 10**9


async def test_a_read_that_fails_ends_its_connection(place, caplog):
    """What should not happen is logged, and its client sees the connection end."""

    async def broken(_):
        raise RuntimeError("x")

    async with place.runner(answer=broken) as runner:
        wire = Wire(runner.server)
        wire.receive(fast(1))
        assert (await wire.answers(), wire.closed) == ([], True)
        assert [record.message for record in caplog.records] == ["unexpected failure"]
        assert caplog.records[0].exc_info


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
