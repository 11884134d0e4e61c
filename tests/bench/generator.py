"""The load generator: a process of its own, so that its cost is known and is not the bench's.

Run as `python -m tests.bench.generator`; the order comes on standard input as JSON, the result goes to standard output. It
speaks to this machine only, opens no more connections than it is told, and stops by itself.
"""

import asyncio
import json
import sys
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import uvloop

from tests.bench import scripts
from tests.bench.figures import summary
from tests.bench.scripts import NOTHING, Good, Pause, Script, Send
from tests.bench.wire import Answer, NotHttp, cut, request

HOST = "127.0.0.1"
ANSWER_SECONDS = 15.0  # what has not come by then does not come
MOST_CONNECTIONS = 1024


@dataclass(frozen=True, slots=True)
class Order:
    """What to do: a kind of load on a port, by so many connections, `amount` each, for at most so many seconds.

    With `rate`, an open loop: so many scripts a second begin, whether earlier ones have ended or not.
    """

    port: int
    kind: str
    connections: int
    amount: int
    user: int = 1
    seconds: float = 60.0
    rate: float = 0.0
    every: float = 0.02
    path: str = "/"


Make = Callable[[Order, int, int, scripts.Clock], Script]
KINDS: dict[str, Make] = {
    "page": lambda order, _number, _user, _clock: scripts.repeat("page", request("GET", order.path), order.amount),
    "buyers": lambda order, _number, user, _clock: scripts.buyer(user, order.amount),
    "shoppers": lambda order, _number, user, _clock: scripts.shopper(user, order.amount),
    "filler": lambda order, _number, user, _clock: scripts.filler(user, order.amount),
    "readers": lambda order, number, _user, _clock: scripts.reader(order.user + number, 1, order.amount),
    "writers": lambda order, _number, user, _clock: scripts.writer(user, order.amount),
    "delivered": lambda order, _number, user, clock: scripts.delivered(user, order.amount, order.every, clock),
}
"""What makes the script of a connection: from the order, the connection's number, and the first of its own users."""


def script(order: Order, number: int, clock: scripts.Clock) -> Script:
    """Make the script of connection `number`, whose users are its own."""
    return KINDS[order.kind](order, number, order.user + number * order.amount, clock)


@dataclass
class Record:
    """What has been seen."""

    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    answers: Counter[str] = field(default_factory=Counter)
    good: int = 0
    not_sent: int = 0
    began: float = field(default_factory=time.perf_counter)
    good_by_second: Counter[int] = field(default_factory=Counter)
    """Good answers by the second, since `began`, in which their script began: what is asked in one second may be answered in the next."""


class Link(asyncio.Protocol):
    """One TCP connection of a client; one that the client has let go of is not listened to any more."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._transport: asyncio.Transport | None = None
        self._data = b""

    def write(self, wire: bytes) -> None:
        """Send bytes."""
        assert self._transport
        self._transport.write(wire)

    def close(self) -> None:
        """Close it at once."""
        assert self._transport
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is none by its class

    def data_received(self, data: bytes) -> None:
        self._data = self._data + data if self._data else data
        try:
            found = cut(self._data)
        except NotHttp:
            self._client.lost(self)
            return
        if found:
            answer, length = found
            self._data = self._data[length:]
            self._client.answered(self, answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.lost(self)


class Client:
    """A user's connection, made again where it is lost, on which one script runs after the other."""

    def __init__(self, port: int, record: Record, on_idle: Callable[["Client"], None]) -> None:
        self._port, self._record, self._on_idle = port, record, on_idle
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._send: Send | None = None
        self._asked_at = self._began_at = 0.0
        self._script: Script | None = None
        self._connecting: asyncio.Task[None] | None = None

    def run(self, work: Script) -> None:
        """Run a script from its start."""
        self._script, self._began_at = work, time.perf_counter()
        self._go_on(None)

    def watch(self, now: float) -> None:
        """Give up an answer that takes too long."""
        if self._send and now - self._asked_at > ANSWER_SECONDS:
            self._let_go()
            self._record_answer(NOTHING)

    def close(self) -> None:
        """Close the connection; what is under way is not counted."""
        self._script = self._send = None
        if self._connecting:
            self._connecting.cancel()
        self._let_go()

    def answered(self, link: Link, answer: Answer) -> None:
        """Take an answer."""
        if link is self._link and self._send:
            if not answer.reusable:
                self._let_go()
            self._record_answer(answer)

    def lost(self, link: Link) -> None:
        """Take it that a connection is gone, or of no use; what was asked on it has no answer."""
        if link is self._link:
            self._let_go()
            if self._send:
                self._record_answer(NOTHING)

    def _let_go(self) -> None:
        link, self._link = self._link, None
        if link:
            link.close()

    def _record_answer(self, answer: Answer) -> None:
        send, self._send = self._send, None
        assert send
        self._record.answers[f"{send.label} {answer.status or 'no answer'}"] += 1
        self._record.times[send.label].append(time.perf_counter() - self._asked_at)
        self._go_on(answer)

    def _go_on(self, answer: Answer | None) -> None:
        """Take the script's next step; `None` before its first, and after what is no answer."""
        try:
            while self._script:
                step = self._script.send(answer) if answer else next(self._script)
                if isinstance(step, Send):
                    return self._ask(step)
                if isinstance(step, Pause):
                    self._loop.call_later(step.seconds, self._go_on, None)
                    return None
                answer = None
                if isinstance(step, Good):
                    self._record.good += 1
                    self._record.good_by_second[int(self._began_at - self._record.began)] += 1
                else:
                    self._record.times[step.label].append(step.seconds)
        except StopIteration:
            self._record.times["script"].append(time.perf_counter() - self._began_at)
            self._script = None
            self._on_idle(self)

    def _ask(self, send: Send) -> None:
        self._send, self._asked_at = send, time.perf_counter()
        if self._link:
            self._link.write(send.wire)
        else:
            self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            _, link = await self._loop.create_connection(lambda: Link(self), HOST, self._port)
        except OSError:
            await asyncio.sleep(0.1)  # nobody listens: not a thousand times a second
            if self._send:
                self._record_answer(NOTHING)
            return
        self._link = link
        if self._send:
            link.write(self._send.wire)


