"""The write mode ``through``: answered at the commit, which all writers that wait share (group commit)."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ckv.errors import CkvError, CommitTimeout, RowsRefused, TierUnavailable
from ckv.store.change import Loaded
from ckv.store.loading import Load
from ckv.store.memory import Memory
from ckv.store.pending import Pending
from ckv.store.room import RoomWait
from ckv.store.row import TOMBSTONE, Write
from ckv.store.store import Store
from ckv.store.tiers import Environment
from ckv.store.updates import Queued, Unknown, answered_at
from ckv.store.waiting import Waiting
from ckv.values import Value


@dataclass(eq=False, slots=True)
class Commit(Waiting[bool]):
    """A PUT or DEL that is answered when the persistent tier has committed it."""

    version: int
    """The version of the pending row that has it; a commit of this version or a later one will do."""
    deadline: float
    deletes: bool
    expires: int
    """When the record of a PUT expires; 0 for never."""


@dataclass(eq=False, slots=True)
class Chain:
    """The writes of one key that wait for their commit, in their order."""

    exists: bool | None
    """Whether there is a record before the first of them; None when that is not known."""
    commits: deque[Commit] = field(default_factory=deque)


class ThroughStore(Store):
    """Memory changes at the commit and not before.

    A reader that saw a value which a crash then takes back would have seen something that never happened. So pending
    is out of sight here, and memory holds only what is committed.
    """

    MEMORY_MAY_PUT = False

    def __init__(self, memory: Memory, pending: Pending, environment: Environment) -> None:
        super().__init__(memory, pending, environment)
        self._chains: dict[str, Chain] = {}
        self.again: dict[str, tuple[Value, int, int]] = {}
        """Values, versions and expiries of records that are on their way to the persistent tier a second time, as it
        may have become another one: in memory they were not clean any more. They can be read, as they are committed."""
        self._deadlines: deque[Commit] = deque()
        self._timeout = environment.load_timeout

    def get_elsewhere(self, key: str) -> Value | Load | None:
        if self._has_ended(key):
            return None
        again = self.again.get(key)
        if again is not None:
            if self._is_over(again[2]):
                self.figures.absent_hits += 1
                return None
            self.figures.hits_pending += 1
            return again[0]
        return self._look_up(key)

    def put(self, key: str, value: Value, expires: int = 0) -> Waiting[bool] | RoomWait | Queued:
        if key in self.lines:
            return self._stand_in_line(key, lambda _: self.put(key, value, expires))
        if self._has_no_row_free(key):
            return self._wait_for_room(key, value, expires)
        chain = self._chain(key)
        return self._queue_up(chain, key, value, expires)

    def expires_of(self, key: str) -> int | Waiting[Any] | None:
        if key in self.memory:
            return self.memory.expires_of(key) if not self.memory.is_over(key) else None
        if key not in self.again:
            return self._look_up(key)
        expires = self.again[key][2]
        return expires if not self._is_over(expires) else None

    def has(self, key: str) -> bool | None:
        if key in self.memory:
            return not self.memory.is_over(key)
        if key in self.again:
            return not self._is_over(self.again[key][2])
        return False if key in self.absent else None

    def unsaved_keys(self) -> list[str]:
        return list(self.again)

    def delete(self, key: str) -> bool | Waiting[bool] | RoomWait | Queued:
        if key in self.lines:
            return self._stand_in_line(key, lambda _: self.delete(key))
        if self._has_no_row_free(key):
            return self._wait_for_room(key, TOMBSTONE)
        chain = self._chain(key)
        if not chain.commits:
            if chain.exists is False:
                del self._chains[key]
                return False
            # While nothing can be loaded it is deleted all the same, and whoever waits for the commit is told that the
            # rest is not known.
            if chain.exists is None and self.loading.refusal is None:
                return self._delete_unknown(key, chain)
        return self._queue_up(chain, key, TOMBSTONE)

    def remove(self, key: str) -> Waiting[Any]:
        if key in self.lines:
            return self._stand_in_line(key, lambda _: self.remove(key))
        if self._has_no_row_free(key):
            return self._wait_for_room(key, TOMBSTONE)
        return self._queue_up(self._chain(key), key, TOMBSTONE)

    def _chain(self, key: str) -> Chain:
        chain = self._chains.get(key)
        if chain is None:
            # What has expired is as good as absent: it is on its way out of the persistent tier, too.
            if key in self.memory:
                exists: bool | None = not self.memory.is_over(key)
            elif key in self.again:
                exists = not self._is_over(self.again[key][2])
            else:
                exists = False if key in self.absent else None
            chain = self._chains[key] = Chain(exists)
        return chain

    def _delete_unknown(self, key: str, chain: Chain) -> Commit:
        def known(value: Value | None, error: CkvError | None) -> None:
            if error is None:
                chain.exists = value is not None

        version = self.memory.new_version()
        self._look_up_and_hold(key, version).wait(known)
        return self._commit(chain, version, deletes=True)

    def _queue_up(self, chain: Chain, key: str, value: Value | None, expires: int = 0) -> Commit:
        version = self.memory.new_version()
        self.pending.add(key, value, self._clock(), version, expires)
        return self._commit(chain, version, expires, deletes=value is TOMBSTONE)

    def _commit(self, chain: Chain, version: int, expires: int = 0, *, deletes: bool) -> Commit:
        commit = Commit(version, self._clock() + self._timeout, deletes, expires)
        chain.commits.append(commit)
        self._deadlines.append(commit)
        self._wake()
        return commit

    def _settle(self, key: str, version: int, error: CkvError | None) -> None:
        """Answers the writes up to this version of the row."""
        chain = self._chains.get(key)
        if chain is None:  # nobody waits for what is saved again
            return
        while chain.commits and chain.commits[0].version <= version:
            commit = chain.commits.popleft()
            if error is not None:
                commit.tell(None, error)
            elif not commit.deletes:
                chain.exists = not self._is_over(commit.expires)
                commit.tell(True, None)
            elif chain.exists is None:
                chain.exists = False
                commit.tell(None, TierUnavailable("the record is deleted; whether there was one is not known"))
            else:
                existed, chain.exists = chain.exists, False
                commit.tell(existed, None)
        if not chain.commits:
            del self._chains[key]

    def expire(self) -> None:
        super().expire()
        while self._deadlines and self._deadlines[0].deadline <= self._clock():
            commit = self._deadlines.popleft()
            self.figures.commit_timeouts += commit.wanted
            why = f"the persistent tier did not commit within {self._timeout:g} s; the write stays queued"
            commit.tell(None, CommitTimeout(why))

    # --- updates -------------------------------------------------------------------------------------------------

    def _to_update(self, key: str) -> Loaded | Unknown:
        row = self.pending.find(key)
        if row is not None and not self._is_again(key, row.version):
            return Unknown.UNDER_WAY if row.flushing else self._alive(row.value, row.expires)
        value = self.memory.get(key)
        if value is not None:
            return Loaded(value, self.memory.expires_of(key))
        if self._has_ended(key):
            return Loaded(None)
        if key in self.again:
            self.figures.hits_pending += 1
            value, _, expires = self.again[key]
            return self._alive(value, expires)
        return Loaded(None) if self.absent.get(key) is not None else Unknown.ELSEWHERE

    def _alive(self, value: Value | None, expires: int) -> Loaded:
        return Loaded(value, expires) if value is not TOMBSTONE and not self._is_over(expires) else Loaded(None)

    def _kept(self, key: str, result: object) -> object:
        """What it was told of is perhaps not committed yet: then it must not be told on before it is."""
        row = self.pending.find(key)
        if row is None or self._is_again(key, row.version):
            return result
        return answered_at(
            self._commit(self._chains[key], row.version, row.expires, deletes=row.value is TOMBSTONE), result
        )

    def _exists(self, key: str, exists: bool) -> None:
        if not self._has_no_row_free(key):
            chain = self._chain(key)
            if not chain.commits:
                chain.exists = exists

    def flush_end(self, batch: Sequence[Write], refused: Mapping[str, CkvError] | None = None) -> None:
        super().flush_end(batch, refused)
        self._landed(batch)

    def flush_failed(self, batch: Sequence[Write], error: CkvError | None = None, *, probed: bool = False) -> bool:
        given_up = super().flush_failed(batch, error, probed=probed)
        self._landed(batch)
        return given_up

    def _landed(self, batch: Sequence[Write]) -> None:
        """None of these writes is under way any more."""
        for key, *_ in batch:
            line = self.lines.get(key)
            if line is not None and line.load is None:
                self._go_on(key)

    # --- hooks ---------------------------------------------------------------------------------------------------

    def _save(self, key: str, value: Value, version: int, expires: int) -> None:
        """Everything in memory is committed, but for what the persistent tier may have lost."""
        self.again[key] = value, version, expires
        if key not in self.pending:  # else a newer write is on its way, and nobody reads it before it is committed
            self.pending.add(key, value, self._clock(), version, expires)
            self._wake()

    def _end(self, key: str) -> None:
        record = self.memory.record(key)
        if record is None or (not record[3] and self.pending.full and key not in self.pending):
            return  # it stays, and does what a tombstone would
        self.memory.remove(key)
        self.figures.expired_keys += 1
        if record[3]:
            self.note_absent(key)
        else:
            self._save(key, record[1], record[2], record[4])  # as a deletion

    def _is_again(self, key: str, version: int) -> bool:
        return key in self.again and self.again[key][1] == version

    def _victims_need_room(self) -> bool:
        return self.memory.clean < len(self.memory)

    def _committed(self, batch: Sequence[Write]) -> None:
        self.pending.committed(batch)
        # All of them first: the first one to enter memory may be taking the place of a later one's older value.
        for key, *_ in batch:
            self.memory.mark_clean(key, self.memory.version_of(key))
        for key, value, version, expires in batch:
            # A load that is under way may bring what was there before.
            self.loading.written(key)
            if value is TOMBSTONE:
                self.memory.remove(key)
                self.note_absent(key)
            else:
                self.absent.remove(key)
                if not self._is_again(key, version):  # that one was evicted already
                    self._recall(key, value, version, expires, clean=True)
            self.again.pop(key, None)
            self._settle(key, version, None)

    def _refused(self, write: Write, error: CkvError) -> None:
        """Nobody was told that it was accepted, so it is not: it goes.

        Unless it was saved once already, or it is not sure that it was not written.
        """
        if self._is_again(write.key, write.version) or not isinstance(error, RowsRefused):
            self.pending.park(write, error)
            return
        if self.pending.is_doubtful(write.key):
            # An earlier attempt may have been committed. Only the persistent tier knows now what the record is, or what
            # memory has is written to it once more.
            self.loading.written(write.key)
            if self.memory.is_clean(write.key):
                self.memory.remove(write.key)
            chain = self._chains.get(write.key)
            if chain is not None:
                chain.exists = None
            error = CommitTimeout(
                f"an attempt that was not answered may have been committed; the next one was not: {error}"
            )
        self.pending.forget(write)
        # An attempt before may have been committed without a word of it: then there is a record.
        self.absent.remove(write.key)
        self._settle(write.key, write.version, error)
        if write.key in self.again:
            self._save(write.key, *self.again[write.key])

    def _nothing_to_delete(self, key: str) -> None:
        chain = self._chains[key]
        chain.exists = False
        self._settle(key, chain.commits[-1].version, None)

    def _check_rows(self) -> None:
        waiting = {key for key, chain in self._chains.items() if chain.commits}
        assert waiting == set(self._chains), "a chain without a writer"
        assert self.pending.keys() == waiting | self.again.keys(), (
            "a pending row without its writer, or a writer without it"
        )
        assert not any(key in self.absent for key in self.again), "what is saved again is called absent"
