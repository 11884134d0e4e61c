"""What `make status` prints: the parts, what they lack, how far the events are behind, and the addresses to open."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from devstack.health import Health, behind
from devstack.progress import spoken
from services.console.history import Sample

_STYLES = {"ready": "green", "yours": "green"} | dict.fromkeys(("degraded", "starting", "waiting"), "yellow")
_PAGES = {"gateway": "CARTWRIGHT_URL", "console": "CONSOLE_URL"}


def show(console: Console, parts: Sequence[Health], measured: Sample, urls: Mapping[str, str]) -> None:
    """Print how the parts are; `urls` are those of `Stack.env`."""
    table = Table("PART", "STATE", "ADDRESS", "UP", "RESTARTS", "PID", box=None, pad_edge=False, header_style="bold")
    for one in parts:
        mine = one.state != "yours"
        up_for = spoken(one.seconds) if one.pid else ""
        state = Text(one.state, _STYLES.get(one.state, "bold red"))
        table.add_row(one.name, state, one.address, up_for, str(one.restarts) if mine else "", str(one.pid or ""))
    console.print(table, soft_wrap=False)
    for one in parts:
        for name, how in one.lacks.items():
            console.print(f"{one.name} is without {name}: {how}", style="yellow")
    facts = Table.grid(padding=(0, 2, 0, 0))
    serving = {one.name for one in parts if one.is_ready}
    pages = [(name, urls[variable].replace("127.0.0.1", "localhost")) for name, variable in _PAGES.items()]
    for name, value in [*behind(measured, parts), *(page for page in pages if page[0] in serving)]:
        facts.add_row(name, value)
    console.print()
    console.print(facts, soft_wrap=False)
