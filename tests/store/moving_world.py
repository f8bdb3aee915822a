"""The world of a store whose slots move to another node and come back, with what has to hold of that.

The other node is one that writes everything through to the tier at once. Each key has a slot of its own here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Literal

from ckv.cluster.slots import SLOTS, slot_of
from ckv.store.memory.slots import SlotSet
from ckv.store.moving import NotTaken
from ckv.values import Value
from tests.store.world import NOTHING, PENDING_WAIT, Part, Seen, Update, World

Phase = Literal["none", "preparing", "prepared", "handing over", "denied", "released", "away"]
"""How far the move is. From *handing over* on the node is asked nothing; *away* another one has the slots."""


@cache
def slots_of(keys: frozenset[str]) -> SlotSet:
    """The slots of these keys."""
    chosen = {slot_of(key) for key in keys}
    return SlotSet(bytes(slot in chosen for slot in range(SLOTS)), slot_of)


class MovingWorld(World):
    """One store, one move at a time."""

    def start(self) -> None:
        """A new process, which has all slots."""
        super().start()
        self.phase: Phase = "none"
        self.moving: frozenset[str] = frozenset()
        self._slots: SlotSet
        self._steps: Iterator[None] | None = None

    def is_elsewhere(self, key: str) -> bool:
        return key in self.moving and self.phase in ("released", "away")

    # --- requests ------------------------------------------------------------------------------------------------

    def put(self, key: str, seconds: float | None = None) -> None:
        if self._is_ours(key, f"{key} of the other, {self._turn}"):
            super().put(key, seconds)

    def delete(self, key: str) -> None:
        if self._is_ours(key, None):
            super().delete(key)

    def update(self, key: str, how: Update, seconds: float | None = None) -> None:
        if self._is_ours(key, f"{key}+ of the other, {self._turn}"):
            super().update(key, how, seconds)

    def get(self, key: str) -> None:
        if not self._is_refused(key):
            super().get(key)

    def ttl(self, key: str) -> None:
        if not self._is_refused(key):
            super().ttl(key)

    def together(self, parts: Sequence[Part]) -> None:
        """A step is refused as a whole."""
        if not any(self._is_refused(key) for key, *_ in parts):
            super().together(parts)

    def _is_refused(self, key: str) -> bool:
        if key not in self.moving or self.phase in ("none", "preparing", "prepared"):
            return False
        if not self._in_step:
            return True
        assert self.phase in ("handing over", "denied"), f"a step has waited until {key} was {self.phase}"
        return False  # it was asked for before

    def _is_ours(self, key: str, value: Value | None) -> bool:
        """Whether a write is for the store; if not it is refused, or the other node carries it out."""
        if not self._is_refused(key):
            return True
        if self.phase == "away":
            self._turn += 1
            turn = self._turn
            self.history[key].append(Seen(value, turn))
            self._landed[key] = len(self.history[key]) - 1
            self._last_turn[key] = self._tier_turn[key] = self._told_turn[key] = turn
            self._last_value[key], self._last_expires[key] = value, 0
            self._reverted.discard(key)
            self._set(key, value, 0)
        return False

    # --- the move ------------------------------------------------------------------------------------------------

    def move_begin(self, keys: Sequence[str]) -> None:
        if self.phase == "none":
            self.phase = "preparing"
            self.moving = frozenset(keys)
            self._slots = slots_of(self.moving)
            self._steps = self.store.begin_move(self._slots).prepare()

    def move_step(self) -> None:
        """What the store does for the move goes on by a step."""
        if self._steps is None:
            return
        before = len(self.pending)
        try:
            next(self._steps)
        except StopIteration:
            self._steps = None
            self._step_done()
        except NotTaken:
            self._steps = None
            if self.phase == "preparing":
                self.move_end(0)
            else:
                self.phase = "denied"
        most = self._pending_max if self.phase != "preparing" else (self._pending_max + 1) // 2
        assert len(self.pending) <= max(before, most), f"a move that is {self.phase} fills pending"

    def _step_done(self) -> None:
        if self.phase == "preparing":
            self.phase = "prepared"
        elif self.phase == "handing over":
            self.phase = "released"
            for key in self.moving:
                self._is_saved(key)
        else:
            self._is_forgotten()

    def _is_saved(self, key: str) -> None:
        assert self._in_tier(key) == self._last(key), f"{key} is released, and the tier lacks {self._last(key)!r}"
        assert key not in self.pending, f"{key} is released, and still pending"
        assert all(key not in flush.turns for flush in self.flushes), f"{key} is released, and its row is under way"
        assert all(load.key != key for load in self.store.loading), f"{key} is released, and is being loaded"
        assert not self._queued[key], f"{key} is released, and a request for it waits"
        assert key not in self.store.room.keys, f"{key} is released, and a write of it waits for room"
        assert all(key not in step.keys for step in self.store.steps), f"{key} is released, and a step of it waits"
        assert key not in self.memory or self.memory.is_clean(key), f"{key} is released, and may be saved once more"

    def _is_forgotten(self) -> None:
        for key in self.moving:
            assert key not in self.memory, f"{key} has left, and a copy of it has not"
            assert key not in self.store.absent, f"{key} has left, and is called absent"

    def move_freeze(self) -> None:
        """Nobody asks for the slots any more."""
        if self.phase == "prepared":
            assert self.store.move is not None
            self.phase = "handing over"
            self.store.move.freeze()
            self._steps = self.store.move.hand_over()

    def move_end(self, which: int) -> None:
        """Another map: what was released is the other node's, or, with an even number, this one's once more."""
        if self.phase in ("none", "away"):
            return
        self.store.end_move()
        if self.phase == "released":
            self._steps = self.store.forget(self._slots)
            self.phase = "away"
            if which % 2 == 0:
                self.move_back()
        else:
            self._is_over()

    def move_back(self) -> None:
        """Another map: the slots are this node's again."""
        if self.phase == "away":
            for _ in self._steps or ():
                pass
            self._is_forgotten()
            self._is_over()

    def _is_over(self) -> None:
        self.phase = "none"
        self.moving = frozenset()
        self._steps = None

    def move_through(self, keys: Sequence[str]) -> None:
        """The whole move, whatever its phase, with all that it waits for."""
        self.move_begin(keys)
        for _ in range(200):
            phase = self.phase
            self.move_step()
            self.check()
            self.move_freeze()
            if self.phase in ("none", "denied", "released", "away"):
                return
            if self.phase == phase:
                if any(row.refused is not None and key not in self.moving for key, row in self.pending):
                    self.retry_refused()  # they may have left no room
                self.settle()
                self.advance(PENDING_WAIT)  # nobody waits for room for longer
        raise AssertionError(f"a move stays {self.phase}: something waits that nothing carries")

    # --- the truth -----------------------------------------------------------------------------------------------

    def replace_tier(self, key: str, index: int) -> None:
        super().replace_tier(key, index)
        if self.phase == "away":
            for other in self.moving:
                assert other not in self.memory, f"a copy of {other} would be saved over what another node has"

    def check(self) -> None:
        super().check()
        queued = [key for key, row in self.pending if row.queued and key in self.moving]
        if queued and self.phase in ("prepared", "handing over", "denied"):
            assert self.store.flush_in() == 0, f"rows of {queued} leave, and are not due"
        if self.phase == "away":
            for key in self.moving:
                seen = self.history[key][-1]
                last = self.alive(seen.value, seen.expires)
                assert self._in_tier(key) == last, f"{key} is another node's, and was written over"
                assert key not in self.pending or last == NOTHING, f"{key} is another node's, and pending"
