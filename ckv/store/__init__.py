"""One secondary's records: what requests, operators and INFO ask of them.

:class:`~ckv.store.store.Store` keeps them over a persistent tier, in one of the write modes (:mod:`ckv.store.modes`),
:class:`~ckv.store.alone.MemoryStore` in memory alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from ckv.store.change import Modify, ModifyRecord, Run
from ckv.store.figures import Figures
from ckv.store.loading import Asker, Load
from ckv.store.memory import Memory
from ckv.store.memory.slots import SlotSet
from ckv.store.motion import Motion
from ckv.store.room import Outcome, RoomWait
from ckv.store.waiting import Waiting
from ckv.values import Value

Where = Literal["clean", "dirty", "pending", "parked", "tombstone", "absent", "elsewhere"]
"""Which tier answers for a key, and what that says about the persistent tier.

- ``clean``: memory has the record, and the persistent tier has the same.
- ``dirty``: memory has the record, and the persistent tier may have another one or none.
- ``pending``: the record is on its way to the persistent tier, and no longer in memory.
- ``parked``: the same, and the persistent tier refused it.
- ``tombstone``: the record was deleted, or has expired, and the persistent tier may have one that has not.
- ``absent``: the persistent tier is known to have no record, but perhaps one that has expired.
- ``elsewhere``: only the persistent tier can tell.
"""


class Place(NamedTuple):
    """Where the current value of a key is, and the value; None where there is none."""

    where: Where
    value: Value | None
    expires: int = 0
    """When the record expires, in milliseconds of the epoch; 0 for never."""


class Records(Protocol):
    """The records of one node. Nothing here waits: what has to wait is an object whose waiters are called later."""

    memory: Memory
    absent: Memory
    """The keys without a record: what is here has no value elsewhere, but perhaps in memory."""
    figures: Figures
    motion: Motion
    """What moves between the tiers, for scans."""
    expiry_seen: bool
    """Whether the persistent tier was given a record that expires, or had one: there may be more."""
    is_whole: ClassVar[bool] = False
    """Whether what is not in memory does not exist."""

    def __init__(self, memory: Memory, absent: Memory) -> None:
        self.memory = memory
        self.absent = absent
        self.figures = Figures()
        self.motion = Motion()
        self.expiry_seen = False

    def get(self, key: str) -> Value | Waiting[Value] | None:
        """The value; None when there is no record; a load when only the persistent tier can tell.

        Behind an update that waits for its value it is another wait, told what this would have returned after it.
        Raises TierUnavailable when it is known that the persistent tier cannot.
        """
        value = self.memory.get(key)
        return value if value is not None else self.get_elsewhere(key)

    def get_elsewhere(self, key: str) -> Value | Waiting[Value] | None:
        """The second half of :meth:`get`: what it returns for a key that is not in memory."""

    def put(self, key: str, value: Value, expires: int = 0) -> Literal[True] | Waiting[bool] | RoomWait:
        """Stores the record: True when it is accepted.

        From ``expires`` on, in milliseconds of the epoch, there is none; 0 for never, also if the one before expires.
        """

    def expires_of(self, key: str) -> int | Waiting[Any] | None:
        """When the record expires, 0 for never; None when there is no record.

        As :meth:`get` it may return a load, which has it as :attr:`Load.expires` when it is told of a value, or another
        wait, told what this would have returned.
        """

    def update(self, key: str, modify: Modify) -> object:
        """As :meth:`update_record`, for who does not ask when the record expires."""
        return self.update_record(key, lambda value, _: modify(value))

    def update_record(self, key: str, modify: ModifyRecord) -> object:
        """Makes of a record what ``modify`` says, and returns its result; nothing comes between the two.

        Returns a wait where there is something to wait for, which may be told another wait: for the value, for room,
        for the commit. Writes of the key that come later take effect later; a GET may be answered with what was before
        only while the update waits for room or for its commit. Raises ValueUnknown and what ``modify`` raises.
        """

    def together(self, keys: Mapping[str, bool], run: Run, *, writes: bool = True) -> object:
        """Carries out one step on several keys, and returns what ``run`` does; nothing comes between its parts.

        ``keys`` says which of them it needs the values of; ``writes`` whether it needs room. Returns a wait where
        something has to be known first, which is told the same, or an error: then nothing was done. Raises
        ValueUnknown.
        """

    def delete(self, key: str) -> Outcome | RoomWait:
        """Deletes the record and tells whether there was one; a load when only the persistent tier can tell that.

        The deletion itself has happened when this returns, except with a wait, and also when it raises TierUnavailable:
        then nobody can tell whether there was a record.
        """

    def remove(self, key: str) -> Waiting[Any] | None:
        """Deletes the record without a look whether there was one; a wait where it is not done yet.

        The deletion is written to the persistent tier, which may have a record, and none is loaded for it.
        """

    def asked_by(self, load: Load, asker: Asker) -> None:
        """Tells who gets the answer of a load, so that none is made whose answer would only add to unread ones."""

    def expire(self) -> None:
        """Ends what has waited too long. To be called some ten times a second."""

    def sweep(self) -> Iterator[None]:
        """Takes what has expired out of memory, in pieces of a fraction of a millisecond. What comes meanwhile is left
        to the next time; and so is the rest, where it would take the room in pending that others need."""
        for keys in self.memory.overdue():
            if not self._may_sweep:
                return
            for key in keys:
                self._end(key)
            yield

    @property
    def _may_sweep(self) -> bool:
        """Whether pending has room for it."""
        return True

    def _end(self, key: str) -> None:
        """Takes a record out of memory that has expired, if it can: where the persistent tier may have an older one
        that has not, that one must not come back."""

    def drain_begin(self) -> None:
        """Makes every record pending that the persistent tier lacks (I7). Nothing may be requested any more."""

    def forget(self, slots: SlotSet) -> Iterator[None]:
        """Drops all that is known of these slots, which are another node's, or are about to be this one's.

        What is being loaded of them is not installed, from this call on. The iterator drops what is here, in pieces; no
        request for them may come before its end.
        """

    @property
    def holds(self) -> bool:
        """Whether anything is here that is older one day if somebody else writes these keys: records, rows that are
        still to be saved, and whatever is under way and may load or write some. Keys without a record do not count, as
        :meth:`forget_absent` is all that it takes."""
        return len(self.memory) > 0

    def forget_absent(self) -> None:
        """Has the persistent tier looked at again for the keys that are known to have no record."""
        self.absent.clear()

    @property
    def unsaved(self) -> int:
        """Rows that the persistent tier has still to learn, parked ones included."""

    @property
    def parked(self) -> int:
        """Rows that the persistent tier refused."""

    def retry_parked(self) -> int:
        """Puts the rows that the persistent tier refused back into the queue; returns how many."""

    def keys(self) -> list[str]:
        """The keys that are known now, be it as absent, each once."""

    def locate(self, key: str) -> Place:
        """Where the current value of a key is. Unlike :meth:`get` it is not a use, and moves nothing."""

    def has(self, key: str) -> bool | None:
        """Whether there is a record, as a GET would find now; None when only the persistent tier can tell. It is no
        use, and moves nothing."""

    def is_unsaved(self, key: str) -> bool:
        """Whether a write of the key is on its way to the persistent tier, be it one that nobody can read yet."""

    def unsaved_keys(self) -> list[str]:
        """The keys of what is on its way to the persistent tier, as far as it can be read: it may be deletions."""

    def estimated(self) -> tuple[int, int]:
        """How many records there are, but for those that only the persistent tier has; and how many rows that one has
        of these, or of what was deleted. Both about."""

    @property
    def rows_may_end(self) -> bool:
        """Whether the persistent tier may lose a row, as it has expired, of which memory has a record that has not."""
        return self.expiry_seen or self.memory.expiring > 0

    def is_over(self, expires: int) -> bool:
        """Whether a record that expires then has."""
        return 0 < expires <= self.memory.now_ms()

    def measured(self) -> Figures:
        """The figures as they are now."""
        memory = self.memory
        return replace(
            self.figures,
            records=len(memory),
            records_bytes=memory.bytes,
            records_clean=memory.clean,
            records_expiring=memory.expiring,
            evicted_keys=memory.evicted,
            hits_memory=memory.hits,
        )

    def check(self) -> None:
        """Audits what must hold between calls; raises AssertionError. Costs a pass over all records."""
        self.memory.check()
        assert len(set(self.memory.keys())) == len(self.memory), "memory miscounts its records"
