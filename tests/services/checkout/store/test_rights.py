"""What the role of the service may do to its tables."""

import asyncpg
import pytest

pytestmark = pytest.mark.real


@pytest.mark.parametrize(
    "sql",
    ["CREATE TABLE t (x int)", "DELETE FROM checkout_sessions", "INSERT INTO outbox_leader VALUES (2, '', 0, now())"],
)
async def test_role_may_not_do_more_than_it_needs(db, sql):
    """The service's role can neither change tables nor forget a key."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await db.fetch(sql)
