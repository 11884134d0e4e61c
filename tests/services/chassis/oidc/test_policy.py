"""The settings of AUTH_MODE=jwt: what is weak or missing never starts."""

import pytest

from services.chassis.env import BadSettings
from services.chassis.oidc.policy import ASYMMETRIC, OidcSettings, policy_of, url_problem

GOOD = {"AUTH_ISSUER": "https://id.example.com", "AUTH_AUDIENCE": "shop"}


def test_the_defaults():
    """Two settings are enough: RS256 and ES256, and keys by discovery, over https."""
    policy = policy_of(OidcSettings.from_env(GOOD))
    assert (policy.issuer, policy.audience) == ("https://id.example.com", "shop")
    assert (policy.algorithms, policy.jwks_url, policy.plain_http) == ({"RS256", "ES256"}, None, False)


def test_what_is_missing_is_named_all_at_once():
    """Without an issuer and an audience it does not start, and says of both what to do."""
    with pytest.raises(BadSettings) as error:
        policy_of(OidcSettings.from_env({}))
    lines = str(error.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["AUTH_ISSUER", "AUTH_AUDIENCE"]
    assert all("say which" in line for line in lines)


@pytest.mark.parametrize(
    "name", ["none", "None", "HS256", "HS384", "HS512", "hs256", "ES256K", "rs256", "", "RS256 ES256"]
)
def test_weak_and_unknown_algorithms_are_refused(name):
    """An algorithm that would let others sign is refused by name, also beside good ones; so is one nobody knows."""
    with pytest.raises(BadSettings, match="AUTH_ALGORITHMS: ") as error:
        policy_of(OidcSettings.from_env(GOOD | {"AUTH_ALGORITHMS": f"RS256,{name}"}))
    assert name in str(error.value)


def test_every_asymmetric_algorithm_may_be_chosen():
    """What is offered can be set, with blanks around it."""
    policy = policy_of(OidcSettings.from_env(GOOD | {"AUTH_ALGORITHMS": " , ".join(sorted(ASYMMETRIC))}))
    assert policy.algorithms == ASYMMETRIC


@pytest.mark.parametrize("variable", ["AUTH_ISSUER", "AUTH_JWKS_URL"])
def test_http_is_for_laptops(variable):
    """Keys that anybody on the way could replace are refused, but for APP_ENV=dev."""
    env = GOOD | {variable: "http://id.example.com/x"}
    with pytest.raises(BadSettings, match=f"{variable}: must be https"):
        policy_of(OidcSettings.from_env(env))
    assert policy_of(OidcSettings.from_env(env | {"APP_ENV": "dev"})).plain_http


@pytest.mark.parametrize(
    "url",
    ["id.example.com", "https://", "https://:443", "ftp://x", "https://user:secret@x", "https://:p@x", "https://x#y",
     "https://x:99999", "https://[x", "https://x\n", "file:///etc/passwd", "x"],
)  # fmt: skip
def test_what_is_no_address_is_refused(url):
    """An issuer is a URL with a host, without credentials and fragment."""
    assert url_problem(url, plain_http=True)
    with pytest.raises(BadSettings, match="AUTH_ISSUER"):
        policy_of(OidcSettings.from_env(GOOD | {"AUTH_ISSUER": url, "APP_ENV": "dev"}))


def test_an_issuer_has_no_query():
    """The address of the discovery document is made of the issuer's, which a query would spoil."""
    with pytest.raises(BadSettings, match="AUTH_ISSUER"):
        policy_of(OidcSettings.from_env(GOOD | {"AUTH_ISSUER": "https://x/?a=b"}))


def test_what_else_is_wrong_is_named_with_the_rest():
    """The settings of a caller are named together with those of the issuer."""
    with pytest.raises(BadSettings) as error:
        policy_of(OidcSettings.from_env({"AUTH_ISSUER": "https://id.example.com"}), ["AUTH_USER_CLAIM: is wrong"])
    assert [line.split(":")[0] for line in str(error.value).splitlines()] == ["AUTH_AUDIENCE", "AUTH_USER_CLAIM"]
