"""The write modes: when a PUT or a DEL is answered, and so what a crash can cost.

``evict`` is :class:`~ckv.store.store.Store` itself. The others override where a write goes first; the rules about who
leaves what and when are the same for all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from ckv.errors import CkvError, CommitTimeout, RowsRefused, TierUnavailable
from ckv.store.loading import Load
from ckv.store.memory import Memory
from ckv.store.pending import TOMBSTONE, Pending, Write
from ckv.store.store import BATCH_RECORDS, RoomWait, Store
from ckv.store.waiting import Waiting
from ckv.values import Value


class BehindStore(Store):
    """Answered when memory has the record and its row is queued; flushed after a delay, or when a batch is full."""

    def __init__(
        self, memory: Memory, pending: Pending, *, write_delay: float, write_batch: int = BATCH_RECORDS, **rest: Any
    ) -> None:
        """``write_delay``, in seconds, is how long a row may wait; ``write_batch`` rows do not wait at all."""
        super().__init__(memory, pending, **rest)
        self._queue = pending
        self._write_delay = write_delay
        self._write_batch = write_batch
        self._doubts = False
        """Memory may have records that are neither queued nor clean, as it was distrusted at some time."""

    def put(self, key: str, value: Value) -> Literal[True] | RoomWait:
        if key in self._waiting_keys or (self._queue.full and key not in self._queue):
            return self._wait_for_room(key, value)
        version = self.memory.new_version()
        self._loading.written(key)
        self._queue.add(key, value, self._clock(), version)
        self._loading.note_present(key)
        self._wake()
        self._recall(key, value, version)
        return True

    def _has_room_for(self, key: str, value: Value) -> bool:
        # Victims are on their way already, but for those that have to be written again.
        return not self._doubts or super()._has_room_for(key, value)

    def _permit(self) -> None:
        self.memory.may_put = False

    def distrust(self) -> None:
        super().distrust()
        self._doubts = True

    def flush_in(self) -> float | None:
        aside = self._queue.aside_in(self._clock())
        oldest = self._queue.oldest
        if oldest is None:
            return aside
        if self._queue.queued >= self._write_batch or self._queue.limited or self._waiting or self._draining:
            return 0.0
        due = max(0.0, oldest + self._write_delay - self._clock())
        return due if aside is None else min(due, aside)


class Commit(Waiting[bool]):
    """A PUT or DEL that is answered when the persistent tier has committed it."""

    __slots__ = ("deadline", "deletes", "version")

    def __init__(self, version: int, deadline: float, *, deletes: bool) -> None:
        super().__init__()
        self.version = version
        """The version of the pending row that has it; a commit of this version or a later one will do."""
        self.deadline = deadline
        self.deletes = deletes


class Chain:
    """The writes of one key that wait for their commit, in their order."""

    __slots__ = ("commits", "exists")

    def __init__(self, exists: bool | None) -> None:
        self.exists = exists
        """Whether there is a record before the first of them; None when that is not known."""
        self.commits: deque[Commit] = deque()


class ThroughStore(Store):
    """Answered when the persistent tier has committed; all writers that wait share a transaction (group commit).

    Memory changes at the commit and not before: a reader that saw a value which a crash then takes back would have seen
    something that never happened. So pending is out of sight here, and memory holds only what is committed.
    """

    def __init__(self, memory: Memory, pending: Pending, *, commit_timeout: float, **rest: Any) -> None:
        """``commit_timeout``, in seconds: how long a write waits for its commit. It stays queued after that."""
        super().__init__(memory, pending, **rest)
        self._queue = pending
        self._commit_timeout = commit_timeout
        self._chains: dict[str, Chain] = {}
        self._again: dict[str, tuple[Value, int]] = {}
        """Values and versions of records that are on their way to the persistent tier a second time, as it may have
        become another one: in memory they were not clean any more. They can be read, for they are committed."""
        self._deadlines: deque[Commit] = deque()

    def put(self, key: str, value: Value) -> Waiting[bool] | RoomWait:
        if key in self._waiting_keys or (self._queue.full and key not in self._queue):
            return self._wait_for_room(key, value)
        chain = self._chain(key)
        return self._queue_up(chain, key, value)

    def delete(self, key: str) -> bool | Waiting[bool] | RoomWait:
        if key in self._waiting_keys or (self._queue.full and key not in self._queue):
            return self._wait_for_room(key, TOMBSTONE)
        chain = self._chain(key)
        if not chain.commits:
            if chain.exists is False:
                del self._chains[key]
                return False
            if chain.exists is None:
                return self._delete_unknown(key, chain)
        return self._queue_up(chain, key, TOMBSTONE)

    def _permit(self) -> None:
        self.memory.may_put = False

    def _delete_unknown(self, key: str, chain: Chain) -> Waiting[bool]:
        def known(value: Value | None, error: CkvError | None) -> None:
            if error is None:
                chain.exists = value is not None

        if self._loading.refusal is not None:
            # It is deleted all the same, and whoever waits for the commit is told that the rest is not known.
            return self._queue_up(chain, key, TOMBSTONE)
        load = self._loading.join(key, self._clock())
        self._loading.written(key)
        load.deletes = True
        load.wait(known)
        self._wake_loads()
        version = self.memory.new_version()
        self._queue.hold(key, self._clock(), version)
        return self._commit(chain, version, deletes=True)

    def _queue_up(self, chain: Chain, key: str, value: Value | None) -> Commit:
        version = self.memory.new_version()
        self._queue.add(key, value, self._clock(), version)
        return self._commit(chain, version, deletes=value is TOMBSTONE)

    def _chain(self, key: str) -> Chain:
        chain = self._chains.get(key)
        if chain is None:
            exists = (
                True if key in self.memory or key in self._again else False if self._loading.is_absent(key) else None
            )
            chain = self._chains[key] = Chain(exists)
        return chain

    def _commit(self, chain: Chain, version: int, *, deletes: bool) -> Commit:
        commit = Commit(version, self._clock() + self._commit_timeout, deletes=deletes)
        chain.commits.append(commit)
        self._deadlines.append(commit)
        self._wake()
        return commit

    # --- where this mode differs from the others -----------------------------------------------------------------

    def get_elsewhere(self, key: str) -> Value | Load | None:
        again = self._again.get(key)
        if again is not None:
            self.hits_pending += 1
            return again[0]
        return self._look_up(key)

    def _has_room_for(self, key: str, value: Value) -> bool:
        # Victims are committed, as everything in memory is; but those that are not clean any more need room in pending.
        return self.memory.clean == len(self.memory) or super()._has_room_for(key, value)

    def _evict(self) -> None:
        key, value, version, clean = self.memory.evict()
        if not clean:
            self._save_again(key, value, version)

    def _save_again(self, key: str, value: Value, version: int) -> None:
        self._again[key] = value, version
        if key not in self._queue:  # else a newer write is on its way, and nobody reads it before it is committed
            self._queue.add(key, value, self._clock(), version)
            self._wake()

    def _committed(self, batch: Sequence[Write]) -> None:
        self._queue.committed(batch)
        # All of them first: the first one to enter memory may be taking the place of a later one's older value.
        for key, _, _ in batch:
            self.memory.mark_clean(key, self.memory.version_of(key))
        for key, value, version in batch:
            # A load that is under way may bring what was there before.
            self._loading.written(key)
            if value is TOMBSTONE:
                self.memory.remove(key)
                self._loading.note_absent(key)
            else:
                self._loading.note_present(key)
                if not self._is_again(key, version):  # that one was evicted already
                    self._recall(key, value, version, clean=True)
            self._again.pop(key, None)
            self._settle(key, version, None)

    def _refused(self, write: Write, error: CkvError) -> None:
        """Nobody was told that it was accepted, so it is not: it goes.

        Unless it was saved once already, or it is not sure that it was not written.
        """
        if self._is_again(write.key, write.version) or not isinstance(error, RowsRefused):
            super()._refused(write, error)
            return
        if self._queue.is_doubtful(write.key):
            # An earlier attempt may have been committed. Only the persistent tier knows now what the record is, or what
            # memory has is written to it once more.
            self._loading.written(write.key)
            if self.memory.is_clean(write.key):
                self.memory.remove(write.key)
            chain = self._chains.get(write.key)
            if chain is not None:
                chain.exists = None
            error = CommitTimeout(
                f"an attempt that was not answered may have been committed; the next one was not: {error}"
            )
        self._queue.forget(write)
        # An attempt before may have been committed without a word of it: then there is a record.
        self._loading.note_present(write.key)
        self._settle(write.key, write.version, error)
        if write.key in self._again:
            self._save_again(write.key, *self._again[write.key])

    def _is_again(self, key: str, version: int) -> bool:
        return key in self._again and self._again[key][1] == version

    def _nothing_to_delete(self, key: str) -> None:
        chain = self._chains[key]
        chain.exists = False
        self._settle(key, chain.commits[-1].version, None)

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
                chain.exists = True
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
        now = self._clock()
        while self._deadlines and self._deadlines[0].deadline <= now:
            commit = self._deadlines.popleft()
            self.commit_timeouts += commit.wanted
            commit.tell(
                None,
                CommitTimeout(
                    f"the persistent tier did not commit within {self._commit_timeout:g} s; the write stays queued"
                ),
            )

    def _make_pending(self) -> None:
        """Everything in memory is committed, but for what the persistent tier may have lost."""
        for key, value, version, clean in self.memory.records():
            if not clean:
                self._save_again(key, value, version)

    def _is_clean(self, key: str) -> bool:
        # Without a row: one that is on its way may have been committed already, and memory not been told.
        return key not in self._queue and self.memory.is_clean(key)

    def _check_rows(self, pending: Pending) -> None:
        waiting = {key for key, chain in self._chains.items() if chain.commits}
        assert waiting == set(self._chains), "a chain without a writer"
        assert pending.keys() == waiting | self._again.keys(), (
            "a pending row without its writer, or a writer without it"
        )
        assert not any(self._loading.is_absent(key) for key in self._again), "what is saved again is called absent"


MODES: Final[dict[str, Callable[..., Store]]] = {"evict": Store, "behind": BehindStore, "through": ThroughStore}
"""Write mode to the store that follows it."""
