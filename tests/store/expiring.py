"""Schedules in which records expire most of the time: in steps that wait, and while the tier is replaced.

python -m tests.store.expiring                             # 20,000 schedules over all modes, policies and tables
python -m tests.store.expiring --mode through --seed 42    # that one again, step by step
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Final

from tests.store.simulate import EVENTS, KEYS, happens, main_of
from tests.store.world import World

STEPS = 100

SECONDS: Final = (None, 0.2, 0.9, 4.0, 4.0)
"""What a PUT says of the end of its record, apart from those of :mod:`tests.store.simulate`."""

OFTEN: Final = EVENTS | {
    "put_expiring": 30,
    "together": 16,
    "ttl": 12,
    "delete": 8,
    "get": 20,
    "replace_tier": 6,
    "advance": 8,
    "sweep": 2,
    "sweep_on": 2,
    "load_begin": 14,
    "load_end": 14,
    "flush_begin": 8,
    "flush_end": 8,
}


def run(seed: int, mode: str, policy: str, say: Callable[[str], None] | None = None, table: str = "plain") -> World:
    """One schedule; raises AssertionError when an invariant does not hold."""
    chance = random.Random(f"expiring {mode} {policy} {seed}")
    world = World(policy, chance.randint(1, 2), chance.randint(1, 5), mode, table)
    for name in chance.choices(list(OFTEN), list(OFTEN.values()), k=STEPS):
        if name == "put_expiring":
            key, seconds = chance.choice(KEYS), chance.choice(SECONDS)
            if say is not None:
                say(f"put({key!r}, {seconds})")
            world.put(key, seconds)
            world.check()
        else:
            happens(world, name, KEYS, chance, say)
    world.drain_and_restart()
    return world


if __name__ == "__main__":
    raise SystemExit(main_of(run, __doc__ or "", "tests.store.expiring", sys.argv[1:]))
