"""Which keys of an issuer's key set may verify a token."""

import base64
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from services.chassis.oidc.jwks import NoUsableKey, parse_key_set
from services.chassis.oidc.policy import ASYMMETRIC
from tests.issuer import private_key, public_jwk

ALGORITHMS = frozenset({"RS256", "ES256"})
RSA, EC = public_jwk("RS256", "rsa"), public_jwk("ES256", "ec")
SECRET = base64.urlsafe_b64encode(b"x" * 32).decode().rstrip("=")


def read(*keys, algorithms=ALGORITHMS):
    return parse_key_set(json.dumps({"keys": keys}).encode(), algorithms)


def without(jwk, *names):
    return {name: value for name, value in jwk.items() if name not in names}


def test_a_key_is_bound_to_its_algorithm():
    """A key counts for the algorithm it names, and for no other."""
    assert [(key.kid, set(key.bound)) for key in read(RSA, EC)] == [("rsa", {"RS256"}), ("ec", {"ES256"})]
    everything = read(RSA, EC, public_jwk("EdDSA", "ed"), algorithms=ASYMMETRIC)
    assert [set(key.bound) for key in everything] == [{"RS256"}, {"ES256"}, {"EdDSA"}]


def test_a_key_without_algorithm_counts_for_those_of_its_type():
    """An RSA key that names no algorithm is bound to those of RSA that are set, an EC key to that of its curve."""
    rsa_key, ec_key = read(
        without(RSA, "alg", "use"), without(EC, "alg"), algorithms={"RS256", "PS256", "ES256", "ES384"}
    )
    assert (set(rsa_key.bound), set(ec_key.bound)) == ({"RS256", "PS256"}, {"ES256"})


def test_a_key_is_the_same_when_fetched_again():
    """Two fetches of one key are equal; another key under the same name is not."""
    assert read(RSA) == read(dict(reversed(RSA.items())))
    assert read(RSA) != read(public_jwk("RS256", "rsa", 1))


SHORT = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)
PRIVATE = RSAAlgorithm.to_jwk(private_key("RS256"), as_dict=True)


@pytest.mark.parametrize(
    "held",
    [
        RSA | {"use": "enc"},
        RSA | {"use": None},
        RSA | {"key_ops": ["encrypt"]},
        RSA | {"key_ops": "verify"},
        RSA | {"alg": "RS512"},
        RSA | {"alg": "ES256"},
        RSA | {"alg": "HS256"},
        RSA | {"alg": "none"},
        RSA | {"alg": ["RS256"]},
        RSA | {"alg": "RSA-OAEP", "use": "enc"},
        RSA | {"kid": 7},
        RSA | {"kty": "EC"},
        RSA | {"n": 7},
        RSA | {"n": ""},
        without(RSA, "n"),
        without(EC, "y"),
        EC | {"x": EC["y"]},
        EC | {"crv": "P-384"},
        EC | {"kty": "OKP", "crv": "Ed25519"},
        EC | {"kty": []},
        EC | {"crv": {}},
        ECAlgorithm.to_jwk(private_key("ES256"), as_dict=True) | {"kid": "ec"},
        PRIVATE,
        SHORT,
        {"kty": "oct", "k": SECRET, "kid": "s", "alg": "HS256"},
        {"kty": "oct", "k": SECRET, "kid": "s"},
        {"kty": "oct", "k": SECRET, "alg": "RS256", "crv": "P-256"},
        {"kty": "RSA", "k": SECRET, "alg": "RS256"},
        {}, [], None, "RSA", 7,
    ],
)  # fmt: skip
def test_keys_that_must_not_be_used_are_left_out(held):
    """To encrypt, symmetric, private, short, broken or for another algorithm: such a key is as if it were not there."""
    assert read(held, EC | {"kid": "good"}) == read(EC | {"kid": "good"})
    with pytest.raises(NoUsableKey):
        read(held)


@pytest.mark.parametrize(
    "document", [b"", b"{", b"[]", b"{}", b'{"keys": 7}', b'{"keys": []}', b"\xff", b'{"keys":' + b"[" * 9000]
)
def test_what_is_no_key_set_is_refused(document):
    """What an issuer sends can be anything; it is a key set or it is refused."""
    with pytest.raises(NoUsableKey):
        parse_key_set(document, ALGORITHMS)


JSON = (
    st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()) | st.dictionaries(st.text(), st.text())
)


@given(st.sampled_from([RSA, EC, public_jwk("EdDSA", "ed")]), st.data())
def test_no_key_breaks_the_reading(jwk, data):
    """Whatever a member of a key holds, the key can be used or is left out."""
    name = data.draw(st.sampled_from(sorted(jwk)))
    for key in parse_key_set(json.dumps({"keys": [jwk | {name: data.draw(JSON)}, RSA]}).encode(), ASYMMETRIC):
        assert all(isinstance(bound, jwt.PyJWK) and name in ASYMMETRIC for name, bound in key.bound.items())
