"""What the auditor's logins may do, where the documentation says which rights they need."""

import re
import uuid
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis
from redis.asyncio import Redis

from devstack.home import ROOT
from services.auditor.carts import Copies
from services.auditor.reading import CannotRead

pytestmark = pytest.mark.real


@pytest.fixture(name="login")
async def login_fixture(stores):
    """Give the address of Redis for a user with the rights of docs/operations.md, and a client that may do everything."""
    url, user = stores["REDIS_URL"], f"audit-{uuid.uuid4()}"
    (rights,) = re.findall(r"`ACL SETUSER audit on >… ([^`]*)`", (ROOT / "docs" / "operations.md").read_text())
    parts = urlsplit(url)
    async with Redis.from_url(url) as admin:
        await admin.execute_command("ACL", "SETUSER", user, "on", ">secret", *rights.split())
        yield urlunsplit(parts._replace(netloc=f"{user}:secret@{parts.hostname}:{parts.port}")), admin
        await admin.execute_command("ACL", "DELUSER", user)


async def test_the_rights_in_redis_are_enough_and_no_more(login):
    """With the documented rights the auditor reads cached carts, and Redis refuses it every write and every other key."""
    url, admin = login
    user_id = uuid.uuid4().int % 10**9
    cart = f'{{"user_id": {user_id}, "version": 3, "cart_id": "", "lines": []}}'
    await admin.set(f"cart:{user_id}", cart, px=300_000)
    copies = Copies(url)
    try:
        assert [one.cart.version for one in await copies.of([user_id])] == [3]
        while not (await copies.some(200))[1]:
            pass
    finally:
        await copies.close()
    async with Redis.from_url(url) as client:
        for refused in (
            client.set(f"cart:{user_id}", "x"),
            client.delete(f"cart:{user_id}"),
            client.expire(f"cart:{user_id}", 1),
            client.get("another"),
            client.flushdb(),
            client.execute_command("CONFIG", "GET", "*"),
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                await refused
    await admin.delete(f"cart:{user_id}")


@pytest.mark.parametrize("right", ["scan", "get", "pttl", "exists"])
async def test_a_right_that_is_missing_is_a_book_that_cannot_be_read(login, right):
    """A user without one of these rights is told apart from an empty cache."""
    url, admin = login
    user_id = uuid.uuid4().int % 10**9
    await admin.set(f"cart:{user_id}", "{}", px=300_000)
    await admin.execute_command("ACL", "SETUSER", urlsplit(url).username, f"-{right}")
    copies = Copies(url)

    async def look():
        await copies.some(200)
        await copies.of([user_id])

    try:
        with pytest.raises(CannotRead, match="permissions"):
            await look()
    finally:
        await copies.close()
        await admin.delete(f"cart:{user_id}")
