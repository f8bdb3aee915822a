"""FLUSH: the deletion of all records of a secondary, piece by piece, while it goes on working.

Each call goes on with a scan of all keys (:mod:`ckv.node.scanning`) and deletes what it tells, as DEL would. So
whatever had a value from the first call to the last is gone, and what was written after the last one stays. A call is
answered when its deletions are committed: there are never more of them on their way than one answer tells, and what was
answered does not come back after a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final

from ckv import errors
from ckv.commands import COMMANDS
from ckv.node.scanning import MAX_COUNT, Scans
from ckv.protocol.handler import LATER, Caller
from ckv.store import Records
from ckv.store.loading import Load
from ckv.store.motion import Commits
from ckv.store.waiting import Waiting

ALL: Final = b"*"

NOT_ALLOWED: Final = "FLUSH deletes everything, in the database too: this node was started without --allow-flush"


class Emptying:
    """The method, over the scans of a store."""

    def __init__(
        self,
        store: Records,
        scans: Scans,
        allowed: bool,
        timeout: float,
        clock: Callable[[], float],
        serves: Callable[[str], bool] = lambda _key: True,
    ) -> None:
        """``timeout``: seconds that anybody waits for the commit of deletions, by the ``clock``, which never goes
        back. ``serves``: whether a key may be written here at this moment."""
        self.store = store
        self._scans = scans
        self._allowed = allowed
        self._timeout = timeout
        self._clock = clock
        self.serves = serves
        self._waiting: dict[_Step, float] = {}
        """Calls that wait for commits, and until when."""

    def flush(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        """The handler of FLUSH."""
        if not self._allowed:
            raise errors.Refused(NOT_ALLOWED)
        if len(params) != 1:
            raise COMMANDS["FLUSH"].wrong_count(params)
        step = _Step(self, caller, msgid)
        told = self._scans.scan(step, 0, (params[0], ALL, MAX_COUNT))
        if told is not LATER:
            step.check(told)
            if (result := step.delete(told)) is not None:
                return result
        return LATER

    def expire(self) -> None:
        """Tells those whose time is over. To be called some ten times a second."""
        now = self._clock()
        for step in [step for step, deadline in self._waiting.items() if deadline <= now]:
            step.end(errors.TierUnavailable("the deletions are not saved yet; the same cursor goes on with them"))

    def waits(self, step: _Step) -> None:
        """The call waits for commits."""
        self._waiting[step] = self._clock() + self._timeout

    def over(self, step: _Step) -> None:
        """It does not any more."""
        self._waiting.pop(step, None)


class _Step:
    """One call of FLUSH: the caller of a SCAN, whose keys it deletes."""

    def __init__(self, emptying: Emptying, caller: Caller, msgid: int) -> None:
        self._emptying = emptying
        self._caller = caller
        self._msgid = msgid
        self._left = 0
        """What it waits for."""
        self._is_later = False
        self._is_over = False
        self._result: list[object] = []
        self._commits: Commits | None = None
        """Those that it waits for, besides."""

    def check(self, told: Any) -> None:
        """Raises Moving, and nothing was deleted, when a key that a SCAN told is on its way to another node."""
        _, keys = told
        if not all(map(self._emptying.serves, keys)):
            raise errors.Moving("slots are on their way to another node: begin again with 0")

    def delete(self, told: Any) -> list[object] | None:
        """Deletes what a SCAN told; the result of FLUSH, or None, and it comes later."""
        store = self._emptying.store
        cursor, keys = told
        self._result = [cursor, len(keys)]
        since = store.memory.new_version()
        self._left = 1
        if keys and not store.is_whole:
            self._left += 1
            self._commits = store.motion.when_committed(set(keys), since, self._one_done)
        for key in keys:
            outcome = store.remove(key)
            if outcome is not None:
                self._left += 1
                self._wait_for(key, outcome)
        self._one_done()
        if not self._left:
            return self._result
        self._is_later = True
        self._emptying.waits(self)
        return None

    def _wait_for(self, key: str, outcome: Waiting[Any]) -> None:
        """Goes on when the deletion of a key is done; what it waits for may turn into another wait."""

        def told(result: object, error: errors.CkvError | None) -> None:
            if isinstance(result, Waiting):
                self._wait_for(key, result)
            elif error is None and (result is None if isinstance(outcome, Load) else result is False):
                self._was_nothing(key)
            elif error is None or type(error) is errors.TierUnavailable:
                # It is deleted also where nobody could tell whether there was a record.
                self._one_done()
            else:
                self.end(error)

        outcome.wait(told)

    def _was_nothing(self, key: str) -> None:
        """When the turn of a key came, it had no record any more. So nothing is written for it, and no commit is to be
        waited for; unless an older write is on its way, behind which a deletion has to come."""
        store, commits = self._emptying.store, self._commits
        if commits is not None and key in commits.keys:
            if store.is_unsaved(key):
                outcome = store.remove(key)
                if outcome is not None:
                    self._wait_for(key, outcome)
                    return
            else:
                store.motion.not_needed(commits, key)
        self._one_done()

    def _one_done(self) -> None:
        self._left -= 1
        if not self._left and self._is_later:
            self.end(None)

    def end(self, error: errors.CkvError | None) -> None:
        """Answers, unless that was done."""
        if self._is_over:
            return
        self._is_over = True
        self._emptying.store.motion.forget(self._commits)
        self._emptying.over(self)
        if error is not None:
            self._caller.respond(self._msgid, errors.to_wire(error), None)
        else:
            self._caller.respond(self._msgid, None, self._result)

    # --- as the caller of the SCAN -----------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        return self._caller.is_open

    def respond(self, msgid: int, error: object, result: object) -> None:
        if error is None:
            try:
                self.check(result)
            except errors.Moving as moving:
                error = errors.to_wire(moving)
        if error is not None:
            self._caller.respond(self._msgid, error, None)
        elif (done := self.delete(result)) is not None:
            self._caller.respond(self._msgid, None, done)

    def settle(self) -> None:
        self._caller.settle()

    def hold(self, reason: Hashable) -> None:
        self._caller.hold(reason)

    def release(self, reason: Hashable) -> None:
        self._caller.release(reason)
