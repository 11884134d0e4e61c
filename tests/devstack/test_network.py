"""What is said of a program that could not be fetched."""

import http.server
import ssl
import subprocess
import threading

import pytest

from devstack import fetch
from devstack.home import user_environment
from devstack.network import AUTHORITY, reason

PIP = (
    "Could not fetch URL https://pypi.example/simple/x/: There was a problem confirming the ssl certificate:"
    " HTTPSConnectionPool(host='pypi.example', port=443): Max retries exceeded with url: /simple/x/ (Caused by SSLError("
    "SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate')))\n"
    "ERROR: No matching distribution found for x"
)
REQUESTS = (
    f'Traceback (most recent call last):\n  File "a.py", line 1, in get\n    get()\nrequests.exceptions.SSLError: {PIP}'
)
GO = 'Get "https://proxy.example/x": tls: failed to verify certificate: x509: certificate signed by unknown authority'


@pytest.mark.parametrize(
    ("said", "host"),
    [(PIP, "pypi.example"), (REQUESTS, "pypi.example"), (GO, "proxy.example")],
    ids=["pip", "jgo", "go"],
)
def test_a_certificate_that_is_not_trusted(said, host):
    """A proxy's own certificate authority is named as the cause, with the variables that help, and no traceback."""
    told = reason(said)
    assert f"the certificate of {host} is not trusted" in told
    assert AUTHORITY in told
    for word in ("Traceback", "File", "is the network there"):
        assert word not in told


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("dial tcp: lookup proxy.example: no such host", "is the network there"),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
            "what came is not the file that is pinned",
        ),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("Traceback (most recent call last):\n  File x\nKeyError: 'a'", "KeyError: 'a'"),
        ("", "it did not say why"),
    ],
)
def test_other_causes(said, cause):
    """Each cause has its own words; what is not known is the program's last line, without the traceback."""
    told = reason(said)
    assert told.startswith(cause)
    assert "Traceback" not in told


def test_pip_says_so_itself(tmp_path):
    """A registry whose certificate nobody signed is told as such by the real pip, also where it would try only once."""
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    made += ["-keyout", f"{tmp_path}/key", "-out", f"{tmp_path}/crt", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # the client hangs up: that is what is tested
        threading.Thread(target=server.serve_forever, daemon=True).start()
        env = user_environment() | {
            "PIP_INDEX_URL": f"https://127.0.0.1:{server.server_port}/simple",
            "PIP_FIND_LINKS": "",
            "PIP_RETRIES": "0",
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        }
        with pytest.raises(
            fetch.CannotFetch, match=r"^redis could not be fetched: the certificate of 127\.0\.0\.1:\d+ is not"
        ):
            fetch.tool("redis", env, print)
        server.shutdown()
    assert [one for one in (tmp_path / "cache" / "cartwright").iterdir() if one.suffix != ".lock"] == []


def test_a_cache_that_cannot_be_written(tmp_path):
    """A cache that cannot be made is told with the variable that names another."""
    (tmp_path / "file").touch()
    with pytest.raises(fetch.CannotFetch, match=r"Not a directory; .*XDG_CACHE_HOME="):
        fetch.tool("redis", {"XDG_CACHE_HOME": str(tmp_path / "file")}, print)
