"""Who asks, over HTTP: tokens of a real issuer, whatever happens to it, and the mock users of a laptop."""

import asyncio
import time

import pytest
import structlog
from multidict import CIMultiDict

from services.chassis.env import BadSettings
from services.chassis.oidc.issuer import Issuer
from services.chassis.oidc.keys import MAX_AGE_SECONDS, MIN_INTERVAL_SECONDS, REFRESH_SECONDS, Keys
from services.chassis.oidc.policy import policy_of
from services.chassis.telemetry import Metrics
from services.gateway import verified
from services.gateway.config import Config
from services.gateway.docs import openapi
from services.gateway.verified import TokenUsers
from tests.issuer import private_key, signed
from tests.services.conftest import Clock
from tests.services.gateway import contract
from tests.services.gateway.conftest import serving

CART = "/api/v1/cart"
API = [
    (verb.upper(), path)
    for path, item in openapi()["paths"].items()
    for verb in item
    if verb in {"get", "put", "post", "delete"} and path.startswith("/api/")
]


async def ask(gateway, token, path=CART, **more):
    headers = ({"Authorization": f"Bearer {token}"} if token else {}) | more
    response = await gateway.client.get(path, headers=headers)
    await response.read()
    return response


async def status(gateway, token, **more):
    return (await ask(gateway, token, **more)).status


async def tokens_seen(gateway):
    return counted(gateway.metrics)


def counted(metrics):
    """Give how many tokens had each outcome."""
    page = metrics.page().decode()
    lines = [line for line in page.splitlines() if line.startswith("cartwright_tokens_total{")]
    return {line.split('"')[1]: float(line.split()[1]) for line in lines}


@pytest.mark.parametrize(
    ("env", "why"),
    [
        ({"AUTH_MODE": "mock"}, "AUTH_MODE: mock lets anybody be anybody, and needs APP_ENV=dev"),
        ({"AUTH_MODE": "mock", "APP_ENV": "production"}, "APP_ENV=dev"),
        ({"AUTH_MODE": "none", "APP_ENV": "dev"}, "must be mock or jwt"),
        ({}, "AUTH_ISSUER: is not set"),
        ({"AUTH_MODE": "jwt", "APP_ENV": "dev"}, "AUTH_AUDIENCE: is not set"),
    ],
)
async def test_modes_that_do_not_start(backend, env, why):
    """Outside a laptop nobody can be anybody; tokens need an issuer and an audience; jwt is what counts without a word."""
    with pytest.raises(BadSettings, match=why):
        async with serving(backend, env):
            pass


async def test_a_token_says_who_asks(secured, issuer, backend):
    """The user of the token is the one whose things are asked for, whatever X-User-Id says."""
    for kid, user in (("rsa", 1), ("ec", 2)):
        answer = await ask(secured, issuer.token(kid, sub=str(user)), **{"X-User-Id": "9"})
        assert (answer.status, (await answer.json())["user_id"]) == (200, user)
    assert {item.user_id for _, items in backend.asked for item in items} == {1, 2}
    assert await status(secured, issuer.token(), **{"X-User-Id": "none"}) == 200
    assert await status(secured, None, **{"X-User-Id": "1"}) == 401


@pytest.mark.parametrize(("verb", "path"), API)
async def test_nothing_is_done_without_a_token(secured, issuer, backend, verb, path):
    """Every route of the contract is 401 without a token and with a bad one, as described, and asks no service."""
    address = path.replace("{id}", "1").replace("{product_id}", "1").replace("{checkout_id}", "c1")
    expired = issuer.token(exp=int(time.time()) - 3600)
    validator = contract.validator(contract.schema_of(contract.answer(path, verb, 401)))
    for headers, challenge in (
        ({}, 'Bearer realm="cartwright"'),
        ({"Authorization": "Basic dTpw"}, 'Bearer realm="cartwright"'),
        ({"Authorization": "Bearer garbled"},
         'Bearer realm="cartwright", error="invalid_token", error_description="the token is not a JSON Web Token"'),
        ({"Authorization": f"Bearer {expired}"},
         'Bearer realm="cartwright", error="invalid_token", error_description="the token has expired"'),
    ):  # fmt: skip
        response = await secured.client.request(verb, address, headers=headers, json={"quantity": 1})
        assert (response.status, response.headers["WWW-Authenticate"]) == (401, challenge)
        validator.validate(await response.json())
        assert response.headers["X-Request-Id"]
    assert backend.asked == []


