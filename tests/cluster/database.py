"""The database of the simulation: rows, the table of the fence, and the locks of both.

A transaction of a flush holds its row of ``ckv_fence`` and the rows that it writes from its first message to its end.
Whoever fences wants all rows of that process, and whoever loads wants to share the row that it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ckv.cluster.election import Row
from ckv.cluster.map import Key, Map, Version
from ckv.cluster.messages import Sight
from tests.cluster.schedule import Link, Process, Schedule, Wrong

IDLE: Final = (2.0, 8.0)
"""Seconds after which the server itself ends a transaction of whose client it hears nothing (``wait_timeout``). It is a
second belt, on which nothing depends, so that it fails at times."""

KILLS: Final = 0.5
"""How often KILL ends a transaction: the same is true of that."""


@dataclass(slots=True)
class Fence:
    """The rows of one process."""

    active: bool = True
    beat: int = 0
    fencing: bool = False
    """Somebody waits for its locks, and who comes later waits behind that."""


@dataclass(slots=True)
class Transaction:
    """One that has begun."""

    key: Key
    writes: Mapping[str, str]
    link: Link


class Database(Process):
    """One server. Its clients call the methods over a :class:`Link`."""

    def __init__(self, schedule: Schedule, slots: int) -> None:
        super().__init__(schedule, "db")
        self.rows: dict[str, str] = {}
        self.fences: dict[Key, Fence] = {}
        self.transactions: dict[int, Transaction] = {}
        self.when_fenced: Callable[[Key], None] = lambda _key: None
        self.when_begun: Callable[[Key], None] = lambda _key: None
        self.leader = Row(0, "", 0)
        self.map = Map.empty(slots)
        self._has_map = False
        """Whether a leader has made one."""
        self._locked: dict[str, int] = {}
        self._waiting: list[Callable[[], bool]] = []

    # --- flushes and loads -----------------------------------------------------------------------------------------

    def begin(self, link: Link, number: int, transaction: int, key: Key, writes: Mapping[str, str]) -> None:
        """BEGIN, the check of the fence and the INSERT, in one message: "ok" or "fenced"."""

        def attempt() -> bool:
            fence = self.fences.get(key)
            if fence is None or not fence.active:
                link.answer(number, "fenced")
                return True
            if fence.fencing:
                return False
            if not link.is_open(number):
                return True  # its connection broke while it waited
            if not self._locked.keys().isdisjoint(writes):
                return False
            self.transactions[transaction] = Transaction(key, writes, link)
            self._locked.update(dict.fromkeys(writes, transaction))
            self.schedule.at(self.schedule.chance.choice(IDLE), self, self._end, transaction)
            link.answer(number, "ok")
            self.when_begun(key)
            return True

        self._try(attempt)

    def commit(self, link: Link, number: int, transaction: int) -> None:
        """COMMIT: "ok", or "gone" if there is nothing to commit."""
        known = self.transactions.get(transaction)
        if known is None:
            link.answer(number, "gone")
            return
        if not self.fences[known.key].active:
            raise Wrong("{}, incarnation {}, commits though it is fenced".format(*known.key))
        self.rows.update(known.writes)
        self._end(transaction)
        link.answer(number, "ok")

    def load(self, link: Link, number: int, key: str) -> None:
        """The value of a row in a tuple, once nobody has it locked."""

        def attempt() -> bool:
            if key in self._locked and link.is_open(number):
                return False
            link.answer(number, (self.rows.get(key),))
            return True

        self._try(attempt)

    def _end(self, transaction: int) -> None:
        """It has committed, or is rolled back."""
        known = self.transactions.pop(transaction, None)
        if known is not None:
            for key in known.writes:
                del self._locked[key]
            self._retry()

    def link_lost(self, link: Link) -> None:
        # The server hears of it now, or when it has waited long enough.
        if self.schedule.chance.random() < 0.7:
            for number in [number for number, known in self.transactions.items() if known.link is link]:
                self.schedule.at(0.002, self, self._end, number)

    def _try(self, attempt: Callable[[], bool]) -> None:
        if not attempt():
            self._waiting.append(attempt)

    def _retry(self) -> None:
        waiting, self._waiting = self._waiting, []
        for attempt in waiting:
            self._try(attempt)

    # --- names -----------------------------------------------------------------------------------------------------

    def claim(self, link: Link, number: int, name: str) -> None:
        """An incarnation, or the one that has the name, with its beat."""
        highest = 0
        for (other, incarnation), fence in self.fences.items():
            if other == name:
                highest = max(highest, incarnation)
                if fence.active:
                    link.answer(number, ("held", incarnation, fence.beat))
                    return
        self.fences[name, highest + 1] = Fence()
        link.answer(number, ("claimed", highest + 1))

    def beat(self, link: Link, number: int, key: Key) -> None:
        """What there is to see of all processes, if this one may go on; else "fenced"."""

        def attempt() -> bool:
            fence = self.fences[key]
            if fence.fencing:
                return False
            if fence.active:
                fence.beat += 1
            link.answer(number, self._sights() if fence.active else "fenced")
            return True

        self._try(attempt)

    def _sights(self) -> tuple[Sight, ...]:
        return tuple(Sight(*key, fence.beat, fence.active) for key, fence in self.fences.items())

    def fence_off(self, link: Link, number: int, key: Key, beat: int) -> None:
        """Fences a process, if its beat is still that one; whether that was done."""
        fence = self.fences.get(key)
        if fence is None or fence.beat != beat or not fence.active:
            link.answer(number, fence is not None and not fence.active)
            return
        if self.schedule.chance.random() < KILLS:
            for each in [each for each, known in self.transactions.items() if known.key == key]:
                self._end(each)

        def attempt() -> bool:
            if any(known.key == key for known in self.transactions.values()):
                return False
            fence.fencing = False
            if fence.active:
                fence.active = False
                self.schedule.count("fences")
                self.schedule.say("%s, incarnation %d, is fenced", *key)
                self.when_fenced(key)
            link.answer(number, True)
            self._retry()
            return True

        fence.fencing = True
        self._try(attempt)

    def release(self, link: Link, number: int, key: Key) -> None:
        """The process gives its name back."""
        self.fences[key].active = False
        link.answer(number, True)

    def keep(self, world_map: Map) -> None:
        """A leader has made this map, before the schedule begins."""
        self.map, self._has_map = world_map, True
        self.leader = Row(world_map.version[0], "", 0)

    # --- who leads -------------------------------------------------------------------------------------------------

    def look_who_leads(self, link: Link, number: int) -> None:
        """The row of the election, and the map, if a leader has made one."""
        link.answer(number, (self.leader, self.map if self._has_map else None))

    def stand(self, link: Link, number: int, name: str, row: Row, known: Version) -> None:
        """Leads from now on, if nobody has moved the row: the map under the new term, and whether there is none, or a
        later one is known than this; else nothing."""
        if self.leader != row:
            link.answer(number, ())
            return
        has_map = self._has_map and self.map.version >= known
        kept = self.map if has_map else Map.empty(len(self.map.owners))
        version = (max(row.term, known[0]) + 1, max(self.map.version[1], known[1]) + 1)
        self._take(Map(version, *kept.content), name, has_map=has_map)
        link.answer(number, (self.map, not self._has_map))

    def move_beat(self, link: Link, number: int, term: int) -> None:
        """Whether that was done, as the leader is still that of the term."""
        if self.leader.term == term:
            self.leader = self.leader._replace(beat=self.leader.beat + 1)
        link.answer(number, (self.leader.term == term,))

    def replace(self, link: Link, number: int, name: str, expected: Version, following: Map) -> None:
        """Whether this is the map now: compare-and-set."""
        accepted = self.leader[:2] == (expected[0], name) and self.map.version == expected
        if accepted:
            self._take(following, name, has_map=True)
        link.answer(number, (accepted,))

    def _take(self, following: Map, leader: str, *, has_map: bool) -> None:
        if following.version <= self.map.version:
            raise Wrong(f"the map {following} follows {self.map}")
        self.map, self._has_map = following, has_map
        self.leader = Row(following.version[0], leader, self.leader.beat + 1)

    def step_down(self, link: Link, number: int, term: int) -> None:
        """Nobody leads, if this one did."""
        if self.leader.term == term:
            self.leader = Row(term, "", self.leader.beat + 1)
        link.answer(number, True)

    def values_on_the_way(self, key: str) -> set[str | None]:
        """What a row is, and may be when the transactions of now have ended."""
        found: set[str | None] = {self.rows.get(key)}
        found.update(known.writes[key] for known in self.transactions.values() if key in known.writes)
        return found
