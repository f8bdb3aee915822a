"""The methods about all keys of a secondary, SCAN and DBSIZE, and the scans that are open.

A cursor is the number of an open scan, by chance, with that of an answer. A scan remembers little: where it was after
its last answers (:class:`ckv.store.scanning.Place`), so that one of these can be asked for again, over any connection.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from ckv import errors
from ckv.cluster.map import NO_VERSION, Version
from ckv.cluster.slots import SLOTS, number_of_owner, slot_of
from ckv.commands import COMMANDS
from ckv.glob import MAX_PATTERN_BYTES, Glob, glob
from ckv.node.walking import Walker
from ckv.protocol.greeting import Share
from ckv.protocol.handler import LATER, Caller, Handler
from ckv.store import Records
from ckv.store.scanning import START, Answer, Phase, Place, Scan
from ckv.values import checked_value, to_bytes

MAX_COUNT: Final = 1000
"""The most that one answer looks at; clients bound an array to 1024 elements."""

LEAST_ROWS: Final = 100
"""So many rows are read at least in one go: a query for ten costs nearly as much."""

MAX_SCANS: Final = 256
"""Scans that are open at a time. One more ends another: one that was answered once and not asked for more, or if there
is none, that which was used longest ago."""

IDLE: Final = 600.0
"""Seconds after which a scan that nobody went on with is forgotten."""

PLACES: Final = 8
"""Answers of a scan that can be asked for again."""

STEPS: Final = 2**18
"""A cursor is the number of its scan times this, plus that of the answer, modulo this."""

NUMBERS: Final = 2**20

MAX_CURSOR: Final = NUMBERS * STEPS - 1
"""A primary puts the number of a node behind it, and the whole has to stay below 2^53, for clients in JavaScript."""


_Slots = tuple[Version, Share | None]
"""By what it is known which slots are this node's: the version of the map, or its share by a list."""


@dataclass(eq=False, slots=True)
class Open:
    """A scan that is open."""

    number: int
    scan: Scan
    used: float
    slots: _Slots
    """Which were this node's when it began."""
    places: dict[int, Place] = field(default_factory=dict)
    """Where it went on after its last answers, by their numbers."""
    step: int = 0


class Owner(Protocol):
    """What is to be known of a node that has joined a primary: :class:`ckv.cluster.member.Member`."""

    joined: bool

    @property
    def version(self) -> Version: ...
    @property
    def owned(self) -> frozenset[int]: ...
    @property
    def is_apart(self) -> bool: ...


