"""Several records as one step: nothing comes between its parts, also where values have to be loaded first.

A step that needs a value which only the persistent tier has waits until all that it needs are known, and is then
carried out at once. What was loaded for it may have left memory by then, for memory can be smaller than the step: so
its loads are *pinned* (:meth:`ckv.store.loading.Loading.pin`), and what they found is brought back right before its
part; as is what the step itself has put out of memory. A load that is not current any more, as somebody wrote to the
key, is made again.

Nobody is held up by a step that waits: it has not begun, and takes effect when it is carried out. It waits for
whatever was asked of its keys before and waits itself, and for room. While it is carried out pending takes all that it
writes, so that it never stops in its middle: its bound can be passed by what one step writes and evicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ckv.errors import BadArguments, CkvError, NoRoom, ValueUnknown
from ckv.store.change import Loaded, Run
from ckv.store.loading import Load
from ckv.store.memory import Memory
from ckv.store.pending import Pending
from ckv.store.tiers import Environment
from ckv.store.updates import ANY_TIME, Unknown, Updating
from ckv.store.waiting import Waiting
from ckv.values import Value

MOST_LOADED_BYTES: Final = 64 * 1024 * 1024
"""Values that are loaded for one step, beside memory and its bound."""

_FOR_ROOM: Final = "records wait for the persistent tier and no room came free in time"
_FOR_OTHERS: Final = "what was asked of its keys before has not come to an end in time"


@dataclass(eq=False, slots=True)
class Step(Waiting[Any]):
    """One that was not carried out yet. It is told what it returned, or an error: then nothing of it was done."""

    keys: Mapping[str, bool]
    """Its keys, and whether it needs their values."""
    run: Run
    writes: bool
    deadline: float
    room_deadline: float
    loads: dict[str, Load] = field(default_factory=dict)
    known: dict[str, Loaded] = field(default_factory=dict)
    """What was known of the keys when it was looked at last whether it is ready."""
    missing: set[str] = field(default_factory=set)
    """The keys whose loads are not over."""
    loaded_bytes: int = 0
    """Those of the values that were loaded for it, which it keeps until it is carried out."""
    waits_for_room: bool = False


class Together(Updating):
    """What the write modes share of steps."""

    def __init__(self, memory: Memory, pending: Pending, environment: Environment) -> None:
        super().__init__(memory, pending, environment)
        self.steps: dict[Step, None] = {}
        """Those that wait, in the order in which they came."""

    def together(self, keys: Mapping[str, bool], run: Run, *, writes: bool = True) -> object:
        """See :meth:`ckv.store.Records.together`."""
        now = self._clock()
        environment = self._environment
        step = Step(keys, run, writes, now + environment.load_timeout, now + environment.pending_wait)
        try:
            if self._is_ready(step):
                return self._carry_out(step)
        except CkvError:
            self._let_go(step)
            raise
        self.steps[step] = None
        if step.waits_for_room:
            self._wake()
        return step

    @property
    def _waits_for_room(self) -> bool:
        return bool(self.room) or any(step.waits_for_room for step in self.steps)

    def _is_ready(self, step: Step) -> bool:
        """Whether nothing has to be waited for; begins the loads that it needs. Raises ValueUnknown."""
        ready = True
        for key, needed in step.keys.items():
            if key in self.lines or key in self.room.keys:
                ready = False
            elif needed:
                found = self._to_update(key)
                if found is Unknown.ELSEWHERE:
                    found = self._loaded(step, key) or found
                if isinstance(found, Unknown):
                    ready = False
                else:
                    step.known[key] = found
        # Last, for what turned out to have expired may have become a tombstone.
        step.waits_for_room = step.writes and self.pending.full
        return ready and not step.waits_for_room

    def _loaded(self, step: Step, key: str) -> Loaded | None:
        """What a load has found for it, that is still true; None, and one is under way, where there is none."""
        load = step.loads.get(key)
        if load is not None:
            if load.current and load.found is not None:
                return Loaded(*load.found)
            if key in step.missing:
                return None
            self.loading.unpin(step.loads.pop(key))
            if self._clock() >= step.deadline:
                raise ValueUnknown(f"nothing was carried out: {_FOR_OTHERS}")
        refusal = self.loading.refusal
        if refusal is not None:
            self.figures.load_refusals += 1
            raise ValueUnknown(f"nothing was carried out: {refusal}")
        load = step.loads[key] = self.loading.join(key, self._clock())
        load.gets += 1
        self.loading.pin(load)
        self.loading.asked_by(load, ANY_TIME, self._clock())
        step.missing.add(key)
        load.wait(lambda value, error: self._load_told(step, key, value, error))
        self._wake_loads()
        return None

    def _load_told(self, step: Step, key: str, value: Value | None, error: CkvError | None) -> None:
        step.missing.discard(key)
        if step not in self.steps:
            return
        if value is not None:
            step.loaded_bytes += len(value)
        if error is not None:
            self._give_up(step, ValueUnknown(f"nothing was carried out: {error}"))
        elif step.loaded_bytes > MOST_LOADED_BYTES and len(step.loads) > 1:
            why = f"the values that it needs are more than {MOST_LOADED_BYTES} bytes"
            self._give_up(step, BadArguments(f"nothing was carried out: {why}"))
        elif not step.missing:
            self._try(step)

    def _try(self, step: Step) -> None:
        """Carries one out that waits, if it need not wait any more."""
        try:
            if not self._is_ready(step):
                if step.waits_for_room:
                    self._wake()
                return
        except CkvError as error:
            self._give_up(step, error)
            return
        del self.steps[step]
        step.tell(self._carry_out(step), None)

    def _carry_out(self, step: Step) -> object:
        def look(key: str) -> Loaded:
            found = self._to_update(key)
            if isinstance(found, Unknown):
                # It was known at the beginning. What the step itself has written is in memory or pending; but it may
                # have put out of memory what is clean there.
                assert found is Unknown.ELSEWHERE, "nothing gets on its way to the persistent tier meanwhile"
                found = self._brought_back(key, *step.known[key])
            return found

        try:
            with self.room.unbounded():
                return step.run(look)
        finally:
            self._let_go(step)

    def _brought_back(self, key: str, value: Value | None, expires: int) -> Loaded:
        if value is None or self._is_over(expires):
            self.note_absent(key)
            return Loaded(None)
        self._recall(key, value, 0, expires, clean=True)
        return Loaded(value, expires)

    def _let_go(self, step: Step) -> None:
        for load in step.loads.values():
            self.loading.unpin(load)
        step.loads.clear()

    def _give_up(self, step: Step, error: CkvError) -> None:
        del self.steps[step]
        self._let_go(step)
        step.tell(None, error)

    def _try_again(self, key: str | None = None) -> None:
        """Something that steps may have waited for is over; of this key, or of any."""
        for step in list(self.steps):
            if step in self.steps and not step.missing and (key is None or key in step.keys):
                self._try(step)

    def _go_on(self, key: str, loaded: Loaded | None = None, error: CkvError | None = None) -> None:
        super()._go_on(key, loaded, error)
        self._try_again(key)

    def _expire_steps(self, now: float) -> None:
        """Refuses those that have waited too long. A load has a time-out itself."""
        self._try_again()
        for step in list(self.steps):
            if step not in self.steps or step.missing:
                continue
            if step.waits_for_room and step.room_deadline <= now:
                self.figures.refused_for_room += 1
                self._give_up(step, NoRoom(f"nothing was carried out: {len(self.pending)} {_FOR_ROOM}"))
            elif step.deadline <= now and not step.waits_for_room:
                self._give_up(step, ValueUnknown(f"nothing was carried out: {_FOR_OTHERS}"))

    def _close_lines(self) -> None:
        for step in list(self.steps):
            if step in self.steps:
                self._give_up(step, NoRoom("the node stops; nothing was carried out"))
        super()._close_lines()

    def check(self) -> None:
        super().check()
        pins = sum(len(step.loads) for step in self.steps)
        assert pins == self.loading.pins, "the loads that are pinned are miscounted"
