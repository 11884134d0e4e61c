"""What is read out of PostgreSQL's log."""

from tests.bench.statements import Statement, Tally, parse

LOG = """\
2026-11-25 10:00:00 UTC [1] LOG:  received SIGHUP, reloading configuration files
~7 0 cartwright_checkout~ LOG:  duration: 0.020 ms  statement: BEGIN ISOLATION LEVEL READ COMMITTED;
~7 0 cartwright_checkout~ LOG:  duration: 0.020 ms  parse __asyncpg_stmt_1__: SELECT lock($1)
~7 0 cartwright_checkout~ LOG:  duration: 0.020 ms  bind __asyncpg_stmt_1__: SELECT lock($1)
~7 0 cartwright_checkout~ LOG:  duration: 0.020 ms  execute __asyncpg_stmt_1__: SELECT lock($1)
~8 0 cartwright_checkout~ LOG:  duration: 0.020 ms  execute __asyncpg_stmt_1__: SELECT waiting
~7 91 cartwright_checkout~ LOG:  duration: 0.020 ms  execute __asyncpg_stmt_2__:\x20
\tINSERT INTO sessions
\t  VALUES ($1)
~8 0 cartwright_checkout~ LOG:  duration: 0.020 ms  statement: SELECT pg_advisory_unlock_all();
\tRESET ALL;
~9 0 psql~ LOG:  duration: 0.020 ms  statement: SELECT 1
~7 0 cartwright_checkout~ LOG:  duration: 0.020 ms  statement: COMMIT;
~7 0 cartwright_checkout~ LOG:  duration: 0.020 ms  statement: SELECT pg_advisory_unlock_all();
\tRESET ALL;
~6 92 cartwright_bank~ LOG:  duration: 1.020 ms  execute __asyncpg_stmt_1__: UPDATE t SET state = 'X'
"""


def tally(background: tuple[str, ...] = ("SELECT waiting",)) -> Tally:
    """Count the log."""
    counted = Tally(lambda sql: sql.startswith(background))
    for statement in parse(LOG.splitlines(keepends=True)):
        counted.add(statement)
    return counted


def test_a_log_gives_what_our_roles_have_executed() -> None:
    """Executed statements of our roles are read, on one line each; parsing, binding and strangers are not."""
    found = list(parse(LOG.splitlines(keepends=True)))
    assert found[3] == Statement(7, 91, "checkout", "INSERT INTO sessions VALUES ($1)")
    assert [one.who for one in found] == ["checkout"] * 7 + ["bank"]


def test_a_transaction_is_one_whatever_it_holds() -> None:
    """BEGIN to COMMIT is one transaction, a statement outside is one; what has written is a commit."""
    counts = tally().counts
    assert (counts["statements.checkout"], counts["transactions.checkout"], counts["commits.checkout"]) == (5, 2, 1)
    assert (counts["statements.bank"], counts["transactions.bank"], counts["commits.bank"]) == (1, 1, 1)


def test_background_is_left_out_with_its_reset() -> None:
    """A statement that the clock paces is not counted, nor is the reset of its connection; of a transaction, none or all."""
    seen = tally().seen
    assert not any("waiting" in words for words in seen)
    assert seen["checkout: SELECT pg_advisory_unlock_all(); RESET ALL;"] == 1
    assert tally(background=("SELECT waiting", "SELECT lock", "INSERT")).counts["statements.checkout"] == 0
    assert tally(background=()).counts["statements.checkout"] == 7
