"""What has expired leaves memory a little at a time, and where nothing expires nothing is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ckv.node.sweeping import EVERY, PAUSE, TURN, Sweeper
from ckv.store.alone import MemoryStore
from ckv.store.memory import POLICIES


class Slow(MemoryStore):
    """One in which each piece of a sweep takes a third of a turn."""

    def __init__(self) -> None:
        super().__init__(POLICIES["lru"](10_000), lambda: self.now_ms)
        self.now_ms = 1000
        self.now = 0.0
        self.passes = 0
        self.pieces = 0
        self.fails = False

    def sweep(self) -> Iterator[None]:
        self.passes += 1
        for _ in super().sweep():
            self.pieces += 1
            self.now += TURN * 0.34
            if self.fails:
                raise MemoryError
            yield


class Rig:
    def __init__(self) -> None:
        self.store = Slow()
        self.later: list[Callable[[], None]] = []
        self.sweeper = Sweeper(self.store, lambda: self.store.now, self.do_later)

    def do_later(self, seconds: float, do: Callable[[], None]) -> None:
        assert seconds == PAUSE
        self.later.append(do)

    def turn(self) -> None:
        """What was to be done later."""
        later, self.later = self.later, []
        for do in later:
            do()


def test_nothing_is_looked_at_where_nothing_expires() -> None:
    rig = Rig()
    rig.store.put("k", "v")
    rig.sweeper.look()
    assert (rig.store.passes, rig.later) == (0, [])


def test_others_are_served_after_each_turn() -> None:
    rig = Rig()
    for number in range(1000):
        rig.store.put(str(number), "v", 2000)
    rig.store.now_ms = 2000
    rig.sweeper.look()
    turns = 1
    while rig.later:
        assert len(rig.later) == 1
        assert rig.store.pieces == 3 * turns, "a turn takes longer than it may"
        rig.store.now += EVERY
        rig.sweeper.look()  # while one goes on no other is begun
        rig.turn()
        turns += 1
    assert (rig.store.passes, turns) == (1, 6)
    assert (len(rig.store.memory), rig.store.figures.expired_keys) == (0, 1000)
    rig.store.put("one more", "v", 2000)
    rig.sweeper.look()
    assert (rig.store.passes, len(rig.store.memory)) == (2, 0)


def test_the_next_pass_is_a_moment_later() -> None:
    rig = Rig()
    rig.store.put("never", "v", 10**12)
    rig.sweeper.look()
    rig.sweeper.look()
    assert rig.store.passes == 1
    rig.store.now += EVERY
    rig.sweeper.look()
    assert rig.store.passes == 2


def test_one_that_fails_is_over() -> None:
    rig = Rig()
    rig.store.put("k", "v", 1001)
    rig.store.put("j", "v", 10**12)
    rig.store.now_ms = 1001
    rig.store.fails = True
    try:
        rig.sweeper.look()
    except MemoryError:
        rig.store.fails = False
    rig.store.now += EVERY
    rig.sweeper.look()
    assert (rig.store.passes, rig.store.memory.keys()) == (2, ["j"])
