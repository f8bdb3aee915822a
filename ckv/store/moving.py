"""Slots that leave for another node: what the store of the one that has them does in a live move.

1. :meth:`Move.prepare`, while they are served: what the persistent tier lacks of them is made pending, the records that
   are here first, in pieces, and then in rounds what was written meanwhile, until little is left.
2. From :meth:`Move.freeze` on nobody may ask the store for these slots, be it in a step with keys of others.
3. :meth:`Move.hand_over` ends when the persistent tier has all: pending itself has no row of them, and nothing that was
   asked before is under way and could still write or load one. From then on another node may write to them.
4. The copies are dropped, in pieces (:meth:`ckv.store.store.Store.forget`): until then they are clean, so that none is
   ever saved over what the other node wrote.

Each step is an iterator, to be gone on with after a moment, in which others are served: so nobody else waits for long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from ckv.store.memory import Memory
from ckv.store.memory.slots import SlotSet
from ckv.store.pending import Pending
from ckv.values import Value

PIECE: Final = 2000
"""Records that are looked at in one go: about a millisecond."""

FEW: Final = 100
"""Keys that may be left when it is prepared: they are saved while nobody is served."""

MOST_ROUNDS: Final = 20
"""Rounds after which it is prepared, however much is written all the time: what is left then takes longer."""

SLOTS_NAMED: Final = 8
"""Slots that an error names."""


class NotTaken(Exception):
    """The persistent tier does not take rows of these slots, so they cannot leave now."""

    def __init__(self, slots: list[int]) -> None:
        others = f" and {len(slots) - SLOTS_NAMED} more" if len(slots) > SLOTS_NAMED else ""
        named = ", ".join(map(str, slots[:SLOTS_NAMED]))
        super().__init__(f"the persistent tier does not take the rows of slots {named}{others}")
        self.slots: Final = slots


def pieces(table: Memory, slots: SlotSet) -> Iterator[list[str]]:
    """The keys of a table in these slots, in a piece for so many records that were looked at."""
    walk = table.walk()
    place = 0
    while True:
        keys, place = walk.keys_at(place, PIECE, slots)
        yield keys
        if not place:
            return


class Move:
    """Some slots on their way to another node. One at a time."""

    def __init__(
        self,
        slots: SlotSet,
        memory: Memory,
        pending: Pending,
        save: Callable[[str, Value, int, int], None],
        under_way: Callable[[], Iterable[str]],
        wake: Callable[[], None],
    ) -> None:
        """``save`` makes a record pending. ``under_way``: keys of which something waits that may load or write them.
        ``wake`` is called when rows have become due."""
        self.slots = slots
        self._memory = memory
        self._pending = pending
        self._save_record = save
        self._under_way = under_way
        self._wake = wake
        self._touched: dict[str, None] = {}
        """Keys that were written since they were looked at."""
        self._is_listed = False
        """Whether all records that are here were looked at."""
        self.keys = 0
        """Records of these slots that were found in memory."""
        self.rows = 0
        """Rows that were made pending for it."""
        self.rounds = 0
        self.prepared = False
        self.frozen = False
        self.released = False
        """The persistent tier has all, and the slots may be somebody else's."""

    @property
    def left(self) -> int:
        """Keys that the persistent tier lacks, as far as is known."""
        return len(self._touched) + len(self._pending.hurried)

    def prepare(self) -> Iterator[None]:
        """Saves what there is, while requests go on. Raises NotTaken where the persistent tier does not take a row."""
        self._memory.watch(self.slots)
        yield from self._pending.hurry(self.slots, PIECE)
        self._wake()
        while True:
            if not self._is_listed:
                yield from self._list(lambda: self._pending.half_full)
            yield from self.again()
            if self._is_listed and (self.left < FEW or self.rounds >= MOST_ROUNDS):
                self.prepared = True
                return

    def again(self) -> Iterator[None]:
        """One round more: what was written since the last one is saved. Raises NotTaken."""
        yield from self._round()
        self.rounds += 1
        self._note_touched()

    def freeze(self) -> None:
        """From this moment on nobody asks for these slots, before :meth:`end`."""
        self.frozen = True

    def hand_over(self) -> Iterator[None]:
        """Saves the rest. Raises NotTaken as :meth:`prepare`; the slots stay frozen then."""
        while True:
            yield from self._save_touched(lambda: self._pending.full)
            if not self._is_listed:
                yield from self._list(lambda: self._pending.full)
            self._note_touched()
            if self._is_listed and not (self._touched or self._pending.hurried or self._is_under_way):
                break
            self._check_any_taken()
            yield
        self.released = True
        self.end()

    def end(self) -> None:
        """It is over, whatever came of it: nothing is noted any more, and no row goes before others."""
        self._memory.watch(None)
        self._pending.end_hurry()

    def distrust(self) -> None:
        """The persistent tier may have become another one: it may lack every record."""
        self._is_listed = False

    @property
    def _is_under_way(self) -> bool:
        return any(key in self.slots for key in self._under_way())

    # --- what it is made of --------------------------------------------------------------------------------------

    def _list(self, crowded: Callable[[], bool]) -> Iterator[None]:
        """Saves all that is here, as far as it is not clean. While it is ``crowded`` in pending it waits."""
        self._is_listed = True
        self.keys = 0
        for keys in pieces(self._memory, self.slots):
            self.keys += len(keys)
            for key in keys:
                yield from self._room(crowded)
                self._save(key)
            yield

    def _round(self) -> Iterator[None]:
        """Saves what was written since the last one, and waits until that is committed, or written again."""
        yield from self._save_touched(lambda: self._pending.half_full)
        find = self._pending.find
        waiting = [(key, row.version) for key in self._pending.hurried if (row := find(key)) is not None]
        while waiting:
            key, version = waiting[-1]
            row = find(key)
            if row is not None and row.version == version:
                self._check_taken(key)
                yield
            else:
                waiting.pop()

    def _note_touched(self) -> None:
        self._touched.update(dict.fromkeys(self._memory.written()))

    def _save_touched(self, crowded: Callable[[], bool]) -> Iterator[None]:
        self._note_touched()
        looked_at = 0
        while self._touched:
            yield from self._room(crowded)
            key, _ = self._touched.popitem()
            self._save(key)
            looked_at += 1
            if looked_at % PIECE == 0:
                yield

    def _room(self, crowded: Callable[[], bool]) -> Iterator[None]:
        """Waits while pending is ``crowded``, for ever if that is by rows of other slots that the persistent tier does
        not take. Raises NotTaken where it is by some of these slots."""
        while crowded():
            self._check_any_taken()
            yield

    def _save(self, key: str) -> None:
        """Makes the record pending, if the persistent tier lacks it."""
        record = self._memory.record(key)
        if record is None or record[3]:
            return
        row = self._pending.find(key)
        if row is not None and row.version == record[2]:
            return  # it is on its way
        self._save_record(key, record[1], record[2], record[4])
        row = self._pending.find(key)
        if row is None or row.version < record[2]:
            # It is over, and nothing is to be deleted for it. Nor must that be done when it leaves memory.
            self._memory.remove(key)
        else:
            self.rows += 1

    def _check_any_taken(self) -> None:
        """Looks at one of the rows: when all others have left, it is one that is not taken, if there is such a one."""
        for key in self._pending.hurried:
            self._check_taken(key)
            return

    def _check_taken(self, key: str) -> None:
        row = self._pending.find(key)
        if row is None or (row.refused is None and not row.aside):
            return
        refused = sorted({self.slots.slot_of(other) for other in self._pending.hurried if self._is_refused(other)})
        raise NotTaken(refused)

    def _is_refused(self, key: str) -> bool:
        row = self._pending.find(key)
        return row is not None and (row.refused is not None or row.aside)
