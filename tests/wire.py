"""A connection without a socket: the test says in which pieces bytes arrive, and sees what is written."""

import asyncio
from dataclasses import dataclass

from multidict import CIMultiDict


@dataclass(frozen=True)
class Answer:
    """An answer of HTTP."""

    status_line: str
    headers: CIMultiDict[str]
    body: bytes

    @property
    def status(self):
        return int(self.status_line.split()[1])


class Wire(asyncio.Transport):
    """The transport of a connection to a server of aiohttp."""

    def __init__(self, server):
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.written = bytearray()
        self.writes = 0
        self.closed = self.paused = False
        self.changed = asyncio.Event()
        self.on_write = lambda: None
        """Called after each write."""
        self.protocol = server()
        self.protocol.connection_made(self)

    def receive(self, *pieces):
        """Give the server what its client sent."""
        for piece in pieces:
            self.protocol.data_received(piece)

    async def answers(self, count=1):
        """Give the answers so far, once there are so many or the connection is closed."""
        async with asyncio.timeout(10):
            while len(found := self.read()) < count and not self.closed:
                self.changed.clear()
                await self.changed.wait()
        return found

    async def settled(self):
        """Wait until nothing is under way, and nothing begins by itself."""
        async with asyncio.timeout(10):
            quiet = 0
            while quiet < 10:
                quiet = 0 if self.protocol.is_busy else quiet + 1
                await asyncio.sleep(0)

    def read(self):
        """Give the answers so far, without 100 Continue."""
        rest, found = bytes(self.written), []
        while b"\r\n\r\n" in rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            if head.startswith(b"HTTP/1.1 100 "):
                continue
            status_line, *lines = head.decode("latin-1").split("\r\n")
            headers = CIMultiDict(line.split(": ", 1) for line in lines)
            length = int(headers.get("Content-Length", 0))
            if len(rest) < length:
                break
            found.append(Answer(status_line, headers, rest[:length]))
            rest = rest[length:]
        return found

    def leave(self):
        """Close the connection from the client's side."""
        self.closed = True
        self.protocol.connection_lost(None)

    def write(self, data):
        assert not self.closed, "nothing is written to a closed connection"
        self.written += data
        self.writes += 1
        self.on_write()
        self.changed.set()

    def writelines(self, pieces):
        self.write(b"".join(pieces))

    def close(self):
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)
            self.changed.set()

    def abort(self):
        self.close()

    def is_closing(self):
        return self.closed

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False

    def get_write_buffer_size(self):
        return 0