async def test_what_needs_no_token(secured, issuer):
    """The root, the contract, its page, health, readiness and metrics are there for everybody."""
    for path in ("/openapi.json", "/docs", "/health", "/ready", "/metrics", "/"):
        assert (await secured.client.get(path)).status == 200, path
    named = {path for path, item in openapi()["paths"].items() for verb in item.values() if verb.get("security") == []}
    assert named == {"/", "/health", "/ready"}
    assert openapi()["security"] == [{"Token": []}]


async def test_nothing_internal_is_shown(secured, issuer):
    """An answer says what is wrong with a token, and nothing of the library, the keys and the issuer."""
    forged = signed(private_key("RS256", 5), "RS256", "rsa", iss=issuer.url, aud="cartwright", sub="1", exp=2**40)
    for token in (forged, issuer.token(kid="rsa", aud="other"), issuer.token(sub="x"), "a.b.c"):
        answer = await ask(secured, token)
        text = await answer.text() + str(answer.headers)
        assert answer.status == 401
        assert not any(word in text for word in ("Signature verification", "jwt", "127.0.0.1", "segments", "Traceback"))


async def test_two_authorization_headers_are_refused(secured, issuer):
    """Of two tokens none counts."""
    headers = [("Authorization", f"Bearer {issuer.token()}"), ("Authorization", f"Bearer {issuer.token(sub='2')}")]
    assert (await secured.client.get(CART, headers=headers)).status in {400, 401}


async def test_a_verified_token_is_not_verified_again(secured, issuer):
    """The second request with a token costs no signature check; nobody else's token is taken for it."""
    token = issuer.token()
    assert [await status(secured, token) for _ in range(5)] == [200] * 5
    assert await tokens_seen(secured) == {"verified": 1, "remembered": 4}
    assert await status(secured, token[:-8] + "AAAAAAAA") == 401
    assert (await tokens_seen(secured))["refused"] == 1


async def test_a_remembered_token_expires(jwt_settings, issuer):
    """A token is remembered until it has expired, with its minute of leeway; after that it is checked anew."""
    expires_at = int(time.time()) + 3600
    headers = CIMultiDict({"Authorization": f"Bearer {issuer.token(exp=expires_at)}"})
    policy, metrics, now = policy_of(Config.from_env(jwt_settings)), Metrics(), Clock()
    async with Issuer(policy) as theirs:
        keys = Keys(theirs.fetch, structlog.get_logger(), metrics)
        user_of = TokenUsers(policy, "sub", keys, metrics, now)
        for at, seen in (
            (expires_at, {"verified": 1}),
            (expires_at + 59, {"verified": 1, "remembered": 1}),
            (expires_at + 60, {"verified": 2, "remembered": 1}),
        ):
            now.now = at
            assert await user_of(headers) == 1
            assert counted(metrics) == seen
        await keys.close()


