"""Calls to a part beyond our network."""

import grpc
import pytest

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
