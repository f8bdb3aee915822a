"""Schedules by the thousand: a seeded scheduler decides what happens next to a cluster (:mod:`tests.cluster.world`).

python -m tests.cluster.simulate                                        # 20,000 schedules over all modes and kinds
python -m tests.cluster.simulate --mode through --kind trouble --seed 42  # that one again, step by step
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Final, NamedTuple

from tests.cluster.world import KINDS, MODES, run

AT_ONCE: Final = 96
"""Schedules that a process runs before it asks for more."""


class Failure(NamedTuple):
    """A schedule in which something went wrong."""

    seed: int
    mode: str
    kind: str
    wrong: str

    @property
    def again(self) -> str:
        return f"python -m tests.cluster.simulate --mode {self.mode} --kind '{self.kind}' --seed {self.seed}"


class Part(NamedTuple):
    """Some of the schedules."""

    first: int
    end: int
    modes: tuple[str, ...]
    kinds: tuple[str, ...]


def run_part(part: Part) -> tuple[Failure | None, Counter[str]]:
    """Runs them until one fails; that one, and how often what happened."""
    counts: Counter[str] = Counter()
    for seed, mode, kind in _schedules(part):
        outcome = run(seed, mode, kind)
        counts.update(outcome.counts)
        counts["schedules"] += 1
        if outcome.wrong:
            return Failure(seed, mode, kind, outcome.wrong), counts
    return None, counts


def _schedules(part: Part) -> Iterator[tuple[int, str, str]]:
    variants = list(product(part.modes, part.kinds))
    for number in range(part.first, part.end):
        yield (number // len(variants), *variants[number % len(variants)])


def first_failure(
    count: int,
    modes: tuple[str, ...] = MODES,
    kinds: tuple[str, ...] = KINDS,
    *,
    jobs: int = 1,
) -> tuple[Failure | None, Counter[str]]:
    """Runs that many schedules, spread over modes, kinds and processes."""
    if jobs == 1:
        return run_part(Part(0, count, modes, kinds))
    parts = [Part(first, min(count, first + AT_ONCE), modes, kinds) for first in range(0, count, AT_ONCE)]
    total: Counter[str] = Counter()
    failure: Failure | None = None
    # A world is full of circles, all of which end with it: there is nothing to collect before that.
    with multiprocessing.Pool(jobs, gc.set_threshold, (50_000,)) as pool:
        for failed, counts in pool.imap_unordered(run_part, parts):
            total.update(counts)
            if failed is not None:
                failure = failed
                pool.terminate()
                break
    return failure, total


def main(words: list[str]) -> int:
    """The command; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--mode", choices=MODES)
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args(words)
    modes = (options.mode,) if options.mode else MODES
    kinds = (options.kind,) if options.kind else KINDS
    if options.seed is not None:
        wrong = ""
        for mode, kind in product(modes, kinds):
            print(f"--- {mode} {kind}")
            wrong = run(options.seed, mode, kind, print).wrong or wrong
        print(f"FAILED: {wrong}" if wrong else "it held")
        return bool(wrong)
    began = time.monotonic()
    failure, counts = first_failure(options.count, modes, kinds, jobs=options.jobs)
    seconds, done = time.monotonic() - began, counts.pop("schedules")
    print(
        "in 1,000 schedules:", ", ".join(f"{1000 * count // done:,} {what}" for what, count in sorted(counts.items()))
    )
    if failure is not None:
        print(f"FAILED: {failure.wrong}\n{failure.again}")
        return 1
    variants = len(modes) * len(kinds)
    seeds = f"seeds 0 to {(done - 1) // variants} of {variants} modes and kinds"
    print(f"{done:,} schedules held in {seconds:.0f} s, {done / seconds:.0f} a second: {seeds}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
