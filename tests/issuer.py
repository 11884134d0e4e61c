"""An issuer of tokens for the tests: a real HTTP server with a discovery document and a key set, and the private keys."""

import functools
import ipaddress
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

AUDIENCE = "cartwright"
_MAKING = threading.Lock()
_MAKE = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}
_JWK = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


def private_key(algorithm: str, number: int = 0) -> Any:
    """Give a key pair; the same for the same arguments, since making one takes a while."""
    with _MAKING:  # its server asks for it too, on a thread of its own
        return _made(algorithm, number)


@functools.cache
def _made(algorithm: str, _: int) -> Any:
    return _MAKE[algorithm]()


def public_jwk(algorithm: str, kid: str | None, number: int = 0, **more: Any) -> dict[str, Any]:
    """Give the public half as a JSON Web Key."""
    jwk = _JWK[algorithm].to_jwk(private_key(algorithm, number).public_key(), as_dict=True)
    return jwk | {"use": "sig", "alg": algorithm} | ({"kid": kid} if kid else {}) | more


def signed(key: Any, algorithm: str, kid: str | None, **claims: Any) -> str:
    """Sign claims as they are, those that are None left out."""
    held = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(held, key, algorithm, headers={"kid": kid} if kid else None)


def self_signed(folder: Path) -> Path:
    """Make a certificate for 127.0.0.1 that only who is told of it believes, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "issuer.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return file


class LocalIssuer:
    """Answers on a port of its own, from `start` to `stop`; `requests` are the paths that it was asked for.

    With a `certificate` (a file that holds its key too) it speaks https.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        self._certificate = certificate
        self.requests: list[str] = []
        self.keys = {"rsa": ("RS256", 0), "ec": ("ES256", 0)}
        self.jwks: bytes | None = None
        """What is served instead of its keys."""
        self.document: dict[str, Any] = {}
        """What differs in the discovery document."""
        self.status = 200
        self.answers = threading.Event()
        """Not set: it takes requests, and does not answer them."""
        self.answers.set()
        self._port = 0
        self._server: ThreadingHTTPServer | None = None
        self.start()

    @property
    def url(self) -> str:
        """What it calls itself."""
        return f"http{'s' if self._certificate else ''}://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen, from the second time on at the same port."""
        ThreadingHTTPServer.daemon_threads = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), self._handler())
        self._port = self._server.server_port
        if self._certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(self._certificate)
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self.answers.set()
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def rotate(self, kid: str, number: int) -> None:
        """Sign with another RSA key from now on, and take the old ones back."""
        self.keys = {kid: ("RS256", number)}

    def token(self, kid: str | None = "rsa", **claims: Any) -> str:
        """Give a token of user 1 that counts for ten minutes, but for what `claims` say; None leaves a claim out."""
        algorithm, number = self.keys[kid or next(iter(self.keys))]
        now = int(time.time())
        good = {"iss": self.url, "aud": AUDIENCE, "sub": "1", "iat": now, "nbf": now, "exp": now + 600}
        return signed(private_key(algorithm, number), algorithm, kid, **(good | claims))

    def _page(self, path: str) -> bytes:
        if path == "/.well-known/openid-configuration":
            return msgspec.json.encode({"issuer": self.url, "jwks_uri": f"{self.url}/keys"} | self.document)
        if self.jwks is not None:
            return self.jwks
        return msgspec.json.encode({"keys": [public_jwk(alg, kid, n) for kid, (alg, n) in self.keys.items()]})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.requests.append(self.path)
                issuer.answers.wait(30)
                body = issuer._page(self.path)
                self.send_response(issuer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                if issuer.status == 302:
                    self.send_header("Location", f"{issuer.url}/keys")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
                """Say nothing."""

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:  # who asked has left
                    self.close_connection = True

        return Handler
