"""What PostgreSQL's own log says about who ran how many statements, transactions and commits.

The log has every statement of every session at once, and names the service that sent it; the counters of
`pg_stat_database` reach the reader up to ten seconds late, and say nothing of who sent what.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

PREFIX = "~%p %x %a~ "
"""The `log_line_prefix` that `parse` reads: process, transaction id, application name."""
SETTINGS = {
    "log_line_prefix": PREFIX,
    "log_min_duration_statement": "0",
    "log_parameter_max_length": "0",
    "log_duration": "off",
}
"""What PostgreSQL is set to while its log is counted."""

_LINE = re.compile(r"^~(?P<session>\d+) (?P<xid>\d+) (?P<who>[^~]*)~ LOG:  duration: [\d.]+ ms  (?P<what>.*)$")
_SENT = re.compile(r"^(?:statement|execute [^:]*): (?P<sql>.*)$")
_RESET = "SELECT pg_advisory_unlock_all()"  # what asyncpg sends when a connection goes back to its pool
_OURS = "cartwright_"


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that a session ran: its session, the transaction id it had (0: none), its role, its words."""

    session: int
    xid: int
    who: str
    sql: str


def parse(lines: Iterable[str]) -> Iterator[Statement]:
    """Give the statements of our roles that a log has, in its order. What a statement has on further lines is joined."""
    head: Statement | None = None
    words: list[str] = []

    def ended() -> Iterator[Statement]:
        if head:
            yield Statement(head.session, head.xid, head.who, " ".join(" ".join(words).split()))

    for line in lines:
        if line.startswith("\t"):
            words.append(line)
            continue
        yield from ended()
        head, words = None, []
        found = _LINE.match(line.rstrip("\n"))
        sent = _SENT.match(found["what"]) if found else None
        if found and sent and found["who"].startswith(_OURS):
            head = Statement(int(found["session"]), int(found["xid"]), found["who"].removeprefix(_OURS), "")
            words = [sent["sql"]]
    yield from ended()


@dataclass
class _Session:
    open: list[Statement] | None = None
    background: bool = False


@dataclass
class Tally:
    """Counts statements, transactions and commits by role; what the clock paces, and not the users, is left out.

    A statement outside BEGIN and COMMIT is a transaction of its own. A commit is a transaction that has written, and so
    has an id of its own: it waits for the disk.
    """

    is_background: Callable[[str], bool]
    counts: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    """How often each statement was counted, by role and words."""
    _sessions: dict[int, _Session] = field(default_factory=lambda: defaultdict(_Session))
    _written: set[int] = field(default_factory=set)

    def add(self, statement: Statement) -> None:
        """Count a statement."""
        session = self._sessions[statement.session]
        first = statement.sql.split(" ", 1)[0].rstrip(";").upper()
        if session.open is not None:
            session.open.append(statement)
            if first in {"COMMIT", "ROLLBACK"}:
                inside = session.open[1:-1]
                session.background = bool(inside) and all(self.is_background(one.sql) for one in inside)
                self._count(session, session.open)
                session.open = None
        elif first == "BEGIN":
            session.open = [statement]
        else:
            if not statement.sql.startswith(_RESET):
                session.background = self.is_background(statement.sql)
            self._count(session, [statement])

    def _count(self, session: _Session, transaction: list[Statement]) -> None:
        if session.background:
            return
        who = transaction[0].who
        self.counts[f"statements.{who}"] += len(transaction)
        self.counts[f"transactions.{who}"] += 1
        written = {one.xid for one in transaction if one.xid} - self._written
        self._written |= written
        self.counts[f"commits.{who}"] += len(written)
        self.seen.update(f"{who}: {one.sql}" for one in transaction)
