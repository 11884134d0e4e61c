"""Kills every process in turn, each while checkouts are under way, and then counts the money, the orders and the stock.

Run by `make torture-quick`. It judges from the databases, never through the services, and fails when a figure that shows
that something was really interrupted is zero. Bounded: one kill per part, and buyers that stop when the last is done.
"""

import shutil
import subprocess
import sys
import threading
import time

from rich.console import Console

from devstack.client import Stack
from devstack.home import ROOT, Home, user_environment
from devstack.stores import data_folder
from devstack.table import PARTS
from tests.kube import Kube
from tests.torture.books import in_flight, judge, settle, shown
from tests.torture.buyers import Load

BUYERS = 24
LEAST_IN_FLIGHT = 10
DROPPED = 20
READY_SECONDS = 180  # an API server that starts between buyers who leave no processor idle needs a minute and more
console = Console(highlight=False)


def kill_all(stack: Stack, url: str) -> dict[str, int]:
    """Kill each part once while enough checkouts are under way, and give how many were."""
    under_way = {}
    for name in PARTS:
        ends_at = time.monotonic() + 60
        while (count := in_flight(url)) < LEAST_IN_FLIGHT:
            if time.monotonic() > ends_at:
                raise AssertionError(f"{name}: only {count} checkouts under way after a minute")
            time.sleep(0.02)
        before = stack.row(name)["restarts"]
        stack.kill(name)
        under_way[name] = count
        ends_at = time.monotonic() + 60
        while stack.row(name)["restarts"] == before:
            if time.monotonic() > ends_at:
                raise AssertionError(f"{name}: not started again within a minute")
            time.sleep(0.05)
        stack.wait_ready(timeout=READY_SECONDS)
        console.print(f"  killed {name:<20} with {count:>3} checkouts under way")
    return under_way


def main() -> int:
    """Run it, and give the exit code."""
    home = Home(ROOT / ".cartwright" / "torture")
    Stack(home).down()
    shutil.rmtree(data_folder("postgres", home), ignore_errors=True)
    shutil.rmtree(home.path, ignore_errors=True)
    stack = Stack.up(home.path, env={"BANK_SUCCESS_RATE": "0.9"})
    load = Load(stack.env()["CARTWRIGHT_URL"], lambda: Kube(home.kubeconfig))
    buyers = [
        threading.Thread(target=target, daemon=True)
        for target in (load.buy_on, load.apply_on)
        for _ in range(BUYERS // 2)
    ]
    try:
        urls = stack.env()
        # Some replies of the bank are lost as well, so that charges are sent again.
        order = [sys.executable, "-m", "services.bank.admin", "drop", "--times", str(DROPPED)]
        subprocess.run(order, check=True, cwd=ROOT, env=user_environment() | urls)
        for buyer in buyers:
            buyer.start()
        under_way = kill_all(stack, urls["POSTGRES_URL"])
        load.stop.set()
        for buyer in buyers:
            buyer.join(timeout=15)
        settle(urls["POSTGRES_URL"])
        shown(Kube(home.kubeconfig), urls["POSTGRES_URL"], load.applied)
        figures = {"in flight at the kills": sum(under_way.values())} | judge(urls, load.answers)
    except AssertionError as error:
        console.print(f"[red]FAILED:[/] {error}; the logs are in {home.path / 'logs'}")
        return 1
    finally:
        load.stop.set()
        stack.down()
    console.print(f"answers: {dict(load.seen)}")
    for name, value in figures.items():
        console.print(f"  {name:<24} {value:>6}")
    if vacuous := [name for name, value in figures.items() if not value]:
        console.print(f"[red]FAILED:[/] nothing was shown: {', '.join(vacuous)} is zero")
        return 1
    console.print(f"{len(under_way)} kills: captured = completed = orders, stock conserved, nothing reserved")
    return 0


if __name__ == "__main__":
    sys.exit(main())