class Scans:
    """The scans that are open, and the handlers of their methods."""

    def __init__(
        self,
        store: Records,
        walker: Walker | None,
        share: Callable[[], Share | None],
        clock: Callable[[], float],
        owner: Owner | None = None,
    ) -> None:
        """``walker`` asks the persistent tier, if there is one. ``share``: which of the keys there are this node's, as
        far as anybody has said, or ``owner``, once that has joined. ``clock`` gives seconds that never go back."""
        self._store = store
        self._walker = walker
        self._share = share
        self._clock = clock
        self._owner = owner
        self._open: dict[int, Open] = {}
        """By their numbers; the one that was used last is last."""

    @property
    def handlers(self) -> dict[str, Handler]:
        """The methods, by their names."""
        return {"SCAN": self.scan, "DBSIZE": self.size}

    def expire(self) -> None:
        """Forgets the scans that nobody goes on with. To be called now and then."""
        oldest = self._clock() - IDLE
        for opened in [opened for opened in self._open.values() if opened.used <= oldest]:
            self._drop(opened)

    def scan(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        """The handler of SCAN."""
        cursor, pattern, count = scan_arguments(params)
        opened, place = self._place(cursor)
        answer = Answer(count, place)
        result = self._go_on(opened, answer, glob(pattern), caller, msgid)
        return LATER if result is None else result

    def size(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        """The handler of DBSIZE."""
        if params:
            raise COMMANDS["DBSIZE"].wrong_count(params)
        if self._walker is None:
            return self._store.estimated()[0]

        def told(rows: int | None, error: errors.CkvError | None) -> None:
            if rows is None:
                caller.respond(msgid, errors.to_wire(error or errors.TierUnavailable("no answer")), None)
                return
            here, of_these = self._store.estimated()
            caller.respond(msgid, None, here + max(0, self._part_of(rows) - of_these))

        self._walker.ask(lambda session: session.estimate()).wait(told)
        return LATER

    def _part_of(self, rows: int) -> int:
        """How many of so many are this node's, about."""
        if self._owner is not None and self._owner.joined:
            return rows if self._owner.is_apart else rows * len(self._owner.owned) // SLOTS
        share = self._share()
        if share is None:
            return rows
        return (rows * share.number // share.of) - (rows * (share.number - 1) // share.of)

    # --- one answer --------------------------------------------------------------------------------------------------

    def _place(self, cursor: int) -> tuple[Open, Place]:
        """The scan of a cursor, a new one for 0, and where it goes on. Raises Refused."""
        if cursor == 0:
            return self._begin(), START
        number, step = divmod(cursor, STEPS)
        opened = self._open.pop(number, None)
        if opened is not None:
            self._open[number] = opened
            opened.used = self._clock()
            self._check(opened)
            if step in opened.places:
                return opened, opened.places[step]
        raise errors.Refused(f"there is no scan with the cursor {cursor}: begin again with 0")

    def _check(self, opened: Open) -> None:
        """Raises Refused when what there was to scan is not what there is."""
        if opened.scan.is_void:
            self._drop(opened)
            raise errors.Refused("the database was replaced meanwhile: begin again with 0")
        if opened.slots != self._slots:
            self._drop(opened)
            raise errors.Refused("slots have moved meanwhile: begin again with 0")

    @property
    def _slots(self) -> _Slots:
        if self._owner is not None and self._owner.joined:
            return self._owner.version, None
        return NO_VERSION, self._share()

    def _begin(self) -> Open:
        if len(self._open) >= MAX_SCANS:
            # Whoever begins one after the other, and goes on with none, must not end those of others. Where there are
            # few such, they are as likely the ones that have only just begun.
            left_alone = [opened for opened in self._open.values() if opened.step == 1]
            self._drop(left_alone[0] if 2 * len(left_alone) >= MAX_SCANS else next(iter(self._open.values())))
        # By chance, so that a cursor of before a restart does not fit a scan of after it.
        number = random.randrange(1, NUMBERS)
        while number in self._open:
            number = random.randrange(1, NUMBERS)
        opened = self._open[number] = Open(number, Scan(self._store, self._owns), self._clock(), self._slots)
        return opened

    def _drop(self, opened: Open) -> None:
        self._open.pop(opened.number, None)
        opened.scan.close()

    def _owns(self, key: str) -> bool:
        if self._owner is not None and self._owner.joined:
            return slot_of(key) in self._owner.owned
        share = self._share()
        return share is None or number_of_owner(key, share.of) == share.number - 1

    def _go_on(self, opened: Open, answer: Answer, pattern: Glob, caller: Caller, msgid: int) -> object:
        """The result; or None, and it is told later, after the next rows."""
        scan = opened.scan
        scan.advance(answer, pattern.matches)
        place = answer.place
        if place is None or place.phase is not Phase.ROWS or answer.is_full or self._walker is None:
            return self._answered(opened, answer)
        rows = max(answer.count - answer.looked_at, min(LEAST_ROWS, MAX_COUNT - answer.looked_at))
        log = scan.rows_begin()

        def told(found: list[tuple[str, int]] | None, error: errors.CkvError | None) -> None:
            if found is None:
                scan.rows_failed(log)
                caller.respond(msgid, errors.to_wire(error or errors.TierUnavailable("no answer")), None)
                return
            if opened.number not in self._open:
                scan.rows_failed(log)
                gone = errors.Refused("the scan gave way to others: begin again with 0")
                caller.respond(msgid, errors.to_wire(gone), None)
                return
            scan.rows_end(log, answer, found, rows, pattern.matches)
            try:
                self._check(opened)
                result = self._go_on(opened, answer, pattern, caller, msgid)
            except errors.CkvError as raised:
                caller.respond(msgid, errors.to_wire(raised), None)
                return
            if result is not None:
                caller.respond(msgid, None, result)

        try:
            question = self._walker.ask(lambda session: session.next_keys(place.after, rows, pattern.prefix))
        except errors.CkvError:
            scan.rows_failed(log)
            raise
        question.wait(told)
        return None

    def _answered(self, opened: Open, answer: Answer) -> list[object]:
        """The result, whose cursor is good from now on."""
        if answer.place is None:
            self._drop(opened)
            return [0, answer.keys]
        opened.step = opened.step % (STEPS - 1) + 1
        opened.places[opened.step] = answer.place
        if len(opened.places) > PLACES:
            del opened.places[next(iter(opened.places))]
        return [opened.number * STEPS + opened.step, answer.keys]


def scan_arguments(params: tuple[object, ...]) -> tuple[int, bytes, int]:
    """Cursor, pattern and count of a SCAN. Raises BadArguments, and ValueTooLarge for the pattern."""
    if len(params) != len(COMMANDS["SCAN"].arguments):
        raise COMMANDS["SCAN"].wrong_count(params)
    cursor, pattern, count = params
    if type(cursor) is not int or type(count) is not int:
        raise errors.BadArguments("cursor and count must be whole numbers")
    if not 1 <= count <= MAX_COUNT:
        raise errors.BadArguments(f"count is {count}: allowed is 1 to {MAX_COUNT}")
    if cursor < 0:
        raise errors.BadArguments(f"cursor is {cursor}: allowed is 0, or what an answer had")
    return cursor, to_bytes(checked_value(pattern, MAX_PATTERN_BYTES)), count
