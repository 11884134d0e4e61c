"""Stands between the operator and the API server of `make up`, so that people can make the faults of some runbooks by hand.

    .venv/bin/python -m tests.odd_apiserver skew|slow|odd

`skew`: its clock is a minute ahead. `slow`: every write takes 150 ms longer. `odd`: what is created is answered with an object
that is no Checkout. It points the operator's kubeconfig at itself and starts the operator again, and puts both back at Ctrl-C.
"""

import asyncio
import json
import ssl
import sys
import time
from contextlib import suppress
from email.utils import formatdate

import aiohttp
from aiohttp import web

from devstack.client import Stack
from devstack.home import default_home, user_environment

FAULTS = ("skew", "slow", "odd")
AHEAD_SECONDS = 60
SLOWER_SECONDS = 0.15
CHANGED = {"date", "transfer-encoding", "content-length"}
"""Headers of an answer that are not passed on as they are."""


class Proxy:
    """Passes every request on, but for its one fault."""

    def __init__(self, fault: str, target: str, session: aiohttp.ClientSession) -> None:
        self._fault, self._target, self._session = fault, target, session

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        if self._fault == "slow" and request.method in {"POST", "PATCH"}:
            await asyncio.sleep(SLOWER_SECONDS)
        if self._fault == "odd" and request.method == "POST":
            return web.json_response({"metadata": 1})
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        async with self._session.request(
            request.method,
            self._target + request.path_qs,
            headers=headers,
            data=await request.read() or None,
            skip_auto_headers=["Content-Type"],
        ) as answered:
            kept = {name: value for name, value in answered.headers.items() if name.lower() not in CHANGED}
            ahead = AHEAD_SECONDS if self._fault == "skew" else 0
            shown = web.StreamResponse(
                status=answered.status, headers=kept | {"Date": formatdate(time.time() + ahead, usegmt=True)}
            )
            with suppress(ConnectionError):  # the operator has ended
                await shown.prepare(request)
                async for part in answered.content.iter_any():
                    await shown.write(part)
                await shown.write_eof()
            return shown


async def main(fault: str) -> None:
    """Stand between them until Ctrl-C."""
    stack = Stack(default_home(user_environment()))
    kubeconfig = stack.home.operator_kubeconfig
    before = kubeconfig.read_text()
    cluster = json.loads(before)["clusters"][0]["cluster"]
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE  # the API server of this machine
    connector = aiohttp.TCPConnector(limit=0, ssl=tls)
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=None), connector=connector, auto_decompress=False
    ) as session:
        application = web.Application(client_max_size=10**8)
        application.router.add_route("*", "/{path:.*}", Proxy(fault, cluster["server"], session).answer)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        try:
            kubeconfig.write_text(before.replace(cluster["server"], f"http://127.0.0.1:{port}"))
            await asyncio.to_thread(restart, stack)
            sys.stdout.write(f"the operator speaks to port {port} of this process ({fault}); Ctrl-C ends that\n")
            await asyncio.Event().wait()
        finally:
            kubeconfig.write_text(before)
            restart(stack)
            await runner.cleanup()


def restart(stack: Stack) -> None:
    """Start the operator again."""
    stack.stop("operator")
    stack.start("operator")


if __name__ == "__main__":
    if sys.argv[1:] not in [[one] for one in FAULTS]:
        sys.exit(f"usage: python -m tests.odd_apiserver {'|'.join(FAULTS)}")
    try:
        asyncio.run(main(sys.argv[1]))
    except KeyboardInterrupt:
        sys.stdout.write("the operator speaks to the API server itself again\n")
