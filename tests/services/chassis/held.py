"""A server in which a test decides when each request is answered, and the requests for it."""

import asyncio
from contextlib import asynccontextmanager

from aiohttp import web as aiohttp_web

from services.chassis.connection import PLAIN_READS, PlainReads
from services.chassis.malformed import Runner
from services.chassis.plain_read import Recogniser
from services.chassis.telemetry import Metrics
from services.chassis.web import Readiness, close_when_draining, close_when_old, json_response

HOST = b"Host: x\r\n"
KEPT = aiohttp_web.RequestKey("kept", int)


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
        self.kept = []
        self.readiness = Readiness()
        self.readiness.state = "serving"
        self.now = 0.0

    async def answer(self, request):
        number = int(request.headers["X-Number"])
        self.begun.append((type(request).__name__, number))
        self.kept.append(request.get(KEPT))
        request[KEPT] = number
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


def bodies(answers):
    """Give the numbers of answers."""
    return [int(answer.body) for answer in answers]


async def settle():
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)
