"""The records of one node of the simulation, in each write mode: as a store keeps them, with the least that a move
needs of it. The real one has a simulation of its own (``tests/store``)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.cluster.schedule import NOT_SENT

if TYPE_CHECKING:
    from tests.cluster.secondary import Secondary

GIVE_UP: Final = 1.0
"""Seconds after which a flush is given up, with its connection."""

DELAY: Final = 0.3
"""Seconds for which ``behind`` waits for more rows."""

ENOUGH: Final = 1
"""Rows that may be left when the slots are frozen: while they are written all the time, some always are."""

Tell = Callable[[object], None]


@dataclass(slots=True)
class Batch:
    """Rows that are being written."""

    number: int
    rows: dict[str, str]
    writers: dict[str, list[Tell]]
    committing: bool = False


@dataclass(slots=True)
class Moving:
    """Slots that the records are to be saved of, and what to do then."""

    keys: frozenset[str]
    then: Callable[[], None]
    frozen: bool = False


@dataclass(slots=True)
class Load:
    """A key that the database was asked for."""

    current: bool = True
    asked: list[Tell] = field(default_factory=list)


class Records:
    """Memory, and what the database has still to learn."""

    def __init__(self, node: Secondary, mode: str) -> None:
        self._node = node
        self._mode = mode
        self.memory: dict[str, str | None] = {}
        self.dirty: set[str] = set()
        """Of memory, what the database lacks, and what is not pending either (``evict``)."""
        self.pending: dict[str, str] = {}
        self._writers: dict[str, list[Tell]] = {}
        self._loads: dict[str, Load] = {}
        self._old_loads: list[Load] = []
        self._batch: Batch | None = None
        self._timer = False
        self._moving: Moving | None = None
        self._drained: Callable[[], None] | None = None

    # --- requests ---------------------------------------------------------------------------------------------------

    def put(self, key: str, value: str, tell: Tell) -> None:
        load = self._loads.pop(key, None)
        if load is not None:
            load.current = False
            self._old_loads.append(load)
        if self._mode == "through":
            self.pending[key] = value
            self._writers.setdefault(key, []).append(tell)
            self._flush()
            return
        self.memory[key] = value
        if self._mode == "behind":
            self.pending[key] = value
            self._wake()
        else:
            self.dirty.add(key)
            chance = self._node.schedule.chance
            if chance.random() < 0.3:
                self._evict(chance.choice(list(self.memory)))
        tell(("ok", None))

    def _evict(self, key: str) -> None:
        value = self.memory.pop(key)
        if key in self.dirty and value is not None:
            self.dirty.discard(key)
            self.pending[key] = value
            self._flush()

    def get(self, key: str, tell: Tell) -> None:
        if key in self.memory:
            tell(("ok", self.memory[key]))
            return
        if self._mode != "through":
            if key in self.pending:
                tell(("ok", self.pending[key]))
                return
            if self._batch is not None and key in self._batch.rows:
                tell(("ok", self._batch.rows[key]))
                return
        load = self._loads.get(key)
        if load is None:
            self._loads[key] = load = Load()
            self._node.load_link.call(self._node.database.load, lambda found: self._loaded(key, load, found), key)
        load.asked.append(tell)

    def _loaded(self, key: str, load: Load, found: tuple[str | None] | None) -> None:
        if self._loads.get(key) is load:
            del self._loads[key]
        elif load in self._old_loads:
            self._old_loads.remove(load)
        if found is None or found == NOT_SENT:
            for tell in load.asked:
                tell(("refused",))
        else:
            on_its_way = key in self.pending or (self._batch is not None and key in self._batch.rows)
            if load.current and not (on_its_way and self._mode == "through"):
                self.memory[key] = found[0]
            for tell in load.asked:
                # What it was asked before a write may be answered with what was before the write.
                tell(("ok", found[0]) if self._node.still_serves(key) else ("refused",))
        self._look()

    # --- flushes ----------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._moving is not None or self._drained is not None:
            self._flush()
        elif not self._timer:
            self._timer = True
            self._node.schedule.at(DELAY, self._node, self._due)

    def _due(self) -> None:
        self._timer = False
        self._flush()

    def _flush(self) -> None:
        if self._batch is not None or not self.pending:
            return
        node = self._node
        batch = Batch(node.world.next_number(), self.pending, self._writers)
        self.pending, self._writers = {}, {}
        self._batch = batch
        begun = node.world.next_number()

        def answered(result: str | None) -> None:
            if self._batch is not batch:
                return  # it was given up, and so was its connection
            if result == "fenced":
                node.fenced()
            elif result == "ok":
                batch.committing = True
                node.flush_link.call(node.database.commit, committed, begun)
            else:
                self._failed(batch)

        def committed(result: str | None) -> None:
            if self._batch is not batch:
                return
            if result == "ok":
                self._saved(batch)
            else:
                self._failed(batch)

        node.flush_link.call(node.database.begin, answered, begun, node.member.key, batch.rows)
        node.schedule.at(GIVE_UP, node, self._give_up, batch)

    def _give_up(self, batch: Batch) -> None:
        if self._batch is batch:
            self._node.flush_link.reset()
            self._failed(batch)

    def _failed(self, batch: Batch) -> None:
        """Nobody knows whether it was committed: it is written again, unless something newer is."""
        if self._batch is not batch:
            return
        self._batch = None
        for key, value in batch.rows.items():
            self.pending.setdefault(key, value)
            if key in batch.writers:
                self._writers[key] = batch.writers[key] + self._writers.get(key, [])
        self._node.schedule.at(0.05, self._node, self._flush)

    def _saved(self, batch: Batch) -> None:
        self._batch = None
        for key, value in batch.rows.items():
            if self._mode == "through":
                load = self._loads.pop(key, None)
                if load is not None:
                    load.current = False
                    self._old_loads.append(load)
                if self._node.owns(key):
                    self.memory[key] = value
            for tell in batch.writers.get(key, ()):
                tell(("ok", None))
        if self._mode == "behind":
            self._wake()
        else:
            self._flush()
        self._look()

    @property
    def unsaved(self) -> set[str]:
        """The keys of which the database lacks what was answered (or may lack it)."""
        if self._mode == "through":
            return set()
        return self.dirty | self.pending.keys() | (self._batch.rows.keys() if self._batch is not None else set())

    # --- moves ------------------------------------------------------------------------------------------------------

    def save(self, keys: Collection[str], then: Callable[[], None], *, frozen: bool) -> None:
        """Has the database know of these keys, and calls then; the last such call counts."""
        self._moving = Moving(frozenset(keys), then, frozen)
        self._make_pending(self._moving.keys)
        self._look()

    def _make_pending(self, keys: Collection[str]) -> None:
        for key in sorted(self.dirty.intersection(keys)):
            value = self.memory[key]
            if value is not None:
                self.pending[key] = value
        self.dirty.difference_update(keys)
        self._flush()

    def end_move(self) -> None:
        self._moving = None

    def drain(self, then: Callable[[], None]) -> None:
        """Saves everything."""
        self._drained = then
        self._make_pending(set(self.dirty))
        self._look()

    def _look(self) -> None:
        moving = self._moving
        if moving is not None and self._is_saved(moving):
            self._moving = None
            moving.then()
        if self._drained is not None and not self.pending and self._batch is None and not self.dirty:
            then, self._drained = self._drained, None
            then()

    def _is_saved(self, moving: Moving) -> bool:
        keys = moving.keys
        left = len(keys.intersection(self.pending)) + len(keys & self.dirty)
        if self._batch is not None:
            left += len(keys.intersection(self._batch.rows))
        if not moving.frozen:
            return left <= ENOUGH
        # Those that were asked for by somebody are answered before anything of them changes elsewhere.
        return not left and keys.isdisjoint(self._loads) and not self._old_loads

    def distrust(self, keys: Collection[str]) -> None:
        """What is being loaded of these keys is no copy of theirs."""
        for key in keys:
            load = self._loads.pop(key, None)
            if load is not None:
                load.current = False
                self._old_loads.append(load)

    def forget(self, keys: Collection[str], lost: Collection[str]) -> None:
        """Has no copies of these keys; of those that are lost nothing is saved any more either."""
        for key in keys:
            self.memory.pop(key, None)
            self.dirty.discard(key)
        for key in lost:
            self.pending.pop(key, None)
            for tell in self._writers.pop(key, ()):
                tell(("unknown",))