class Generator:
    """Runs the scripts of an order."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._record = Record()
        self._clients: list[Client] = []
        self._idle: deque[Client] = deque()
        self._left = 0
        self._done = asyncio.Event()

    async def run(self) -> dict[str, Any]:
        """Do it, and give what was seen; after its seconds are over, what was seen until then."""
        self._record.began, cpu = time.perf_counter(), time.process_time()
        watching = asyncio.create_task(self._watch())
        ended = "done"
        try:
            async with asyncio.timeout(self._order.seconds):
                await (self._open() if self._order.rate else self._closed())
        except TimeoutError:
            ended = "out of time"
        took = time.perf_counter() - self._record.began
        watching.cancel()
        for client in self._clients:
            client.close()
        return {
            "ended": ended,
            "seconds": took,
            "cpu": time.process_time() - cpu,
            "good": self._record.good,
            "not_sent": self._record.not_sent,
            "answers": dict(sorted(self._record.answers.items())),
            "times": {label: summary(times) for label, times in self._record.times.items()},
            "good_by_second": dict(sorted(self._record.good_by_second.items())),
        }

    async def _closed(self) -> None:
        self._left = self._order.connections
        for number in range(self._order.connections):
            self._client(self._one_less).run(script(self._order, number, time.perf_counter))
        await self._done.wait()

    async def _open(self) -> None:
        """Begin scripts at the rate, however many have not ended; what no connection is left for is not sent."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        total = int(self._order.rate * self._order.seconds)
        for number in range(total):
            if (wait := began + number / self._order.rate - loop.time()) > 0:
                await asyncio.sleep(wait)
            if self._idle:
                client = self._idle.popleft()
            elif len(self._clients) < self._order.connections:
                client = self._client(self._idle.append)
            else:
                self._record.not_sent += 1
                continue
            client.run(script(self._order, number, time.perf_counter))
        await asyncio.Event().wait()  # until the seconds are over

    def _client(self, on_idle: Callable[[Client], None]) -> Client:
        client = Client(self._order.port, self._record, on_idle)
        self._clients.append(client)
        return client

    def _one_less(self, _: Client) -> None:
        self._left -= 1
        if not self._left:
            self._done.set()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            now = time.perf_counter()
            for client in self._clients:
                client.watch(now)


def asked(text: str) -> Order:
    """Read an order; ValueError where it asks for too much."""
    order = Order(**json.loads(text))
    if not 0 < order.connections <= MOST_CONNECTIONS:
        raise ValueError(f"connections: 1 to {MOST_CONNECTIONS}")
    if order.kind not in KINDS:
        raise ValueError(f"there is no load of kind {order.kind!r}; the kinds are: {', '.join(KINDS)}")
    return order


def written(order: Order) -> str:
    """Write an order down."""
    return json.dumps(asdict(order))


async def _run(order: Order) -> dict[str, Any]:
    return await Generator(order).run()


if __name__ == "__main__":
    json.dump(uvloop.run(_run(asked(sys.stdin.read()))), sys.stdout)
