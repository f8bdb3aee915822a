"""Read-modify-write: one step of the store that nothing comes between, also where the value has to be loaded first.

A key that only the persistent tier has waits for its load, which it shares with others. While it does, whatever else is
asked of the key stands in *line* behind it, in the order of arrival; so a write that came later does not overtake it.
The load of a line is current all the while (:mod:`ckv.store.loading`). Therefore memory takes no new key by itself,
and compiled code leaves those to the store (``may_add``).

In the mode ``through`` the value may be that of a write which is not committed. An update builds on it where both go
in one row of one transaction, for then they are committed or refused together; and waits in line while that
write is on its way, for it may yet be refused, and a number that was counted on top of it would be wrong.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any, Final

from ckv.errors import CkvError, NoRoom, TierUnavailable, ValueUnknown
from ckv.store.change import KEEP, Change, Loaded, ModifyRecord
from ckv.store.loading import Load
from ckv.store.memory import Memory
from ckv.store.pending import Pending
from ckv.store.room import RoomWait
from ckv.store.row import TOMBSTONE
from ckv.store.tiers import Environment, Tiers
from ckv.store.waiting import Waiting
from ckv.values import Value


class Unknown(Enum):
    """Why the store cannot tell now what the value of a key is."""

    ELSEWHERE = "only the persistent tier has it"
    UNDER_WAY = "a write of it is on its way to the persistent tier"


class AnyTime:
    """Asks for a load whose answer adds to nobody's unread ones: others stand in line behind it."""

    congested: Final = False


ANY_TIME: Final = AnyTime()


@dataclass(eq=False, slots=True)
class Queued(Waiting[Any]):
    """A request that was not carried out yet. It is told what the request would have returned, or its error."""

    run: Callable[[Loaded | None], object]
    deadline: float
    writes: bool = True
    """It is to be refused when nothing more is to be written."""
    needs_value: bool = False
    """It cannot be carried out while nobody knows the value."""


@dataclass(eq=False, slots=True)
class Line:
    """An update that waits, and what came behind it."""

    load: Load | None
    """What it waits for; None for the end of the flush that is under way."""
    requests: deque[Queued] = field(default_factory=deque)


