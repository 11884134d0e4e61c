"""What an issuer may send: a discovery document and keys, in time and in bounds. Everything else is as if it were away."""

import pytest

from services.chassis.oidc import issuer as subject
from services.chassis.oidc.issuer import Issuer, IssuerUnavailable
from services.chassis.oidc.policy import Policy
from tests.issuer import LocalIssuer, self_signed

ALGORITHMS = frozenset({"RS256", "ES256"})


@pytest.fixture
def fetch(issuer):
    """Give what fetches the keys, with what shall differ in the policy."""

    async def fetch(**more):
        policy = {"issuer": issuer.url, "audience": "a", "algorithms": ALGORITHMS, "plain_http": True} | more
        async with Issuer(Policy(**policy)) as remote:
            return await remote.fetch()

    return fetch


async def test_keys_are_found_by_discovery(fetch, issuer):
    """Without an address of the keys the issuer's own document names it."""
    assert [key.kid for key in await fetch()] == ["rsa", "ec"]
    assert issuer.requests == ["/.well-known/openid-configuration", "/keys"]


async def test_the_address_of_the_keys_may_be_set(fetch, issuer):
    """With it no document is needed, and none is asked for."""
    assert [key.kid for key in await fetch(jwks_url=f"{issuer.url}/elsewhere")] == ["rsa", "ec"]
    assert issuer.requests == ["/elsewhere"]


async def test_an_issuer_with_a_slash_at_its_end(fetch, issuer):
    """The slash belongs to the issuer's name, and is not doubled in the document's address."""
    issuer.document = {"issuer": f"{issuer.url}/"}
    assert await fetch(issuer=f"{issuer.url}/")
    assert issuer.requests[0] == "/.well-known/openid-configuration"


@pytest.mark.parametrize(
    "document",
    [{"issuer": "https://evil.example.com"}, {"issuer": None}, {"jwks_uri": None}, {"jwks_uri": "file:///etc/passwd"},
     {"jwks_uri": ""}, {"jwks_uri": "//x"}],
)  # fmt: skip
async def test_a_document_of_another_issuer_is_not_believed(fetch, issuer, document):
    """The document must call the issuer as we do, and name an address over HTTP."""
    issuer.document = document
    with pytest.raises(IssuerUnavailable):
        await fetch()
    assert "/keys" not in issuer.requests


async def test_keys_over_http_are_for_laptops(fetch, issuer):
    """A document that names keys by http is refused outside APP_ENV=dev."""
    with pytest.raises(IssuerUnavailable, match="must be https"):
        await fetch(plain_http=False)
    assert issuer.requests == ["/.well-known/openid-configuration"]


@pytest.mark.parametrize("jwks", [b"", b"[]", b'{"keys": []}', b"\xff"])
async def test_keys_that_are_none(fetch, issuer, jwks):
    """Nothing, no keys and no JSON are all refused."""
    issuer.jwks = jwks
    with pytest.raises(IssuerUnavailable):
        await fetch()


async def test_keys_without_end(fetch, issuer):
    """However good the keys are, the issuer is read for so many bytes and no more."""
    keys = issuer._page("/keys")
    issuer.jwks = keys + b" " * (256 * 1024 - len(keys))
    assert await fetch()
    issuer.jwks += b" "
    with pytest.raises(IssuerUnavailable, match="more than 256 KiB"):
        await fetch()


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_another_status_is_refused(fetch, issuer, status):
    """Only 200 counts; a redirect is not followed, wherever it leads."""
    issuer.status = status
    with pytest.raises(IssuerUnavailable, match=f"status {status}"):
        await fetch()
    assert len(issuer.requests) == 1


async def test_an_issuer_whose_certificate_nobody_knows(fetch, tmp_path):
    """Over https the certificate must be of an authority that is trusted; before that nothing is asked."""
    pretender = LocalIssuer(self_signed(tmp_path))
    try:
        with pytest.raises(IssuerUnavailable, match="cannot be reached"):
            await fetch(issuer=pretender.url, plain_http=False)
        assert pretender.requests == []
    finally:
        pretender.stop()


async def test_an_issuer_that_is_away(fetch, issuer):
    """One that does not listen is away."""
    issuer.stop()
    with pytest.raises(IssuerUnavailable, match="cannot be reached"):
        await fetch()


async def test_an_issuer_that_does_not_answer(fetch, issuer, monkeypatch):
    """One that takes the question and is silent is away after the time it is given."""
    monkeypatch.setattr(subject, "FETCH_SECONDS", 0.2)
    issuer.answers.clear()
    with pytest.raises(IssuerUnavailable, match=r"within 0\.2 s"):
        await fetch()
