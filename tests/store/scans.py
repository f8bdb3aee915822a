"""Scans in the middle of schedules: whatever happens to the store meanwhile, they tell what they promise.

python -m tests.store.scans                           # 20,000 schedules over all modes, policies and tables
python -m tests.store.scans --mode evict --seed 42    # that one again, step by step
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from ckv.store.motion import Log
from ckv.store.scanning import START, Answer, Phase, Place, Scan
from ckv.values import Value, to_bytes
from tests.store.simulate import EVENTS, KEYS, happens, main_of
from tests.store.world import NOTHING, World

STEPS = 200

# A restart ends all scans.
AROUND = {name: weight for name, weight in EVENTS.items() if "restart" not in name} | {"purge": 4, "scan": 60}


@dataclass
class Rows:
    """Rows that were asked for."""

    log: Log
    answer: Answer
    asked: int
    found: list[tuple[str, int]] | None = None
    """What was there when they were read."""


def everything(_key: bytes) -> bool:
    return True


@dataclass
class Walked:
    """A scan that is under way, and what is known of the keys since it began."""

    world: World
    scan: Scan
    place: Place | None = START
    rows: Rows | None = None
    told: list[str] = field(default_factory=list)
    always: set[str] = field(default_factory=set)
    """The keys that had a value all the while."""
    seen: dict[str, int] = field(default_factory=dict)
    """How long their histories were when that was noted."""
    sometime: set[str] = field(default_factory=set)
    """Those that may have had one at some time."""

    @classmethod
    def begin(cls, world: World) -> Walked:
        walked = cls(world, Scan(world.store, lambda _key: True))
        walked.always = set(world.history)
        walked.note()
        return walked

    def note(self) -> None:
        """To be called whenever something has happened."""
        states = {key: self.world.states(key) + self._since(key) for key in list(self.world.history)}
        self.always &= {key for key, found in states.items() if NOTHING not in found}
        self.sometime |= {key for key, found in states.items() if any(state != NOTHING for state in found)}

    def _since(self, key: str) -> list[tuple[Value | None, int]]:
        """What was there for a moment: many writes can take effect in one step."""
        history = self.world.history[key]
        seen, self.seen[key] = self.seen.get(key, len(history)), len(history)
        return [self.world.alive(state.value, state.expires) for state in history[seen:]]

    def step(self, chance: random.Random) -> bool:
        """Goes on a little; whether it is over."""
        rows = self.rows
        if rows is None:
            assert self.place is not None
            answer = Answer(chance.randint(1, 3), self.place)
            self.scan.advance(answer, everything)
            if answer.place is not None and answer.place.phase is Phase.ROWS and not answer.is_full:
                self.rows = Rows(self.scan.rows_begin(), answer, chance.randint(1, 3))
                return False
            return self._take(answer)
        if rows.found is None:
            rows.found = self._read(rows)
            return False
        self.rows = None
        if chance.random() < 0.1:
            self.scan.rows_failed(rows.log)  # the same place is asked for again
            return False
        self.scan.rows_end(rows.log, rows.answer, rows.found, rows.asked, everything)
        self.scan.advance(rows.answer, everything)
        return self._take(rows.answer)

    def _read(self, rows: Rows) -> list[tuple[str, int]]:
        """What a tier answers."""
        place = rows.answer.place
        assert place is not None
        behind = [key for key in self.world.tier if place.after is None or to_bytes(key) > to_bytes(place.after)]
        return [(key, self.world.tier[key][1]) for key in sorted(behind, key=to_bytes)[: rows.asked]]

    def _take(self, answer: Answer) -> bool:
        self.told += answer.keys
        self.place = answer.place
        for key in answer.keys:
            assert key in self.sometime, f"SCAN: {key} was told, and had no value since the scan began"
        if self.place is None:
            missing = self.always - set(self.told)
            assert not missing, f"SCAN: {missing} had values from begin to end, and were not told"
            self.scan.close()
        return self.place is None


def run(seed: int, mode: str, policy: str, say: Callable[[str], None] | None = None, table: str = "plain") -> World:
    """One schedule with scans in it; raises AssertionError when one does not keep its promise."""
    chance = random.Random(f"scans {mode} {policy} {seed}")
    keys = KEYS[: chance.randint(1, len(KEYS))]
    world = World(
        policy, chance.randint(1, 4), chance.randint(1, 5), mode, table, ahead_share=2 if seed % 4 > 1 else 256
    )
    world.alone = seed % 2 == 1
    walked: Walked | None = None
    for name in chance.choices(list(AROUND), list(AROUND.values()), k=STEPS):
        if name == "scan":
            walked = walked or Walked.begin(world)
            if say is not None:
                say(f"scan at {walked.place}, {'with rows' if walked.rows else 'told ' + str(walked.told)}")
            if walked.step(chance):
                walked = None
            continue
        happens(world, name, keys, chance, say)
        if walked is not None:
            walked.note()
            if walked.scan.is_void:
                walked.scan.close()
                walked = None
    world.drain_and_restart()
    return world


if __name__ == "__main__":
    raise SystemExit(main_of(run, __doc__ or "", "tests.store.scans", sys.argv[1:]))
