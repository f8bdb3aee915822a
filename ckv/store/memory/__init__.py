"""The memory tier: the contract of a table of records, and who keeps it.

A table holds at most ``capacity`` records, and a policy names the one to leave next. It never drops a record by itself:
:meth:`Memory.put` does nothing where there is no room, and the caller takes out victims (:meth:`Memory.evict`), which
have to find another place.

:class:`ckv.core.records.Table` is compiled; :mod:`ckv.store.memory.plain` is its twin in Python. Both are told what
compiled code may decide without asking the store (``may_put`` and its neighbours), by the store, where that changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, Protocol

from ckv import core
from ckv.store.memory import plain
from ckv.store.memory.lfu import LFU
from ckv.store.memory.lru import FIFO, LRU
from ckv.store.memory.s3fifo import S3FIFO
from ckv.store.memory.slots import SlotSet
from ckv.values import Value

Record = plain.Record


class Walk(Protocol):
    """A walk through the keys of a table."""

    def keys_at(self, place: int, count: int, slots: SlotSet | None = None, /) -> tuple[list[str], int]:
        """The keys in so many places from this one on, 0 at first, and the next place, 0 at the end.

        With ``slots`` only the keys in these of them.

        Whoever goes from 0 to the end meets each key once that is here all the while; one that comes or goes meanwhile
        is met or not. Any place can be asked for again.
        """

    def large_at(self, place: int, count: int, at_least: int, /) -> tuple[list[tuple[int, str]], int]:
        """Of the records in so many places those whose values have at least so many bytes: how many, and the key. Then
        the next place, as :meth:`keys_at` has it."""


class Memory(Protocol):
    """Records under one policy.

    Keys have up to 1,024 bytes and values fewer than 2^32; the compiled table raises ValueError beyond. A call raises
    MemoryError when there is no memory, and has then changed nothing.
    """

    may_put: bool
    """A PUT of a key that is here needs nothing but memory. So do the others, where they are true:"""
    may_add: bool
    """A PUT of a key that is not here, if there is room, or its victim is clean, or ``may_drop``."""
    may_drop: bool
    """A victim that is not clean needs no other place."""
    may_miss: bool
    """A GET of a key that is not here is answered: there is no such record."""
    now_ms: Callable[[], int]
    """The time of day, in milliseconds of the epoch. The table asks for it where it finds a record that expires, and
    for no other. Until it is set nothing is over."""

    @property
    def capacity(self) -> int:
        """The most records."""

    @property
    def max_bytes(self) -> int:
        """The most :attr:`bytes`, 0 for no bound. A single record may be larger."""

    @property
    def bytes(self) -> int:
        """The memory that the records take, with what it costs to keep them."""

    @property
    def clean(self) -> int:
        """Clean records."""

    @property
    def expiring(self) -> int:
        """Records that expire, those included that have."""

    @property
    def hits(self) -> int:
        """Calls of :meth:`get` that found a value, since the start."""

    @property
    def misses(self) -> int:
        """Calls of :meth:`get` that did not."""

    @property
    def evicted(self) -> int:
        """Victims since the start."""

    def get(self, key: str) -> Value | None:
        """The value of a key, which counts as a use; None when the key is not here.

        Also when its record has expired. That one stays, for only the store knows where there may be an older one: all
        the other calls but :meth:`peek` take it for any record.
        """

    def peek(self, key: str) -> Value | None:
        """The same, which does not count as a use."""

    def is_over(self, key: str) -> bool:
        """Whether the record is here and has expired."""

    def expires_of(self, key: str) -> int:
        """When the record expires, or has; 0 for never, and when it is not here."""

    def put(self, key: str, value: Value, version: int = 0, clean: bool = False, expires: int = 0) -> bool:
        """Stores a record, which counts as a use. Returns False, and does nothing, where that needs a victim.

        Without a version the record gets a new one. ``expires`` is in milliseconds of the epoch, 0 for never.
        """

    def overwrite(self, key: str, value: Value) -> bool:
        """What :attr:`may_put` allows: a put without a version of a key that is here, and for which there is room.

        Returns False, and does nothing, where it is not that.
        """

    def has_room_for(self, key: str, value: Value, expires: int = 0) -> bool:
        """Whether a put of this record would need no victim."""

    def next_victim(self) -> Record | None:
        """The record that has to leave next, None when there is none. It is not a use."""

    def evict(self) -> Record:
        """Takes the victim out. Raises LookupError when there is no record."""

    def remove(self, key: str) -> bool:
        """Takes a record out; returns whether it was here."""

    def clear(self) -> None:
        """Takes all records out."""

    def new_version(self) -> int:
        """The next version, for a write that comes here later or not at all."""

    def version_of(self, key: str) -> int:
        """The version of a record; 0 when it is not here."""

    def is_clean(self, key: str) -> bool:
        """Whether the record is here and clean."""

    def mark_clean(self, key: str, version: int) -> None:
        """The persistent tier has this version. Does nothing when another one is here, or none."""

    def forget_clean(self) -> None:
        """No record is clean any more."""

    def record(self, key: str) -> Record | None:
        """The record as it is, also when it has expired; None when it is not here. It is not a use."""

    def records(self) -> Iterator[Record]:
        """The records, in no particular order, to be taken in as many pieces as one likes.

        One that is here all the while comes once; one that comes or goes meanwhile may.
        """

    def keys(self) -> list[str]:
        """The keys of all records as they are now."""

    def walk(self) -> Walk:
        """A walk through the keys, in as many pieces as one likes, while records come and go."""

    def overdue(self) -> Iterator[list[str]]:
        """The keys of records that have expired, in pieces of less than a hundred, which may be empty: each is of
        the moment when it is asked for, and found in some 50 us.

        One that had expired when this began, and is here all the while, comes once.
        """

    def watch(self, slots: SlotSet | None) -> None:
        """From now on takes note of the records of these slots that are put and are not clean; with None of none.

        What was noted is forgotten. Raises MemoryError.
        """

    def written(self) -> list[str]:
        """The keys that were noted since the last call, of records that are here and not clean; each once.

        Where very much was written it may be those of all such records.
        """

    def __len__(self) -> int: ...

    def __contains__(self, key: str) -> bool: ...

    def check(self) -> None:
        """Audits the table in a pass over all of it; raises AssertionError."""


class Policy(Protocol):
    """Makes the table of one policy."""

    def __call__(self, capacity: int, max_bytes: int = 0) -> Memory:
        """A table for 1 to :data:`~ckv.values.MAX_RECORDS` records, and so many bytes; 0 for no bound in bytes."""


PLAIN: Final[dict[str, Policy]] = {"lru": LRU, "lfu": LFU, "fifo": FIFO, "s3fifo": S3FIFO}

TABLES: Final = {"plain": PLAIN}
"""What there is, as the tests compare it: policy name to the table that follows it, in Python and compiled."""

if core.COMPILED:
    from ckv.core.records import Table

    TABLES["compiled"] = {name: partial(Table, name) for name in PLAIN}

POLICIES: Final = TABLES["compiled" if core.COMPILED else "plain"]
"""Policy name to the table that follows it, in what this process runs on."""
