"""Whether a token counts: every way in which one does not."""

import base64
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from services.chassis.oidc import tokens
from services.chassis.oidc.jwks import parse_key_set
from services.chassis.oidc.policy import Policy
from services.chassis.oidc.tokens import Unauthenticated
from tests.issuer import private_key, public_jwk, signed

ISSUER, AUDIENCE = "https://id.example.com", "shop"
POLICY = Policy(ISSUER, AUDIENCE, frozenset({"RS256", "ES256"}))
JWKS = [public_jwk("RS256", "rsa"), public_jwk("ES256", "ec")]
MOST = 2**63 - 1
FOR_EVER = 2**40  # seconds since 1970: no test runs so long that a token expires in it


def keys_of(*jwks):
    return parse_key_set(json.dumps({"keys": jwks}).encode(), POLICY.algorithms)


KEYS = keys_of(*JWKS)


def claims(**more):
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "7", "exp": FOR_EVER} | more


def make(algorithm="RS256", kid="rsa", key=None, **more):
    return signed(key or private_key(algorithm), algorithm, kid, **claims(**more))


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def check(token, keys=KEYS, policy=POLICY):
    """Do what a service does with a token, all keys being there."""
    header = tokens.unverified_header(token, policy)
    key = tokens.select_key(keys, header)
    if key is None:
        raise Unauthenticated("unknown key")
    return tokens.verify(token, key, header, policy)


@pytest.mark.parametrize(("algorithm", "kid"), [("RS256", "rsa"), ("ES256", "ec")])
def test_a_good_token_counts_until_it_expires(algorithm, kid):
    """A token that is signed by a key of the issuer gives its claims, until it expires and a minute more."""
    exp = int(time.time()) + 300
    found = check(make(algorithm, kid, exp=exp))
    assert (found.claims["sub"], found.until, found.key.kid) == ("7", exp + 60, kid)


@pytest.mark.parametrize("aud", [AUDIENCE, [AUDIENCE], ["other", AUDIENCE]])
def test_one_of_its_audiences_is_enough(aud):
    """A token may be for several audiences, of which ours is one."""
    assert check(make(aud=aud)).claims["sub"] == "7"


NOW = int(time.time())
BAD_CLAIMS = [
    ({"exp": NOW - 3600}, "has expired"),
    ({"exp": NOW - 61}, "has expired"),
    ({"exp": None}, "lacks a claim"),
    ({"exp": "soon"}, "not valid"),
    ({"nbf": FOR_EVER}, "not valid yet"),
    ({"nbf": "soon"}, "not valid"),
    ({"iat": FOR_EVER}, "not valid yet"),
    ({"aud": "another"}, "another audience"),
    ({"aud": ["another", "shop "]}, "another audience"),
    ({"aud": None}, "lacks a claim"),
    ({"aud": []}, "lacks a claim"),
    ({"aud": {"shop": 1}}, "another audience"),
    ({"iss": "https://evil.example.com"}, "another issuer"),
    ({"iss": ISSUER + "/"}, "another issuer"),
    ({"iss": None}, "lacks a claim"),
]


@pytest.mark.parametrize(("wrong", "why"), BAD_CLAIMS)
def test_claims_that_do_not_count(wrong, why):
    """Expired, not yet valid, for another audience, of another issuer, or without saying so: refused, with the reason."""
    with pytest.raises(Unauthenticated, match=why):
        check(make(**wrong))


@pytest.mark.parametrize("wrong", [{"exp": 30 - 60}, {"nbf": 30}, {"iat": 30}])
def test_clocks_may_differ_by_a_minute(wrong):
    """A token that has expired, or begins to count, within the minute is taken."""
    (name, offset) = next(iter(wrong.items()))
    assert check(make(**{name: int(time.time()) + offset})).claims["sub"] == "7"


