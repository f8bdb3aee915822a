"""Slots that leave for another node where each has its records in a place of its own: they go there as a copy.

It is a move (:mod:`ckv.store.moving`) and a copy (:mod:`ckv.store.copying`) at once. Whatever the persistent tier lacks
is made pending and committed first, and what is sent is what stands there. So memory, pending and rows are one, and
nothing has to be known of who has which version of a key:

1. :meth:`FiledMove.prepare`: as in a move, then all rows of the slots are read and sent, in pieces, and in rounds the
   keys of which a write was committed meanwhile, until few are left.
2. :meth:`FiledMove.hand_over`: as in a move; then the keys that were committed since they were sent.

The steps of both say what is to be asked of the place (:class:`Keys`, :class:`Rows`), which is there when they are gone
on with, or have a :class:`~ckv.store.copying.Chunk` for the other node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from typing import Final

from ckv.store.copying import CHUNK_BYTES, CHUNK_RECORDS, SUMS, Chunk, Copied, digest_of
from ckv.store.memory.slots import SlotSet
from ckv.store.motion import Log, Motion
from ckv.store.moving import FEW, MOST_ROUNDS, PIECE, Move
from ckv.store.store import Store
from ckv.values import Value

_ALL: Final = 2**62


@dataclass(eq=False, slots=True)
class Keys:
    """The next keys of the place behind one, None for the first ones."""

    after: str | None
    count: int
    found: list[str] = field(default_factory=list)
    """Fewer than ``count`` are the last ones."""


@dataclass(eq=False, slots=True)
class Rows:
    """The records of these keys, as far as their values are no longer than that; 0 for any length."""

    keys: list[str]
    max_value_bytes: int
    found: Mapping[str, Value] = field(default_factory=dict)
    larger: Mapping[str, int] = field(default_factory=dict)
    expires: Mapping[str, int] = field(default_factory=dict)


Step = Keys | Rows | Chunk | None


class FiledMove:
    """Some slots on their way to another node. One at a time."""

    def __init__(self, move: Move, motion: Motion) -> None:
        self._move = move
        self._motion = motion
        self._log: Log = motion.log(_ALL, move.slots)
        """What was committed since it was looked at last."""
        self.slots = move.slots
        self._sent: dict[str, int] = {}
        """Of each record that the other node has its digest."""
        self._digest = 0
        self.rows = 0
        """Records that were sent, or that were said to have gone."""
        self.prepared = False

    @property
    def keys(self) -> int:
        """Records of these slots that were found in memory."""
        return self._move.keys

    @property
    def rounds(self) -> int:
        return self._move.rounds

    @property
    def frozen(self) -> bool:
        return self._move.frozen

    def prepare(self) -> Iterator[Step]:
        """What there is, while requests go on. Raises NotTaken as a move does."""
        yield from self._move.prepare()
        after: str | None = None
        while True:
            page = Keys(after, PIECE)
            yield page
            yield from self._send(page.found)
            if len(page.found) < page.count:
                break
            after = page.found[-1]
        left, most = FEW, self._move.rounds + MOST_ROUNDS
        while left >= FEW and self._move.rounds < most:
            yield from self._move.again()
            written = self._written()
            left = len(written) + self._move.left
            yield from self._send(written)
        yield self._chunk([])
        self.prepared = True

    def freeze(self) -> None:
        """From this moment on nobody asks for these slots, before :meth:`end`."""
        self._move.freeze()

    def hand_over(self) -> Iterator[Step]:
        """The rest. The last chunk is the only one that says so. Raises NotTaken."""
        yield from self._move.hand_over()
        yield from self._send(self._written())
        yield self._chunk([], is_last=True)

    def end(self) -> None:
        """It is over, whatever came of it."""
        self._motion.close(self._log)
        self._sent.clear()

    def _written(self) -> list[str]:
        """The keys of these slots that were committed since it was looked at last."""
        before, self._log = self._log, self._motion.log(_ALL, self.slots)
        self._motion.close(before)
        return list(before.writes)

    def _send(self, keys: Iterable[str]) -> Iterator[Step]:
        """Has the records sent that stand there now of those keys which are in the slots."""
        wanted = [key for key in keys if key in self.slots]
        for start in range(0, len(wanted), CHUNK_RECORDS):
            rows = Rows(wanted[start : start + CHUNK_RECORDS], CHUNK_BYTES)
            yield rows
            yield from self._chunks(rows)
            for key in rows.larger:
                large = Rows([key], 0)
                yield large
                yield from self._chunks(large)

    def _chunks(self, rows: Rows) -> Iterator[Chunk]:
        records: list[Copied] = []
        size = 0
        for key in rows.keys:
            if key in rows.larger:
                continue
            value = rows.found.get(key)
            records.append((key, value, rows.expires.get(key, 0) if value is not None else 0))
            size += len(key) + len(value or "")
            if size >= CHUNK_BYTES:
                yield from self._changed(records)
                records, size = [], 0
        yield from self._changed(records)

    def _changed(self, records: list[Copied]) -> Iterator[Chunk]:
        chunk = self._chunk(records)
        if chunk.records:
            yield chunk

    def _chunk(self, records: list[Copied], *, is_last: bool = False) -> Chunk:
        """These records for the other node, as far as it has not got them so."""
        changed: list[Copied] = []
        for key, value, expires in records:
            before = self._sent.pop(key, None)
            digest = digest_of(key, value, expires) if value is not None else None
            if digest is not None:
                self._sent[key] = digest
            if digest != before:
                changed.append((key, value, expires))
                self._digest += (digest or 0) - (before or 0)
        self.rows += len(changed)
        return Chunk(changed, len(self._sent), self._digest % SUMS, is_last)


class Filed:
    """A store with such a place, as far as its slots move."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.move: FiledMove | None = None

    @property
    def absent(self) -> Sized:
        return self._store.absent

    @property
    def holds(self) -> bool:
        return self._store.holds

    def begin_move(self, slots: SlotSet) -> FiledMove:
        """Begins to move these slots away, until :meth:`end_move`."""
        self.move = FiledMove(self._store.begin_move(slots), self._store.motion)
        return self.move

    def end_move(self) -> None:
        """The move is over, be it done or called off. None of its iterators may be gone on with."""
        assert self.move is not None
        self.move.end()
        self.move = None
        self._store.end_move()

    def forget(self, slots: SlotSet, note: Callable[[list[str]], None] = lambda _: None) -> Iterator[None]:
        """See :meth:`ckv.store.store.Store.forget`."""
        return self._store.forget(slots, note)
