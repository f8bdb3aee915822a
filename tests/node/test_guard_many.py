"""What a new map, and each tick, cost a node that many come to by a map: counted, and not measured."""

from __future__ import annotations

from collections.abc import Callable

from ckv.node.guard import Guard
from ckv.protocol.handler import Caller
from tests.node.callers import Told
from tests.node.guarded import Known

MANY = 50


class Doors:
    """Counts who is looked at."""

    def __init__(self) -> None:
        self.trusted: dict[Caller, bool] = {}
        self.calls = 0
        self.guests: set[Caller] = set()

    def trust_nobody(self) -> None:
        self.trusted.clear()

    def trust(self, caller: Caller, trusted: bool) -> bool:
        self.calls += 1
        if caller in self.guests:
            return False
        self.trusted[caller] = trusted
        return True

    @property
    def since(self) -> int:
        """How many were looked at since the last time that this was asked."""
        calls, self.calls = self.calls, 0
        return calls


class Sockets:
    look: Callable[[], None] | None = None

    def drop_answers(self) -> None:
        pass


class Busy:
    """A node that many come to by a map."""

    def __init__(self) -> None:
        self.known = Known()
        self.doors = Doors()
        self.guard = Guard(self.known, lambda: 0.0)
        self.guard.opens(self.doors, Sockets())
        self.callers = [Told() for _ in range(MANY)]
        for caller in self.callers:
            self.guard.epoch(caller, 1, ((1, 1),))

    @property
    def trusted(self) -> int:
        return sum(self.doors.trusted.values())


def test_whoever_says_by_which_map_it_comes_is_looked_at_alone() -> None:
    busy = Busy()
    assert busy.doors.since == MANY
    assert busy.trusted == MANY


def test_a_new_map_has_all_looked_at_once_and_each_again_when_it_says_so() -> None:
    busy = Busy()
    assert busy.doors.since
    busy.known.version = busy.known.plain_from = (1, 2)
    busy.guard.look_again()
    assert busy.doors.since == MANY
    assert busy.trusted == 0
    for caller in busy.callers:
        busy.guard.epoch(caller, 1, ((1, 2),))
    assert busy.doors.since == MANY
    assert busy.trusted == MANY


def test_who_comes_by_a_new_map_before_the_others_are_told_has_them_looked_at() -> None:
    busy = Busy()
    busy.known.version = busy.known.plain_from = (1, 2)
    busy.guard.epoch(busy.callers[0], 1, ((1, 2),))
    assert busy.trusted == 1


def test_a_tick_looks_at_nobody_as_long_as_nothing_has_changed() -> None:
    busy = Busy()
    assert busy.doors.since
    for _ in range(3):
        busy.guard.tick()
    assert busy.doors.since == 0
    busy.known.is_leased = False
    busy.guard.tick()
    assert (busy.doors.since, busy.trusted) == (MANY, 0)
    busy.known.is_leased = True
    busy.guard.tick()
    assert (busy.doors.since, busy.trusted) == (MANY, MANY)


def test_one_in_the_lobby_is_looked_at_until_it_has_a_place() -> None:
    busy = Busy()
    guest = Told()
    busy.doors.guests.add(guest)
    busy.guard.epoch(guest, 1, ((1, 1),))
    assert busy.doors.since
    busy.guard.tick()
    assert busy.doors.since == 1
    busy.doors.guests.clear()
    busy.guard.tick()
    assert busy.doors.trusted[guest]
    assert busy.doors.since == 1
    busy.guard.tick()
    assert busy.doors.since == 0


def test_those_that_are_gone_are_forgotten() -> None:
    busy = Busy()
    for turn in range(20):
        for caller in busy.callers:
            caller.is_open = False
        busy.callers = [Told() for _ in range(MANY)]
        for caller in busy.callers:
            busy.guard.epoch(caller, 1, ((1, 1),))
        busy.guard.tick()
        assert len(busy.guard._routers) <= 4 * MANY + 64, turn
