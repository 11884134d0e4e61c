"""What rides together in one statement: each item has its own outcome, and what is refused for one item fails alone."""

import asyncio

import pytest

from services.chassis.batch import Limits
from services.chassis.batched_statement import BatchedStatement
from services.chassis.telemetry import Metrics
from services.errors import Conflict, OutcomeUnknown

POISON, REFUSED = 13, 7


class Database:
    """Doubles numbers in one statement; the whole statement fails for POISON, and REFUSED is refused by itself."""

    def __init__(self, fault=None):
        self.ran, self.fault = [], fault

    async def run(self, numbers):
        self.ran.append(list(numbers))
        await asyncio.sleep(0)
        if self.fault:
            raise self.fault
        if POISON in numbers:
            raise ZeroDivisionError
        return [Conflict("no") if number == REFUSED else 2 * number for number in numbers]


async def ask(database, numbers, **options):
    """Ask for all numbers at once."""
    statement = BatchedStatement("test", database.run, Metrics(), **options)
    return await asyncio.gather(*map(statement, numbers), return_exceptions=True)


@pytest.mark.parametrize("count", [1, 2, 50])
async def test_what_is_asked_for_at_once_is_one_statement(count):
    """However many items come at once, they go as one statement, and each gets its own result."""
    database = Database()
    numbers = range(100, 100 + count)
    assert await ask(database, numbers) == [2 * number for number in numbers]
    assert database.ran == [list(numbers)]


async def test_a_poisoned_item_fails_alone():
    """A statement that is refused for one of its items is run again for each alone; only that one fails."""
    database = Database()
    outcomes = await ask(database, [1, POISON, 2, REFUSED])
    assert [outcomes[0], outcomes[2]] == [2, 4]
    assert [type(outcomes[1]), type(outcomes[3])] == [ZeroDivisionError, Conflict]
    assert database.ran == [[1, POISON, 2, REFUSED], [1], [POISON], [2], [REFUSED]]


async def test_a_lost_reply_is_everybodys():
    """Where it is not known whether a statement took effect, no item is run a second time."""
    database = Database(OutcomeUnknown("lost"))
    assert [type(outcome) for outcome in await ask(database, [1, 2])] == [OutcomeUnknown] * 2
    assert database.ran == [[1, 2]]


async def test_items_of_one_key_follow_each_other():
    """Two items of one key are in two statements, in their order."""
    database = Database()
    limits = Limits(under_way=2)
    assert await ask(database, [1, 1, 2], limits=limits, key=lambda number: number) == [2, 2, 4]
    assert database.ran == [[1, 2], [1]]
