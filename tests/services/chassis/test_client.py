"""Calls to a part beyond our network."""

import asyncio

import grpc
import pytest

from services.chassis import client
from services.chassis.client import Endpoint
from services.chassis.telemetry import Metrics
from services.errors import Unavailable
from services.pb import product_pb2 as pb
from services.pb import product_pb2_grpc
from tests.issuer import self_signed


class Beyond(product_pb2_grpc.ProductServiceServicer):
    """Answers whoever gets through."""

    async def ListProducts(self, request, context):  # noqa: N802 - the proto's name
        """Answer with nothing."""
        return pb.ListProductsResponse()


async def test_a_part_that_is_called_by_tls(tmp_path, monkeypatch):
    """A server with a certificate of a known authority is reached by TLS, and is not spoken to in plain."""
    file = self_signed(tmp_path)
    monkeypatch.setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", str(file))
    pem = file.read_bytes()
    server = grpc.aio.server()
    product_pb2_grpc.add_ProductServiceServicer_to_server(Beyond(), server)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(pem, pem)]))
    await server.start()
    for tls in (True, False):
        async with Endpoint("product", f"127.0.0.1:{port}", Metrics(), tls=tls) as end:
            call = end.send(
                product_pb2_grpc.ProductServiceStub(end.channel).ListProducts, pb.ListProductsRequest(), within=2
            )
            if tls:
                await call
            else:
                with pytest.raises(Unavailable):
                    await call
    await server.stop(0)


async def test_a_channel_is_replaced_while_it_reaches_nobody(monkeypatch):
    """A service that had no address for long is reached soon after it is back, by a stub that was made before."""
    monkeypatch.setattr(client, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(client, "CONNECT_SECONDS", 0.05)
    server = grpc.aio.server()
    product_pb2_grpc.add_ProductServiceServicer_to_server(Beyond(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    async with Endpoint("product", "dns:///nobody.invalid:1", Metrics()) as end:
        method = product_pb2_grpc.ProductServiceStub(end.channel).ListProducts
        first = end.channel.current
        with pytest.raises(Unavailable):
            await end.send(method, pb.ListProductsRequest(), within=2)
        await server.start()
        end.channel._make = lambda: grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        async with asyncio.timeout(10):
            while True:
                try:
                    await end.send(method, pb.ListProductsRequest(), within=2)
                    break
                except Unavailable:
                    await asyncio.sleep(0.01)
        assert end.channel.current is not first
        there = end.channel.current
        for _ in range(3):
            await end.send(method, pb.ListProductsRequest(), within=2)
            assert await end.ready() == "ok"
        assert end.channel.current is there
    await server.stop(0)
