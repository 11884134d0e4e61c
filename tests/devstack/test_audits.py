"""What `make audit` shows."""

import json

from rich.console import Console

from devstack.audits import render


def line(event, **fields):
    """Give a log line of the auditor."""
    return json.dumps({"event": event, "level": "info", **fields})


def shown(*lines):
    """Give what is shown of an auditor's log, as text."""
    console = Console(width=140)
    with console.capture() as capture:
        for one in render(lines):
            console.print(one)
    return capture.get()


def test_a_table_of_what_was_compared():
    """Each kind of books has a row with how many were compared and how many differ; other lines are passed over."""
    text = shown(
        "no JSON",
        line("working"),
        line("compared", kind="money", compared=1200, count=0, age=0.0),
        line("compared", kind="stock", compared=5, count=1, age=75.2),
    )
    rows = [[cell.strip() for cell in row.split("│")[1:-1]] for row in text.splitlines() if row.startswith("│")]
    assert rows == [
        ["payments and the bank's ledger, with the checkouts", "1,200", "0", ""],
        ["stock, with the reservations and deliveries", "5", "1", "75 s"],
    ]


def test_a_difference_has_its_ids_and_its_story():
    """A difference is shown with what the books say, the ids and the command; a book that is not compared with the reason."""
    ids = {"checkout_id": "c-1", "user_id": "7"}
    command = "make story CHECKOUT=c-1"
    differs = {
        "kind": "money",
        "what": "money of no checkout (bank)",
        "age": 90.0,
        "detail": "bank: CAPTURED",
        "command": command,
    }
    text = shown(
        line("the books differ", **differs, **ids),
        line("a book is not compared", book="resources", reason="AUDIT_NAMESPACES names none"),
        line("a book cannot be read", book="cache", error="ConnectionError"),
    )
    assert text.splitlines() == [
        "money: money of no checkout (bank) for 90 s (checkout_id c-1, user_id 7)",
        "    bank: CAPTURED",
        "    make story CHECKOUT=c-1",
        "resources is not compared: AUDIT_NAMESPACES names none",
        "cache cannot be read: ConnectionError",
    ]
