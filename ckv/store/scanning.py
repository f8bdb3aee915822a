"""A walk through all keys of a node, in pieces, while records come, go, expire and move between the tiers.

Whatever has a value from the beginning of a scan to its end is told at least once; what has none all the while is never
told. (https://redis.io/docs/latest/commands/scan/ promises the same.) The scan goes the way that records go:

1. Memory, by the places in its table.
2. The records on their way to the persistent tier, as a list that is made when memory is done.
3. The rows of the persistent tier, in the order of the keys' bytes.

A record that leaves memory before the walk gets to it goes to pending within one call, and leaves pending when the row
is committed: so 2 or 3 meets it. One that comes back into memory behind the walk leaves its row where it is, or its
place in pending. That row ends only with the record, or when it has expired by an expiry that was put off meanwhile, in
memory alone. So where anything expires there are two steps more:

4. Memory again, for what was written since the scan began.
5. What was written since then and has left memory since 4 began: what is pending, or was committed meanwhile.

Without a persistent tier there is 1 alone, and of 5 what was displaced since the scan began: a record that is written
anew and is so much larger that it is its own victim leaves its place for another one, which 1 may have passed.

3 leaves out what 1 has told for sure: a record that is in memory and as old as the scan, for it must have been there
all the while, unless one of that age came back (:attr:`~ckv.store.motion.Motion.late`). So in a store at rest each key
is told once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, NamedTuple

from ckv.store import Records
from ckv.store.memory import Walk
from ckv.store.motion import Log
from ckv.store.row import TOMBSTONE
from ckv.values import to_bytes

MOST_BYTES: Final = 24 * 1024
"""Bytes of keys at which an answer is closed. It may have another piece of the longest keys; a node reads no more than
64 KiB of small parts in one message."""

PIECE: Final = 32
"""Places that are looked at before that is looked at again."""

MOST_LOGGED: Final = 20_000
"""Keys that are remembered for step 5. More can only be committed where clients hardly go on with their scan; then what
is beyond, and was not in memory when the scan began, may be left out."""

Matches = Callable[[bytes], object]
"""Whether a key is asked for: what is true, or not."""


class Phase(Enum):
    """Where a scan is."""

    MEMORY = auto()
    PENDING = auto()
    ROWS = auto()
    MEMORY_AGAIN = auto()
    PENDING_AGAIN = auto()


class Place(NamedTuple):
    """What a scan has to know to go on."""

    phase: Phase
    at: int = 0
    """The next place in memory, or in a list of keys."""
    after: str | None = None
    """The key of the last row, None before the first."""


START: Final = Place(Phase.MEMORY)

_ALL: Final = 2**62


@dataclass(slots=True)
class Answer:
    """What a scan has found since it was asked."""

    count: int
    """How many keys should be looked at."""
    place: Place | None
    """Where it goes on; None at the end."""
    keys: list[str] = field(default_factory=list)
    bytes: int = 0
    looked_at: int = 0

    @property
    def is_full(self) -> bool:
        """Whether enough was looked at."""
        return self.looked_at >= self.count or self.bytes >= MOST_BYTES


class Scan:
    """One scan. Its places can be asked for again, in any order, as long as it is not closed."""

    def __init__(self, store: Records, owns: Callable[[str], bool]) -> None:
        """``owns``: whether a row is one of this node's, where several nodes have rows in one place."""
        self._store = store
        self._owns = owns
        self._began = store.memory.new_version()
        store.motion.newest = self._began
        self._late = store.motion.late
        self._replaced = store.motion.replaced
        self._walks: dict[Phase, Walk] = {Phase.MEMORY: store.memory.walk()}
        self._lists: dict[Phase, list[str]] = {}
        self._log: Log | None = None
        self._since = store.motion.walk_begins(self) if store.is_whole else 0

    @property
    def is_void(self) -> bool:
        """Whether the persistent tier may have become another one, which has other rows."""
        return self._replaced != self._store.motion.replaced

    def close(self) -> None:
        """Nobody asks any more."""
        self._store.motion.close(self._log)
        self._store.motion.walk_ended(self)
        self._walks.clear()
        self._lists.clear()

    def advance(self, answer: Answer, matches: Matches) -> None:
        """Goes on until the answer is full, at the end, or rows are needed (:meth:`rows_begin`)."""
        while (place := answer.place) is not None and place.phase is not Phase.ROWS and not answer.is_full:
            again = place.phase in (Phase.MEMORY_AGAIN, Phase.PENDING_AGAIN)
            for key in self._piece(answer, place):
                if place.phase is not Phase.MEMORY and self._is_told(key, again=again):
                    continue
                if self._is_known(key, self._log if place.phase is Phase.PENDING_AGAIN else None):
                    _tell(answer, key, matches)

    def _piece(self, answer: Answer, place: Place) -> list[str]:
        """The next keys; the answer has the place behind them."""
        phase, at, _ = place
        count = min(PIECE, answer.count - answer.looked_at)
        if phase in (Phase.MEMORY, Phase.MEMORY_AGAIN):
            if phase is Phase.MEMORY_AGAIN and at == 0:
                self._walks[phase] = self._store.memory.walk()
                # The one of before, where this is asked again: what it has need not be anywhere else by now.
                self._log = self._log or self._store.motion.log(MOST_LOGGED)
            keys, at = self._walks[phase].keys_at(at, count)
        else:
            if at == 0:
                self._lists[phase] = self._on_the_way(phase)
            listed = self._lists[phase]
            keys = listed[at : at + count]
            at = at + count if at + count < len(listed) else 0
        answer.looked_at += count if at else len(keys)  # a place may be empty
        answer.place = Place(phase, at) if at else self._next(phase)
        return keys

    def _on_the_way(self, phase: Phase) -> list[str]:
        keys = self._store.unsaved_keys()
        if self._store.is_whole:
            keys += self._store.motion.displaced_since(self._since)
        if phase is Phase.PENDING_AGAIN and self._log is not None:
            # It goes on: what is listed here as pending may be committed before the walk gets to it.
            keys += [key for key, write in self._log.writes.items() if write.value is not TOMBSTONE]
        return keys

    def _next(self, phase: Phase) -> Place | None:
        """Where it goes on behind the end of a phase."""
        if phase is Phase.MEMORY and self._store.is_whole:
            return Place(Phase.PENDING_AGAIN) if self._store.motion.displaced_since(self._since) else None
        if phase is Phase.MEMORY:
            return Place(Phase.PENDING)
        if phase is Phase.PENDING:
            return Place(Phase.ROWS)
        if phase is Phase.ROWS and self._store.rows_may_end:
            return Place(Phase.MEMORY_AGAIN)
        return Place(Phase.PENDING_AGAIN) if phase is Phase.MEMORY_AGAIN else None

    def _is_told(self, key: str, *, again: bool) -> bool:
        """Whether the walk through memory has met the record, or with ``again`` any walk that came before."""
        version = self._store.memory.version_of(key)
        return 0 < version <= self._began and (again or self._late == self._store.motion.late)

    # --- rows ----------------------------------------------------------------------------------------------------

    def rows_begin(self) -> Log:
        """The next rows are about to be asked for: those behind :attr:`Place.after`. Has to be followed by
        :meth:`rows_end`, or by :meth:`rows_failed`."""
        return self._store.motion.log(_ALL)

    def rows_failed(self, log: Log) -> None:
        """They could not be read; the same place can be asked for again."""
        self._store.motion.close(log)

    def rows_end(self, log: Log, answer: Answer, rows: Sequence[tuple[str, int]], asked: int, matches: Matches) -> None:
        """``rows`` were found, by their keys and when they expire, 0 for never; ``asked`` is how many there could have
        been."""
        store = self._store
        store.motion.close(log)
        for key, expires in rows:
            store.expiry_seen |= expires != 0
            if self._owns(key) and self._is_there(key, expires, log) and not self._is_told(key, again=False):
                _tell(answer, key, matches)
            answer.looked_at += 1
            answer.place = Place(Phase.ROWS, after=key)
            if answer.bytes >= MOST_BYTES:
                return
        if len(rows) < asked:
            answer.place = self._next(Phase.ROWS)

    def _is_there(self, key: str, expires: int, log: Log) -> bool:
        """Whether there is a record: by what the node knows, by what it wrote since the row was read, by the row."""
        known = self._is_known(key, log)
        return known if known is not None else not self._store.is_over(expires)

    def _is_known(self, key: str, log: Log | None) -> bool | None:
        """Whether there is a record, by what the node knows, or wrote since the log began; None if neither says."""
        known = self._store.has(key)
        write = log.writes.get(key) if known is None and log is not None else None
        if write is None:
            return known
        return write.value is not TOMBSTONE and not self._store.is_over(write.expires)


def _tell(answer: Answer, key: str, matches: Matches) -> None:
    data = to_bytes(key)
    if matches(data):
        answer.keys.append(key)
        answer.bytes += len(data)