async def test_a_header_that_is_no_text(secured):
    """A token of bytes that are no text is refused as any other, and fails nothing."""
    server = secured.client.server
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(f"GET {CART} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode())
    writer.write(b"Authorization: Bearer \xff\xfe.b.c\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_so_many_tokens_are_remembered_and_no_more(secured, issuer, monkeypatch):
    """Past the bound the oldest is forgotten: it is verified again, and still counts."""
    monkeypatch.setattr(verified, "MAX_REMEMBERED_TOKENS", 3)
    kept = [issuer.token(sub=str(user)) for user in range(1, 5)]
    assert [await status(secured, token) for token in kept] == [200] * 4
    assert [await status(secured, token) for token in (kept[3], kept[0])] == [200, 200]
    assert await tokens_seen(secured) == {"verified": 5, "remembered": 1}


async def test_keys_are_rotated(secured, issuer, clock):
    """A new key counts at once, without a restart; the old one, and every token of it, no longer."""
    old = issuer.token()
    assert await status(secured, old) == 200
    issuer.rotate("new", 1)
    clock.now += MIN_INTERVAL_SECONDS
    assert await status(secured, issuer.token("new")) == 200
    assert await status(secured, old) == 401


async def test_a_key_that_was_taken_back_ends_within_minutes(secured, issuer, clock):
    """Without any new token too: the keys are looked at every few minutes, and remembered tokens end with theirs."""
    token = issuer.token()
    assert await status(secured, token) == 200
    issuer.rotate("new", 1)
    clock.now += REFRESH_SECONDS
    ends_at = time.monotonic() + 10
    while (code := await status(secured, token)) == 200:
        assert time.monotonic() < ends_at
        await asyncio.sleep(0.02)
    assert code == 401


async def test_made_up_keys_do_not_flood_the_issuer(secured, issuer, clock):
    """Tokens with made-up keys cause one fetch in some seconds, and known keys go on beside them."""
    assert await status(secured, issuer.token()) == 200
    asked = len(issuer.requests)
    for wave in range(1, 4):
        clock.now += MIN_INTERVAL_SECONDS
        forged = [
            signed(
                private_key("RS256", 5),
                "RS256",
                f"made-up-{wave}-{n}",
                iss=issuer.url,
                aud="cartwright",
                sub="1",
                exp=2**40,
            )
            for n in range(40)
        ]
        assert set(await asyncio.gather(*(status(secured, token) for token in forged))) == {401}
        assert len(issuer.requests) == asked + 2 * wave  # the document and the keys
        assert await status(secured, issuer.token(sub=str(wave))) == 200


async def test_the_issuer_goes_away(secured, issuer, clock):
    """Known keys go on for an hour, also for tokens not seen before; then 503 for everybody, until it is back."""
    token = issuer.token()
    assert await status(secured, token) == 200
    issuer.stop()
    clock.now += MAX_AGE_SECONDS - 1
    assert [await status(secured, one) for one in (token, issuer.token(sub="2"))] == [200, 200]
    clock.now += 1
    for one in (token, issuer.token(sub="3")):
        answer = await ask(secured, one)
        assert answer.status == 503
        assert 1 <= int(answer.headers["Retry-After"]) <= MIN_INTERVAL_SECONDS
        assert await answer.json() == {
            "error": "tokens cannot be checked now; try again",
            "code": "token_check_unavailable",
        }
    assert [await status(secured, bad) for bad in (None, "garbled")] == [401, 401]
    issuer.start()
    clock.now += MIN_INTERVAL_SECONDS
    assert await status(secured, token) == 200


async def test_an_unknown_key_of_an_issuer_that_is_away(secured, issuer, clock):
    """Where the issuer cannot be asked for a key that may be new the answer is 503, never a yes and never a no."""
    assert await status(secured, issuer.token()) == 200
    issuer.rotate("new", 1)
    token = issuer.token("new")
    issuer.stop()
    clock.now += MIN_INTERVAL_SECONDS
    assert await status(secured, token) == 503
    issuer.start()
    clock.now += MIN_INTERVAL_SECONDS
    assert await status(secured, token) == 200


async def test_it_starts_while_the_issuer_is_away(backend, jwt_settings, issuer, clock):
    """The gateway starts without its issuer and says so; tokens count from when it is there."""
    token = issuer.token()
    issuer.stop()
    async with serving(backend, jwt_settings, clock) as gateway:
        assert await status(gateway, token) == 503
        ready = await gateway.client.get("/ready")
        assert (ready.status, (await ready.json())["dependencies"]) == (200, {"issuer": "unreachable"})
        issuer.start()
        clock.now += MIN_INTERVAL_SECONDS
        assert await status(gateway, token) == 200
        assert (await (await gateway.client.get("/ready")).json())["dependencies"] == {"issuer": "ok"}


async def test_an_issuer_that_hangs_holds_nobody_who_is_known(secured, issuer, clock):
    """While the issuer is silent, known keys answer at once; the process ends without waiting for it."""
    assert await status(secured, issuer.token()) == 200
    issuer.answers.clear()
    clock.now += REFRESH_SECONDS
    assert await status(secured, issuer.token(sub="2")) == 200
