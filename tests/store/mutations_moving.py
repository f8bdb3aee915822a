"""Ways to break what the store does in a live move; ``tests/store/mutations.py`` makes them, among others."""

from __future__ import annotations

from functools import partial

from tests.store.mutation import Mutation

_moving = partial(Mutation, by_model=False)  # which knows no moves

MOVING = (
    _moving(
        "released-early",
        "move: slots are released when pending has no row of them, and not before",
        "ckv/store/moving.py",
        "not (self._touched or self._pending.hurried or self._is_under_way):",
        "not (self._touched or self._is_under_way):",
    ),
    _moving(
        "released-while-loading",
        "move: slots are released when nothing is under way for them",
        "ckv/store/moving.py",
        "not (self._touched or self._pending.hurried or self._is_under_way):",
        "not (self._touched or self._pending.hurried):",
    ),
    _moving(
        "room-forgotten",
        "move: a write that waits for room is carried out before the slots are released",
        "ckv/store/store.py",
        "        yield from self.room.keys\n",
        "",
    ),
    _moving(
        "steps-forgotten",
        "move: a step of several keys that waits is over before the slots of its keys are released",
        "ckv/store/store.py",
        "        yield from (key for step in self.steps for key in step.keys)\n",
        "",
    ),
    _moving(
        "writes-not-noted",
        "move: what is written while it prepares is saved",
        "ckv/store/memory/plain.py",
        "        if self._watched is not None and not clean and key in self._watched:",
        "        if False:",
    ),
    _moving(
        "overwritten-not-noted",
        "move: nor is what memory takes by itself forgotten",
        "ckv/store/memory/lru.py",
        " or self._watched is not None:",
        ":",
    ),
    _moving(
        "last-writes-forgotten",
        "move: what was written since the last round is saved",
        "ckv/store/moving.py",
        "            yield from self._save_touched(lambda: self._pending.full)\n",
        "            self._touched.clear()\n",
    ),
    _moving(
        "here-before-forgotten",
        "move: what was written before it began is saved",
        "ckv/store/moving.py",
        "                self._save(key)\n            yield\n",
        "                pass\n            yield\n",
    ),
    _moving(
        "over-and-kept",
        "move: no copy is left that would leave memory as a deletion",
        "ckv/store/moving.py",
        "            self._memory.remove(key)\n        else:",
        "            pass\n        else:",
    ),
    _moving(
        "over-behind-a-tombstone",
        "move: nor is one left where an older deletion is on its way",
        "ckv/store/moving.py",
        "        if row is None or row.version < record[2]:",
        "        if row is None:",
    ),
    _moving(
        "copies-kept",
        "move: what another node may have written is not answered from an old copy",
        "ckv/store/store.py",
        "        for table in (self.memory, self.absent):\n",
        "        for table in (self.absent,):\n",
    ),
    _moving(
        "absence-kept",
        "move: what another node may have written is not called absent",
        "ckv/store/store.py",
        "        for table in (self.memory, self.absent):\n",
        "        for table in (self.memory,):\n",
    ),
    _moving(
        "copies-distrusted",
        "move, another tier: copies of what another node has are not written to it",
        "ckv/store/store.py",
        "        for slots in self._stale + released:\n",
        "        for slots in []:\n",
    ),
    _moving(
        "not-looked-at-again",
        "move, another tier: all that memory has is saved once more before the slots are released",
        "ckv/store/moving.py",
        "        self._is_listed = False\n\n    @property",
        "        pass\n\n    @property",
    ),
    _moving(
        "not-due",
        "move, behind: rows of slots that leave wait for no others",
        "ckv/store/tiers.py",
        " or pending.urgent:",
        ":",
        mode="behind",
    ),
    _moving(
        "pending-filled",
        "move: it leaves half of pending to others",
        "ckv/store/pending.py",
        "        return 2 * len(self._rows) >= self.max_records or",
        "        return len(self._rows) >= self.max_records or",
    ),
    _moving(
        "bound-exceeded",
        "I6: nor does it exceed the bound in the end",
        "ckv/store/moving.py",
        "            yield from self._save_touched(lambda: self._pending.full)\n",
        "            yield from self._save_touched(lambda: False)\n",
    ),
    _moving(
        "refused-not-said",
        "move: it ends when the tier does not take a row",
        "ckv/store/moving.py",
        "        if row is None or (row.refused is None and not row.aside):",
        "        if True:",
    ),
    _moving(
        "refused-in-the-way",
        "move: it ends when what the tier does not take leaves it no room",
        "ckv/store/moving.py",
        "            self._check_any_taken()\n            yield\n\n    def _save",
        "            yield\n\n    def _save",
    ),
    _moving(
        "through-again-forgotten",
        "move, through, another tier: what is written to it again is committed before the slots are released",
        "ckv/store/moving.py",
        "not (self._touched or self._pending.hurried or self._is_under_way):",
        "not (self._touched or self._is_under_way):",
        mode="through",
    ),
)
