"""Schedules by the thousand: a seeded scheduler decides what happens next to a cluster (:mod:`tests.cluster.world`).

python -m tests.cluster.simulate                                        # 20,000 schedules over all modes and kinds
python -m tests.cluster.simulate --mode through --kind trouble --seed 42  # that one again, step by step
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from tests.cluster.world import KINDS, MODES, run


class Failure(NamedTuple):
    """A schedule in which something went wrong."""

    seed: int
    mode: str
    kind: str
    wrong: str

    @property
    def again(self) -> str:
        return f"python -m tests.cluster.simulate --mode {self.mode} --kind {self.kind} --seed {self.seed}"


class Part(NamedTuple):
    """The schedules of one process."""

    first: int
    end: int
    step: int
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
    for number in range(part.first, part.end, part.step):
        yield (number // len(variants), *variants[number % len(variants)])


def first_failure(
    count: int,
    modes: tuple[str, ...] = MODES,
    kinds: tuple[str, ...] = KINDS,
    *,
    jobs: int = 1,
) -> tuple[Failure | None, Counter[str]]:
    """Runs that many schedules, spread over modes, kinds and processes."""
    parts = [Part(number, count, jobs, modes, kinds) for number in range(jobs)]
    if jobs == 1:
        return run_part(parts[0])
    total: Counter[str] = Counter()
    failure: Failure | None = None
    with multiprocessing.Pool(jobs) as pool:
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
    print(", ".join(f"{count:,} {what}" for what, count in sorted(counts.items())))
    if failure is not None:
        print(f"FAILED: {failure.wrong}\n{failure.again}")
        return 1
    print(f"{counts['schedules']} schedules held in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
