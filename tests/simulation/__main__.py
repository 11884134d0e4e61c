"""Runs schedules: `python -m tests.simulation --seeds 20000 [--first 1] [--jobs 2]`, or one with its story: `--seed 7`."""

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator

from tests.simulation.coverage import never_reached
from tests.simulation.run import Result, prepare, run_schedule
from tests.simulation.shrink import shrink
from tests.simulation.story import tell_story

ENOUGH = 5000
"""From how many schedules on everything in `coverage.SOMETIMES` must have been reached."""
CHUNK = 20
CHUNKS_PER_PROCESS = 5
MOST_FAILURES = 20


def say(text: str) -> None:
    """Write a line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run_chunk(seeds: range) -> tuple[int, Counter[str], list[Result], float]:
    """Run a few schedules, and return how many, what they reached, those that failed, and the virtual time in seconds."""
    coverage: Counter[str] = Counter()
    failed: list[Result] = []
    seconds = 0.0
    for seed in seeds:
        result = run_schedule(seed, free=False)
        coverage.update(result.coverage)
        seconds += result.seconds
        if result.violation is not None:
            failed.append(result)
    return len(seeds), coverage, failed, seconds


def outcomes(seeds: range, jobs: int) -> Iterator[tuple[int, Counter[str], list[Result], float]]:
    """Run all schedules in so many processes, each of which ends before the worlds that it leaves behind take much memory."""
    prepare()
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=CHUNKS_PER_PROCESS) as pool:
        yield from pool.imap_unordered(run_chunk, chunks)


def run_many(seeds: range, jobs: int) -> int:
    """Run schedules with progress, and return the exit code: 1 where a promise was broken or something was never reached."""
    began = told = time.monotonic()
    done, virtual = 0, 0.0
    coverage: Counter[str] = Counter()
    failed: list[Result] = []
    for count, reached, bad, seconds in outcomes(seeds, jobs):
        done, virtual = done + count, virtual + seconds
        coverage.update(reached)
        failed += bad
        for result in bad:
            say(f"seed {result.seed} FAILED: {result.violation}")
        now = time.monotonic()
        if now - told > 5 or done == len(seeds):
            told = now
            rate = done / (now - began)
            left = (len(seeds) - done) / rate
            say(f"{done:,} of {len(seeds):,} schedules, {rate:.0f}/s, {len(failed)} failed, {left:.0f} s left")
        if len(failed) >= MOST_FAILURES:
            say("too many have failed to go on")
            break
    took = time.monotonic() - began
    say(f"{done:,} schedules, {virtual / 3600:.1f} hours of virtual time in {took:.0f} s, {len(failed)} failed")
    for name, count in sorted(coverage.items()):
        say(f"{count:>10,}  {name}")
    missing = never_reached(coverage) if done >= ENOUGH else []
    for name in missing:
        say(f"NEVER REACHED: {name}")
    if failed:
        say("")
        tell_story(shrink(min(result.seed for result in failed)), say)
    return 1 if failed or missing else 0


def run_one(seed: int, *, whole: bool) -> int:
    """Run the schedule of a seed, shrink it where it fails, and tell its story; `whole`: tell it as it is."""
    prepare()
    if whole:
        result = run_schedule(seed, tell=say)
        say(f"seed {seed}: {result.violation or 'every promise was kept'}")
        return 1 if result.violation else 0
    if run_schedule(seed).violation is None:
        say(f"seed {seed}: every promise was kept (its story: --seed {seed} --whole)")
        return 0
    tell_story(shrink(seed), say)
    return 1


def main() -> int:
    """Parse the command line, and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20_000, help="how many schedules")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="how many processes")
    parser.add_argument("--seed", type=int, help="run this one alone, and tell its story")
    parser.add_argument(
        "--whole", action="store_true", help="with --seed: do not shrink it, and tell it also if it passes"
    )
    asked = parser.parse_args()
    if asked.seed is not None:
        return run_one(asked.seed, whole=asked.whole)
    return run_many(range(asked.first, asked.first + asked.seeds), asked.jobs)


if __name__ == "__main__":
    sys.exit(main())
