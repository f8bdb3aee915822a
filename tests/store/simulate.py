"""Schedules by the thousand: a seeded scheduler decides what happens next to a :class:`~tests.store.world.World`.

python -m tests.store.simulate                           # 20,000 schedules over all modes, policies and tables
python -m tests.store.simulate --mode through --seed 42  # that one again, step by step
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from itertools import product

from ckv.store.memory import POLICIES, TABLES
from ckv.store.modes import MODES
from tests.store.moving_world import MovingWorld
from tests.store.world import World

STEPS = 60
KEYS = ("alice", "bob", "charles", "daniel")

SECONDS = (None, None, None, 0.2, 0.9, 4.0, 30.0, -1.0)
"""What a PUT says of the end of its record: see :meth:`World.put`."""

UPDATES = ("append", "append", "expire", "take", "keep", "refuse")

PARTS = ("put", "delete", "append", "expire", "take", "look")

# What can happen, and how often. Half are requests; crashes and drains are rare, so that something can build up.
EVENTS: dict[str, int] = {
    "put": 14,
    "get": 14,
    "get_all": 2,
    "ttl": 4,
    "delete": 6,
    "update": 12,
    "together": 8,
    "load_begin": 7,
    "load_read": 3,
    "load_end": 7,
    "load_fail": 2,
    "load_lock": 2,
    "refuse_loads": 1,
    "accept_loads": 1,
    "flush_begin": 8,
    "flush_commit": 4,
    "flush_end": 7,
    "admit": 7,
    "flush_fail": 2,
    "flush_lose": 2,
    "flush_reject": 4,
    "flush_refuse": 2,
    "retry_refused": 1,
    "replace_tier": 2,
    "advance": 4,
    "settle": 1,
    "drain_and_restart": 1,
    "crash_and_restart": 1,
}

MOVES: dict[str, int] = {
    "move_begin": 4,
    "move_step": 20,
    "move_freeze": 7,
    "move_end": 3,
    "move_back": 2,
    "move_through": 2,
}
"""The same for slots that move to another node and back: in half of the schedules."""


def run(seed: int, mode: str, policy: str, say: Callable[[str], None] | None = None, table: str = "plain") -> World:
    """One schedule; raises AssertionError when an invariant does not hold. Both tables have the same ones."""
    chance = random.Random(f"{mode} {policy} {seed}")
    keys = KEYS[: chance.randint(1, len(KEYS))]
    capacity, pending_max = chance.randint(1, 3), chance.randint(1, 5)
    moves = seed // 4 % 2 == 1
    kind = MovingWorld if moves else World
    world = kind(
        policy, capacity, pending_max, mode, table, ahead_share=2 if seed % 4 > 1 else 256, room_share=1 + seed % 3
    )
    world.alone = seed % 2 == 1
    events = EVENTS | MOVES if moves else EVENTS
    names, weights = list(events), list(events.values())
    sweeps = random.Random(f"sweep {seed}") if seed // 8 % 2 == 1 else None
    for name in chance.choices(names, weights, k=STEPS if not moves else 4 * STEPS // 3):
        happens(world, name, keys, chance, say)
        if sweeps is not None and sweeps.random() < 0.1:
            happens(world, sweeps.choice(("sweep", "sweep_on")), keys, chance, say)
    if say is not None:
        say("drain_and_restart()")
    world.drain_and_restart()
    return world


def happens(
    world: World, name: str, keys: Sequence[str], chance: random.Random, say: Callable[[str], None] | None
) -> None:
    """One event with this name, if there can be one now."""
    arguments: tuple[object, ...] = ()
    if name == "put":
        arguments = (chance.choice(keys), chance.choice(SECONDS))
    elif name in ("get", "delete", "ttl"):
        arguments = (chance.choice(keys),)
    elif name == "update":
        arguments = (chance.choice(keys), chance.choice(UPDATES), chance.choice((None, None, 0, *SECONDS)))
    elif name == "together":
        arguments = (
            [
                (chance.choice(keys), chance.choice(PARTS), chance.choice((None, 0, *SECONDS)))
                for _ in range(chance.randint(1, 4))
            ],
        )
    elif name == "replace_tier":
        arguments = (chance.choice(keys), chance.randrange(4))
    elif name in ("move_begin", "move_through"):
        arguments = (chance.sample(keys, chance.randint(1, len(keys))),)
    elif name == "move_end":
        arguments = (chance.randrange(4),)
    elif name == "advance":
        arguments = (chance.choice((0.3, 1.0, 5.0)),)
    elif name.startswith("load_") and name != "load_begin":
        if not world.queries:
            return
        arguments = (chance.randrange(len(world.queries)),)
    elif name.startswith("flush_") and name != "flush_begin":
        if not world.flushes:
            return
        arguments = (chance.randrange(len(world.flushes)),)
    if say is not None:
        say(f"{name}{arguments}")
    getattr(world, name)(*arguments)
    world.check()


Failure = tuple[int, str, str, str, AssertionError]

Run = Callable[[int, str, str, Callable[[str], None] | None, str], World]
"""Carries out one schedule: its seed, mode and policy, what is told each step, and the table."""


def first_failure(
    count: int, modes: list[str], policies: list[str], tables: list[str], run: Run = run
) -> Failure | None:
    """Runs that many schedules, spread over modes, policies and tables; the first one that fails."""
    kinds = list(product(modes, policies, tables))
    for number in range(count):
        mode, policy, table = kinds[number % len(kinds)]
        seed = number // len(kinds)
        try:
            run(seed, mode, policy, None, table)
        except AssertionError as error:
            return seed, mode, policy, table, error
    return None


def main_of(run: Run, description: str, module: str, words: list[str]) -> int:
    """The command of a module of schedules; the exit code."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--mode", choices=MODES)
    parser.add_argument("--policy", choices=POLICIES)
    parser.add_argument("--table", choices=TABLES)
    options = parser.parse_args(words)
    modes = [options.mode] if options.mode else list(MODES)
    policies = [options.policy] if options.policy else list(POLICIES)
    tables = [options.table] if options.table else list(TABLES)
    if options.seed is not None:
        for mode, policy, table in product(modes, policies, tables):
            print(f"--- {mode} {policy} {table}")
            run(options.seed, mode, policy, print, table)
        return 0
    began = time.monotonic()
    failure = first_failure(options.count, modes, policies, tables, run)
    if failure is not None:
        seed, mode, policy, table, error = failure
        again = f"--mode {mode} --policy {policy} --table {table} --seed {seed}"
        print(f"FAILED: {error}\npython -m {module} {again}")
        return 1
    print(f"{options.count} schedules held in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main_of(run, __doc__ or "", "tests.store.simulate", sys.argv[1:]))
