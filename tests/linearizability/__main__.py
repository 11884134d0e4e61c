"""`make linearizability`: records histories of carts and of checkout keys under faults, and has porcupine check them.

First the checker is tested. Then the cart service alone, with real stores: thousands of operations, and the same with a broken
protocol, which must be noticed. Then a whole platform by REST, whose processes are killed and stopped.
"""

import asyncio
import random
import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from devstack.home import ROOT
from tests.linearizability.books import differences
from tests.linearizability.cart_service import Run
from tests.linearizability.checker import Verdict, check, program
from tests.linearizability.rest import Nemesis, Shop, without_stale_reads
from tests.linearizability.test_cart import BROKEN, ROUNDS
from tests.linearizability.topic import wait_until_applied
from tests.platforms import OnThisMachine, new_stack
from tests.seeds.seed import load
from tests.torture.books import settle

PAGES = ROOT / ".cartwright" / "linearizability-pages"
ROUND_SECONDS, ROUND_USERS = 4.0, 6


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def tell(what: str, verdict: Verdict, seen: Mapping[str, Any]) -> bool:
    """Say what came of a history, and return whether it is linearizable."""
    end = "linearizable" if verdict.good else "NOT LINEARIZABLE" if verdict.not_linearizable else "UNDECIDED"
    say(
        f"{what}: {verdict.operations} operations on {verdict.objects} objects, {verdict.unknown} without an answer: {end}"
    )
    say("  " + ", ".join(f"{name} {count}" for name, count in sorted(seen.items())))
    for name in verdict.not_linearizable:
        say(f"  {name}: see {PAGES.relative_to(ROOT)}/{name.replace(':', '-').replace('/', '-')}.html")
    for name in verdict.undecided:
        say(f"  {name} was not decided in time")
    return verdict.good


def run_service(urls: Mapping[str, str], seconds: float, seed: int) -> bool:
    """Check the cart service alone, for so many seconds."""
    run = Run(urls, seed)

    async def rounds() -> None:
        for number in range(max(1, round(seconds / ROUND_SECONDS))):
            await run.round(ROUND_USERS, ROUND_SECONDS)
            say(f"  round {number + 1}: {len(run.history.operations)} operations")

    asyncio.run(rounds())
    return tell("the cart service", check(run.history.operations, PAGES), run.seen)


def run_broken(urls: Mapping[str, str], name: str) -> bool:
    """Break the protocol of the cache, and return whether that is noticed."""
    seed = load()[name]
    script = seed.planted((ROOT / seed.file).read_text()).encode()
    for number in range(ROUNDS):
        run = Run(urls, number, script)
        asyncio.run(run.round(ROUND_USERS, 2.0))
        if check(run.history.operations).not_linearizable:
            say(f"broken by {name}: noticed in round {number + 1}")
            return True
    say(f"broken by {name}: NOT NOTICED in {ROUNDS} rounds")
    return False


def run_platform(platform: OnThisMachine, seconds: float, seed: int) -> bool:
    """Check a whole platform, for so many seconds."""
    shop, nemesis = (
        Shop(platform.urls["CARTWRIGHT_URL"], secrets.randbelow(10**9) + 10**9),
        Nemesis(platform.stack, seed),
    )
    shoppers = shop.open()
    nemesis.start()
    ends_at = time.monotonic() + seconds
    while (left := ends_at - time.monotonic()) > 0:
        time.sleep(min(10.0, left))
        say(f"  {len(shop.history.operations)} operations, {nemesis.done.total()} faults")
    nemesis.end()
    shop.close(shoppers)
    shop.settle()
    settle(platform.urls["POSTGRES_URL"])
    wait_until_applied(platform.urls["KAFKA_BOOTSTRAP_SERVERS"], "cart")  # what was bought has left the carts then
    shop.note_claims()
    for basket in shop.baskets:
        while not shop.read(basket, 0):
            time.sleep(0.1)
    users = [basket.user for basket in shop.baskets]
    wrong = [*shop.unexpected, *differences(platform.urls, users, shop.checkouts)]
    for line in wrong:
        say(f"  WRONG: {line}")
    missing = [what for what in ("checkouts COMPLETED", "unknown") if not shop.seen[what]]
    if missing or not nemesis.done:
        say(f"  nothing was shown: there is no {', '.join(missing) or 'fault'}")
    operations = without_stale_reads(shop.history, nemesis.redis_away)
    good = tell("the platform", check(operations, PAGES), shop.seen | nemesis.done)
    return good and not wrong and not missing


def main(
    seconds: Annotated[float, typer.Option(help="how long the whole platform is used")] = 60.0,
    service_seconds: Annotated[float, typer.Option(help="how long the cart service alone is used")] = 24.0,
    seed: Annotated[int, typer.Option(help="draws the faults; 0: another one each time")] = 0,
) -> None:
    """Run all of it, and exit with 1 where a history is not linearizable, or a broken protocol is not noticed."""
    seed = seed or random.randrange(1, 10**9)
    say(f"seed {seed}")
    program()
    if code := pytest.main(["-q", "-p", "no:cacheprovider", str(Path(__file__).parent / "test_checker.py")]):
        raise typer.Exit(int(code))
    with new_stack("linearizability", env={"BANK_SUCCESS_RATE": "0.9"}) as stack:
        platform = OnThisMachine(stack)
        results = [
            run_service(platform.urls, service_seconds, seed),
            *(run_broken(platform.urls, name) for name in BROKEN),
            run_platform(platform, seconds, seed),
        ]
    raise typer.Exit(0 if all(results) else 1)


if __name__ == "__main__":
    typer.run(main)