def public_pem():
    return private_key("RS256").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def hmac_signed(secret):
    """Sign with HS256 by hand: the library refuses a public key as a secret."""
    signing_input = f"{part({'alg': 'HS256', 'kid': 'rsa', 'typ': 'JWT'})}.{part(claims())}".encode()
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(signing_input, secret)
    return f"{signing_input.decode()}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.mark.parametrize(
    "token",
    [
        f"{part({'alg': 'none', 'kid': 'rsa'})}.{part(claims())}.",
        f"{part({'alg': 'none', 'kid': 'rsa'})}.{part(claims())}.AA",
        f"{part({'alg': 'nOnE', 'kid': 'rsa'})}.{part(claims())}.AA",
        f"{part({'alg': ['RS256'], 'kid': 'rsa'})}.{part(claims())}.AA",
        f"{part({'alg': None, 'kid': 'rsa'})}.{part(claims())}.AA",
        f"{part({'kid': 'rsa'})}.{part(claims())}.AA",
        f"{part({'alg': 'RS256', 'kid': 7})}.{part(claims())}.AA",
        f"{part({'alg': 'RS256', 'kid': None})}.{part(claims())}.AA",
        f"{part({'alg': 'RS256', 'kid': 'rsa', 'crit': ['x'], 'x': 1})}.{part(claims())}.AA",
        f"{part([])}.{part(claims())}.AA",
        hmac_signed(public_pem()),
        hmac_signed(b""),
        make(key=private_key("RS256", 1)),
        make("ES256", "rsa"),
        make("RS256", "ec"),
        make(kid="nobody's"),
        make(kid=None),
        signed(private_key("RS256"), "RS512", "rsa", **claims()),
        signed(private_key("RS256"), "PS256", "rsa", **claims()),
        jwt.api_jws.encode(b"[]", private_key("RS256"), "RS256", headers={"kid": "rsa"}),
        jwt.api_jws.encode(b"\xff", private_key("RS256"), "RS256", headers={"kid": "rsa"}),
        jwt.api_jws.encode(b"[" * 5000, private_key("RS256"), "RS256", headers={"kid": "rsa"}),
        jwt.api_jws.encode(b'{"exp": Infinity}', private_key("RS256"), "RS256", headers={"kid": "rsa"}),
        make() + "=", make() + "==", make() + ".", make() + ".AA", "." + make(), make().replace(".", "", 1),
        make().rsplit(".", 1)[0], make().rsplit(".", 1)[0] + ".", "", ".", "..", "a.b.c", "x" * 9000, "ä.b.c",
        "a." * 9000 + "c", f"{part({'alg': 'RS256', 'kid': 'rsa', 'x': 'x' * 9000})}.a.a",
    ],
)  # fmt: skip
def test_forged_and_garbled_tokens_are_refused(token):
    """Unsigned, signed with the public key as a secret, by another key, for another key, or no token at all: refused."""
    with pytest.raises(Unauthenticated):
        check(token)


@pytest.mark.parametrize("alg", ["none", "HS256", "RS512", ["RS256"], None])
def test_an_algorithm_that_is_not_set_is_refused_before_its_key_is_looked_for(alg):
    """Only algorithms that are set count; a token with another one makes nobody ask the issuer for its key."""
    token = f"{part({'alg': alg, 'kid': 'made-up'})}.{part(claims())}.AA"
    with pytest.raises(Unauthenticated, match="algorithm that does not count"):
        tokens.unverified_header(token, POLICY)


def test_without_a_name_the_key_must_be_the_only_one():
    """A token that names no key is checked with the only key there is; where there are two it is refused."""
    token = make(kid=None)
    assert check(token, keys_of(JWKS[0])).claims["sub"] == "7"
    assert check(token, keys_of(JWKS[0], public_jwk("ES256", "e", use="enc"))).claims["sub"] == "7"
    with pytest.raises(Unauthenticated, match="which of the issuer's keys"):
        check(token, KEYS)


def test_a_key_may_share_its_name_with_one_of_another_type():
    """Of two keys with one name that of the token's algorithm is taken."""
    keys = keys_of(public_jwk("RS256", "one"), public_jwk("ES256", "one"))
    assert [check(make(alg, "one"), keys).claims["sub"] for alg in ("RS256", "ES256")] == ["7", "7"]


WHOLE = {"RS256": make(), "ES256": make("ES256", "ec")}
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=. \x00é"


@given(st.sampled_from(sorted(WHOLE)), st.integers(0, 2000), st.sampled_from(LETTERS))
def test_no_altered_token_counts(algorithm, at, letter):
    """No token of which one byte was altered is accepted, wherever it is and whatever it became."""
    token = WHOLE[algorithm]
    at %= len(token)
    altered = token[:at] + letter + token[at + 1 :]
    if altered != token:
        with pytest.raises(Unauthenticated):
            check(altered)


def test_not_one_bit_of_the_last_letters_is_free():
    """The last letter of each part holds bits that no byte needs; a token in which they are set is refused."""
    for token in WHOLE.values():
        for end in (at - 1 for at in (token.index("."), token.rindex("."), len(token))):
            for letter in LETTERS:
                if letter != token[end]:
                    with pytest.raises(Unauthenticated):
                        check(token[:end] + letter + token[end + 1 :])


@pytest.mark.parametrize("given_", ["", "Basic dXNlcjpwYXNz", "Token x", "bearer", "Bearer"])
def test_who_gives_no_token_is_asked_for_one(given_):
    """Without a token the challenge names no error (RFC 6750); one that is empty is wrong."""
    headers = CIMultiDict({"Authorization": given_} if given_ else {})
    with pytest.raises(Unauthenticated) as error:
        tokens.unverified_header(tokens.bearer(headers), POLICY)
    assert ("error=" in error.value.challenge) is (given_.lower() == "bearer")


def test_the_scheme_is_written_in_any_case():
    """`bearer` and `BEARER` are the same (RFC 9110); blanks around the token do not matter."""
    assert tokens.bearer(CIMultiDict({"Authorization": "bEARER  a.b.c "})) == "a.b.c"


def test_two_tokens_are_none():
    """Of two Authorization headers that differ a proxy and the gateway could read different ones: refused."""
    headers = CIMultiDict([("Authorization", f"Bearer {make()}"), ("Authorization", f"Bearer {make(sub='8')}")])
    with pytest.raises(Unauthenticated, match="headers that differ"):
        tokens.bearer(headers)


def test_the_same_token_twice_is_one():
    """Two Authorization headers that are the same say one thing."""
    headers = CIMultiDict([("Authorization", f"Bearer {make()}")] * 2)
    assert tokens.bearer(headers) == make()