class Updating(Tiers):
    """What the write modes share of updates."""

    @abstractmethod
    def _to_update(self, key: str) -> Loaded | Unknown:
        """What an update builds on: the latest write that was accepted. It counts as a use."""

    def _kept(self, key: str, result: object) -> object:
        """Answers an update that changes nothing."""
        return result

    def _exists(self, key: str, exists: bool) -> None:
        """Takes note whether there is a record, right before one is written or deleted."""

    def __init__(self, memory: Memory, pending: Pending, environment: Environment) -> None:
        super().__init__(memory, pending, environment)
        self.lines: dict[str, Line] = {}
        """The requests that wait, by their keys."""

    # --- requests --------------------------------------------------------------------------------------------------

    def update_record(self, key: str, modify: ModifyRecord) -> object:
        """See :meth:`ckv.store.Records.update_record`."""
        if key in self.lines:
            return self._stand_in_line(key, partial(self._attempt, key, modify), needs_value=True)
        return self._attempt(key, modify, None)

    def _stand_in_line(
        self, key: str, run: Callable[[Loaded | None], object], *, writes: bool = True, needs_value: bool = False
    ) -> Queued:
        """Has a request wait behind the others of the line of its key."""
        request = Queued(run, self._clock() + self._environment.load_timeout, writes, needs_value)
        self.lines[key].requests.append(request)
        return request

    def _attempt(self, key: str, modify: ModifyRecord, loaded: Loaded | None) -> object:
        """Carries an update out, or begins a line with it. ``loaded`` is what is known if nobody else knows."""
        if key in self.room.keys:  # for a write that came before it
            wait = self.room.wait(key, modify, 0, self._clock())
            self._wake()
            return self._after(wait, lambda outcome: outcome)
        found = self._to_update(key)
        if found is Unknown.ELSEWHERE and loaded is not None:
            found = loaded
        if isinstance(found, Unknown):
            return self._begin_line(key, modify, found)
        change = modify(*found)
        if not change.writes:
            return self._kept(key, change.result)
        self._exists(key, found.value is not None)
        deletes = change.value is TOMBSTONE
        try:
            outcome = self._write(key, change.value, found.expires if change.expires == KEEP else change.expires)
        except TierUnavailable:
            if not deletes:
                raise
            outcome = None  # see _is_done()
        if isinstance(outcome, RoomWait):
            # What it builds on stays what it is: all that is written to the key waits behind it.
            return self._after(outcome, lambda admitted: _result(admitted, change), deletes=deletes)
        return _result(outcome, change)

    @abstractmethod
    def _write(self, key: str, what: Value | ModifyRecord | None, expires: int) -> object:
        """Carries out a PUT, a DEL or an update."""

    def _after(self, wait: RoomWait, result: Callable[[object], object], *, deletes: bool = False) -> Queued:
        queued = Queued(lambda _: None, wait.deadline)

        def told(outcome: object, error: CkvError | None) -> None:
            done = error is None or (deletes and _is_done(error))
            queued.tell(result(outcome) if done else None, None if done else error)

        wait.wait(told)
        return queued

    # --- lines -----------------------------------------------------------------------------------------------------

    def _begin_line(self, key: str, modify: ModifyRecord, why: Unknown) -> Queued:
        load = None
        if why is Unknown.ELSEWHERE:
            refusal = self.loading.refusal
            if refusal is not None:
                self.figures.load_refusals += 1
                raise ValueUnknown(f"nothing was written: {refusal}")
            now = self._clock()
            load = self.loading.join(key, now)
            load.gets += 1
            self.loading.asked_by(load, ANY_TIME, now)
            load.wait(partial(self._load_over, key, load))
            self._wake_loads()
        self.lines[key] = Line(load)
        return self._stand_in_line(key, partial(self._attempt, key, modify), needs_value=True)

    def _load_over(self, key: str, load: Load, value: Value | None, error: CkvError | None) -> None:
        line = self.lines.get(key)
        if line is not None and line.load is load:
            self._go_on(key, Loaded(value, load.expires) if error is None else None, error)

    def _go_on(self, key: str, loaded: Loaded | None = None, error: CkvError | None = None) -> None:
        """What the line waited for is over: carries out all that stands in it, as far as nothing has to wait again.

        With an ``error`` nobody knows the value, before the first write that does not ask for it.
        """
        requests = self.lines.pop(key).requests
        told: list[tuple[Queued, object, CkvError | None]] = []
        while requests:
            request = requests.popleft()
            result, problem = None, None
            if error is not None and request.needs_value:
                problem = ValueUnknown(f"nothing was written: {error}") if request.writes else error
            else:
                error = None
                result, problem = _carried_out(request, loaded)
            again = self.lines.get(key)
            if again is not None and result is again.requests[0]:
                # It has to wait once more, and the others behind it: whoever waits for it goes on doing so.
                assert isinstance(result, Queued)
                result.deadline = request.deadline
                result.wait(request.tell)
                again.requests.extend(requests)
                break
            told.append((request, result, problem))
        # Afterwards, for who is told may ask for something more, which has to stand behind all of these.
        for request, result, problem in told:
            request.tell(result, problem)

    def _leave_room(self) -> None:
        """What waited for room goes on waiting in line, where one has begun: a key is here or there, in one order."""
        for key in self.lines.keys() & self.room.keys.keys():
            for wait in self.room.leave(key):
                run = self._as_request(key, wait.value, wait.expires)
                wait.tell(self._stand_in_line(key, run, needs_value=callable(wait.value)), None)

    def _as_request(
        self, key: str, what: Value | ModifyRecord | None, expires: int
    ) -> Callable[[Loaded | None], object]:
        if callable(what):
            return partial(self._attempt, key, what)
        return lambda _: self._write(key, what, expires)

    def _expire_lines(self, now: float) -> None:
        """Refuses the updates that wait for a write which is on its way for too long. A load has a time-out itself."""
        why = f"nothing was written: a write of the key is on its way for {self._environment.load_timeout:g} s"
        for key in list(self.lines):
            while (line := self.lines.get(key)) and line.load is None and line.requests[0].deadline <= now:
                line.requests.popleft().tell(None, ValueUnknown(why))
                self._go_on(key)

    def _close_lines(self) -> None:
        """Refuses all writes that stand in line: nothing is to be written any more."""
        for key in list(self.lines):
            for request in self.lines.pop(key).requests:
                if request.writes:
                    request.tell(None, NoRoom("the node stops; nothing was written"))
                else:
                    request.tell(*_carried_out(request, None))

    def distrust(self) -> None:
        super().distrust()
        for key, line in list(self.lines.items()):
            if line.load is not None:
                self._go_on(key)  # which looks again, in what there is now

    def check(self) -> None:
        super().check()
        assert not self.lines.keys() & self.room.keys.keys(), "a key has two lines"
        for key, line in self.lines.items():
            assert line.requests, f"nobody stands in the line of {key!r}"
            row = self.pending.find(key)
            if line.load is None:
                assert row is not None, f"the line of {key!r} waits for nothing"
                assert row.flushing, f"the line of {key!r} waits for a row that is not under way"
            else:
                assert line.load.current, f"the line of {key!r} waits for a load that is not current"
                known = key in self.memory or row is not None or key in self.absent
                assert not known, f"the line of {key!r} waits for what is known"


def _carried_out(request: Queued, loaded: Loaded | None) -> tuple[object, CkvError | None]:
    """What a request returns, or the error that it raises."""
    try:
        return request.run(loaded), None
    except CkvError as error:
        return None, error


def _is_done(error: CkvError) -> bool:
    """Whether a deletion has happened that ended with this error: whether there was a record is not known then, but to
    an update, which has read it."""
    return isinstance(error, TierUnavailable)


def answered_at(commit: Waiting[bool], result: object) -> Waiting[Any]:
    """Is told the result at the commit."""
    answer: Waiting[Any] = Waiting()

    def told(_: bool | None, error: CkvError | None) -> None:
        done = error is None or _is_done(error)
        answer.tell(result if done else None, None if done else error)

    commit.wait(told)
    return answer


def _result(outcome: object, change: Change) -> object:
    """What an update returns whose write had this outcome."""
    if isinstance(outcome, Waiting) and not isinstance(outcome, Load):  # a load would tell what is known already
        return answered_at(outcome, change.result)
    return change.result
