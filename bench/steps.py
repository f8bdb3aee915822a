"""``python -m bench.steps``: where the processor time of one call goes, step by step.

Each step is timed by itself in this process: real TCP sockets, the real session, handlers, store and
Connection, and enough records to miss the processor's caches. Beside it stands the *whole*: what a secondary, as a
process of its own under the load generator, uses for a call. What the steps lack is the event loop, epoll, the
Connection's own code, and clients that sleep and have to be woken up. Where that is little, at great depth, the drift
of the machine can hide it, although steps and whole are measured in turn.

Noise only adds, so every figure is the best of several repetitions.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Final

from bench import counting, looking
from bench.database import database
from bench.generator import Load
from bench.processes import Whole, best_of, evicting, shares, whole
from bench.rig import HOT_KEYS, IN_ONE_GO, PARTS, SETTING, STEPS, Rig, Timings
from bench.servers import Servers
from bench.tables import Table, as_markdown, as_text
from bench.turns import prefill

DEPTHS: Final = (1, 16)
REPEATS, QUICK_REPEATS = 8, 3
"""Of the steps, in each round."""
ROUNDS, QUICK_ROUNDS = 5, 2
"""Runs of the generator, each followed by repetitions of the steps."""
SECONDS, QUICK_SECONDS = 1.0, 0.3
EVICTED: Final = 100_000
"""Records that one run moves to the database."""
PERF_SECONDS: Final = 3.0
PERF_ROWS: Final = 5

ALONE: Final = ("looking", "counted")
"""Tables that are made for whoever names them."""
LOOKING_ROUNDS: Final = 30

THROUGH: Final = "the primary of a cluster"
SUM, REST, WHOLE, KERNEL = "sum of the steps", "the rest", "the whole", "kernel"

Rows = list[tuple[str, float, float]]
"""Name, nanoseconds and share in the whole."""


def table_of(timings: Timings, end_to_end: Whole) -> Rows:
    """Rows of name, nanoseconds and share in the whole: the steps, their sum, what is left, and the whole."""
    parts = sum(timings[step] for step in STEPS)
    values = {
        **{step: timings[step] for step in STEPS[: STEPS.index("handler") + 1]},
        **{f"- of it {part}": timings[part] for part in PARTS},
        **{step: timings[step] for step in STEPS[STEPS.index("handler") + 1 :]},
        SUM: parts,
        IN_ONE_GO: timings[IN_ONE_GO],
        REST: end_to_end.ns - parts,
        WHOLE: end_to_end.ns,
        f"- of it {KERNEL}": end_to_end.system * 1000,
    }
    return [(name, value, value / end_to_end.ns) for name, value in values.items()]


def steps_table(columns: Sequence[tuple[str, Rows]]) -> Table:
    """Side by side, by their headings."""
    headings = ["step", *(text for heading, _ in columns for text in (f"{heading}, ns", "share"))]
    rows = [
        [together[0][0], *(text for _, value, share in together for text in (f"{value:,.0f}", f"{share:.0%}"))]
        for together in zip(*(rows for _, rows in columns), strict=True)
    ]
    return headings, rows


def side_by_side(rig: Rig, rounds: int, repeats: int, run_whole: Callable[[int], Whole]) -> Rows:
    """Steps and whole in turn, for the speed of a machine drifts: the best of both."""
    wholes = []
    for number in range(rounds):
        wholes.append(run_whole(number))
        rig.repeat(repeats)
    return table_of(rig.timings(), min(wholes, key=lambda each: each.ns))


def get_table(rounds: int, repeats: int, seconds: float) -> Table:
    """A GET that memory answers, at each depth."""
    columns = []
    with Servers() as servers:
        node = servers.secondary(capacity=SETTING.keys)
        prefill([node], SETTING)
        for depth in DEPTHS:
            load = replace(SETTING, depth=depth, seconds=seconds)
            with Rig("get", depth) as rig:
                rows = side_by_side(rig, rounds, repeats, lambda seed: whole(node, replace(load, seed=seed + 1))[0])  # noqa: B023
            columns.append((f"depth {depth}", rows))
    return steps_table(columns)


def evict_table(rounds: int, repeats: int) -> Table:
    """A PUT that evicts into MariaDB, at each depth."""
    columns = []
    with database() as server, Servers() as servers:
        node = servers.secondary(persistent=server.address, capacity=SETTING.keys)
        prefill([node], SETTING)
        fresh = count(SETTING.keys, EVICTED)
        for depth in DEPTHS:
            load = replace(SETTING, op="put", sequential=True, depth=depth, keys=1 << 31, calls=EVICTED)
            with Rig("put", depth) as rig:
                rows = side_by_side(
                    rig,
                    rounds,
                    repeats,
                    lambda _: evicting(node, replace(load, first_key=next(fresh))),  # noqa: B023
                )
            columns.append((f"depth {depth}", rows))
    return steps_table(columns)


def beside_table(rounds: int, seconds: float) -> Table:
    """Whole processes: a secondary among many and few keys, Redis, and the nodes of a call through a primary."""
    rows = []
    with Servers() as servers:
        alone, redis, cluster = servers.secondary(capacity=SETTING.keys), servers.redis(), servers.cluster()
        prefill([alone, redis, cluster], SETTING)
        primary, *secondaries = cluster.pids
        for depth in DEPTHS:
            load = replace(SETTING, depth=depth, seconds=seconds)
            runs: dict[str, Callable[[Load], list[Whole]]] = {
                "ckv": lambda load: whole(alone, load),
                f"ckv, {HOT_KEYS:,} keys": lambda load: whole(alone, replace(load, keys=HOT_KEYS)),
                "Redis": lambda load: whole(redis, load),
                f"Redis, {HOT_KEYS:,} keys": lambda load: whole(redis, replace(load, keys=HOT_KEYS)),
                THROUGH: lambda load: whole(cluster, load, [(primary,), secondaries]),
            }
            found: dict[str, list[list[Whole]]] = {name: [] for name in runs}
            for seed in range(1, rounds + 1):
                for name, one in runs.items():
                    found[name].append(one(replace(load, seed=seed)))
            used = {name: best_of(wholes)[0] for name, wholes in found.items()}
            used["both secondaries behind it"] = best_of(found[THROUGH])[1]
            rows += [[str(depth), name, f"{each.user:.2f}", f"{each.system:.2f}"] for name, each in used.items()]
    return ["depth", "GET", "user us", "kernel us"], rows


def shares_table(seconds: float) -> Table:
    """What `perf` finds in a secondary and in Redis."""
    rows = []
    with Servers() as servers:
        contenders = [servers.secondary(capacity=SETTING.keys), servers.redis()]
        prefill(contenders, SETTING)
        for depth in DEPTHS:
            for contender in contenders:
                found = shares(contender, replace(SETTING, depth=depth, seconds=seconds))
                most = sorted(found.items(), key=lambda item: -item[1])[:PERF_ROWS]
                rows += [[str(depth), contender.name, name, f"{share:.0f} %"] for name, share in most]
    return ["depth", "process", "where", "share"], rows


def missing_for(table: str) -> str | None:
    """What is not there of what a table takes; None when all is."""
    if table == "perf":
        return None if shutil.which("perf") else "perf"
    if table == "counted":
        return counting.missing() or looking.missing()
    return looking.missing() if table == "looking" else None


def main(arguments: list[str] | None = None) -> int:
    """Prints the tables; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.steps", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only try whether it works; the figures say little")
    parser.add_argument("--markdown", action="store_true", help="tables for a page")
    parser.add_argument("--only", choices=("get", "evict", "beside", "perf", *ALONE), help="one table")
    options = parser.parse_args(arguments)
    repeats, rounds = (QUICK_REPEATS, QUICK_ROUNDS) if options.quick else (REPEATS, ROUNDS)
    seconds = QUICK_SECONDS if options.quick else SECONDS
    tables: dict[str, tuple[str, Callable[[], Table]]] = {
        "get": ("A GET that memory answers", lambda: get_table(rounds, repeats, seconds)),
        "evict": ("A PUT that evicts into MariaDB", lambda: evict_table(rounds, repeats)),
        "beside": ("Processor time of whole processes for a call", lambda: beside_table(rounds, seconds)),
        "perf": ("Samples by program file, GET", lambda: shares_table(PERF_SECONDS)),
        "looking": (
            "A call with and without looking",
            lambda: looking.whole_table(rounds if options.quick else LOOKING_ROUNDS, seconds),
        ),
        "counted": ("Instructions of a call with and without looking", looking.counted_table),
    }
    print(time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()))
    for name, (title, table) in tables.items():
        if options.only == name or (options.only is None and name not in ALONE):
            lacking = missing_for(name)
            if lacking is not None:
                print(f"\n{title}: nothing, for {lacking} is missing")
                continue
            print(f"\n{title}\n\n{(as_markdown if options.markdown else as_text)(table())}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
