"""Ports that are kept for the parts of a stack."""

import socket

import pytest

from devstack.ports import HOST, hold, is_taken


@pytest.fixture
def port(unused_tcp_port):
    """A port that is held."""
    (held,) = hold([unused_tcp_port])
    yield unused_tcp_port
    held.close()


def test_a_held_port_can_be_listened_on(port):
    """The part that a port is kept for listens on it, again after it has ended, and is seen to hold it."""
    for _ in range(2):
        assert not is_taken(port)
        with socket.create_server((HOST, port)) as server:
            assert is_taken(port)
            with socket.create_connection((HOST, port)), server.accept()[0]:
                pass


def test_a_held_port_is_no_outgoing_connections(port):
    """No outgoing connection gets a port that is kept, as it would get one that is free."""
    with socket.create_server((HOST, 0)) as server, socket.socket() as client:
        with pytest.raises(OSError, match="in use"):
            client.bind((HOST, port))
        client.connect(server.getsockname())
        assert client.getsockname()[1] != port


def test_a_port_that_is_in_use_is_left_to_its_holder():
    """Who listens already is not disturbed."""
    with socket.create_server((HOST, 0)) as server:
        assert hold([server.getsockname()[1]]) == []
