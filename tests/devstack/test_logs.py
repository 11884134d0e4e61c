"""`make logs`: the lines of all parts in one order, filtered and readable."""

import json

import pytest
from rich.console import Console

from devstack.logs import FIRST_LINES, Filter, Tail, parse, show


def line(second, event, **fields):
    """Give a log line as a service writes it."""
    stamp = f"2026-01-05T09:00:{second:02}.123456Z"
    return json.dumps({"service": "x", "role": "serve", "event": event, "level": "info", "timestamp": stamp} | fields)


@pytest.fixture
def shown(tmp_path):
    """Give what writes the logs of parts and returns what `make logs` then shows."""

    def run(logged, *, color=False, **wanted):
        files = {part: tmp_path / f"{part}.log" for part in logged}
        for part, lines in logged.items():
            files[part].write_text("".join(f"{one}\n" for one in lines))
        console = Console(color_system="standard" if color else None, force_terminal=color, soft_wrap=True)
        with console.capture() as caught:
            show(files, Filter(**wanted), console.print, follow=False, pause=lambda: None)
        return caught.get().splitlines()

    return run


LOGGED = {
    "gateway": [
        line(1, "http", request_id="r-1", status=200),
        line(6, "http", request_id="r-2", status=503, level="warning"),
    ],
    "checkout": [
        line(3, "ended", request_id="r-1", checkout_id="c1"),
        line(4, "ended", request_id="r-2", checkout_id="c2"),
    ],
    "kafka": ["started", line(5, "not ours")],
}


def test_the_parts_are_shown_in_one_order(shown):
    """Lines are sorted by time, and each has its time, part, level, message and fields."""
    lines = shown({part: LOGGED[part] for part in ("gateway", "checkout")})
    assert lines[0] == "09:00:01.123 gateway  info    http request_id=r-1 status=200"
    assert lines[1] == "09:00:03.123 checkout info    ended request_id=r-1 checkout_id=c1"
    assert [one[6:8] for one in lines] == ["01", "03", "04", "06"]


def test_one_part_needs_no_name(shown):
    """The log of one part has no column of names, and a line that is not JSON is shown as it stands."""
    assert shown({"kafka": LOGGED["kafka"]})[0] == "started"
    assert shown({"gateway": LOGGED["gateway"]})[0] == "09:00:01.123 info    http request_id=r-1 status=200"


@pytest.mark.parametrize(
    ("wanted", "seconds"),
    [
        ({"request": "r-1"}, ["01", "03"]),
        ({"checkout": "c2"}, ["04", "06"]),
        ({"level": "WARNING"}, ["06"]),
        ({"checkout": "c2", "level": "warning"}, ["06"]),
        ({"request": "r-3"}, []),
    ],
)
def test_lines_are_filtered(shown, wanted, seconds):
    """A filter shows the lines of a request, of a checkout and the requests that it belongs to, or from a level on."""
    assert [one[6:8] for one in shown(LOGGED, **wanted)] == seconds


def test_a_filter_looks_at_everything_that_was_logged(shown):
    """Without a filter the end of the log is shown. A filter finds a line at the beginning of a long log too."""
    logged = {"gateway": [line(0, "first", request_id="r-0"), *[line(1, "http")] * 5000, line(2, "last")]}
    last = shown(logged)
    assert (len(last), last[-1]) == (FIRST_LINES, "09:00:02.123 info    last")
    assert len(shown(logged, request="r-0")) == 1


def test_colours_are_for_terminals(shown):
    """A terminal gets colours, anything else plain text; markup in a line is shown as it stands."""
    logged = {"gateway": [line(1, "[red]x[/red]", error="[/]")]}
    assert "\x1b[" in shown(logged, color=True)[0]
    assert shown(logged)[0].endswith("[red]x[/red] error=[/]")


def test_a_traceback_stands_below_its_line(shown):
    """The frames and the error of a failure are lines of their own."""
    cause = {"exc_type": "KeyError", "exc_value": "'x'", "frames": [{"filename": "a.py", "lineno": 7, "name": "f"}]}
    assert shown({"gateway": [line(1, "failed", level="error", exception=[cause])]})[1:] == [
        "    a.py:7 in f",
        "    KeyError: 'x'",
    ]


def test_a_log_is_followed(tmp_path):
    """Only whole lines are read, each once; a log that begins anew is read from its beginning."""
    path = tmp_path / "gateway.log"
    tail = Tail("gateway", path)
    assert tail.read() == []
    path.write_text("one\ntw")
    assert [one.text for one in tail.read()] == ["one"]
    with path.open("a") as file:
        file.write("o\n")
    assert [one.text for one in tail.read()] == ["two"]
    path.write_text("new\n")
    assert [one.text for one in tail.read()] == ["new"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', "1", '"x"', "\ufffd"])
def test_any_line_can_be_shown(shown, text):
    """What is not a log line of ours is shown as it stands, and is of no request and no level."""
    assert parse("gateway", text).fields is None
    assert shown({"gateway": [text]}) == [text]
    assert shown({"gateway": [text]}, level="debug") == []


def test_an_unknown_level(refused):
    """A level that there is not is answered with those that there are."""
    assert "there is no log level 'loud'; the levels are: debug, info" in refused("logs", "--level", "loud")
