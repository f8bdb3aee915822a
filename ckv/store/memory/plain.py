"""The table of records in Python: where nothing is compiled it is the one that runs, and everywhere what tests compare.

:class:`ckv.store.memory.Memory` says what its methods do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final

from ckv.store.memory.ends import Ends
from ckv.store.memory.slots import SlotSet
from ckv.values import Value, size_of

Record = tuple[str, Value, int, bool, int]
"""Key, value, version, whether it is clean, and when it expires, in milliseconds of the epoch; 0 for never.

The version is a number of 64 bits that grows with every write of the node: two records are the same write when their
versions are equal. A record is clean when the persistent tier has this version of it.
"""

OVERHEAD_BYTES: Final = 268
"""About what a record takes besides its key and its value: its tuple, its version and its places in dicts, which have
room for others too. It is less while nothing has to leave. An LFU's takes another 100, an S3FIFO's 600."""


EXPIRY_BYTES: Final = 110
"""What a record takes that expires, besides: the number, and its place in a dict."""


class Listed:
    """A walk through the keys that were here when it began: :class:`ckv.store.memory.Walk`."""

    def __init__(self, keys: list[str], record: Callable[[str], Record | None]) -> None:
        self._keys = keys
        self._record = record

    def keys_at(self, place: int, count: int, slots: SlotSet | None = None) -> tuple[list[str], int]:
        end = place + count
        keys = self._keys[place:end]
        if slots is not None:
            keys = [key for key in keys if key in slots]
        return keys, end if end < len(self._keys) else 0

    def large_at(self, place: int, count: int, at_least: int) -> tuple[list[tuple[int, str]], int]:
        keys, following = self.keys_at(place, count)
        records = [record for key in keys if (record := self._record(key)) is not None]
        sizes = [(size_of(record[1]), record[0]) for record in records]
        return [found for found in sizes if found[0] >= at_least], following


class Table:
    """What the policies share: records in dicts, and what is counted of them. The order is theirs."""

    def __init__(self, capacity: int, max_bytes: int = 0) -> None:
        self.capacity = capacity
        self.max_bytes = max_bytes
        self.bytes = 0
        self.clean = 0
        self.expiring = 0
        self.now_ms: Callable[[], int] = int  # the beginning of the epoch
        self.hits = 0
        self.misses = 0
        self.evicted = 0
        self.may_put = self.may_add = self.may_drop = self.may_miss = False
        self._version = 0
        self._count = 0
        self._watched: SlotSet | None = None
        self._noted: dict[str, None] = {}
        self._ends = Ends()
        self._records: dict[str, Record] = {}
        """Where a record that comes is put. The dict has the key as the object that is in the record."""
        self._older: list[dict[str, Record]] = []
        """Where others are."""
        self._generations = [self._records]
        """All of these."""

    def get(self, key: str) -> Value | None:
        record = self._find(key)
        if record is None:
            self.misses += 1
            return None
        self._used(record[0])
        return self._told(record)

    def _told(self, record: Record) -> Value | None:
        """What a GET says that has found this record."""
        if record[4] and record[4] <= self.now_ms():
            self.misses += 1
            return None
        self.hits += 1
        return record[1]

    def peek(self, key: str) -> Value | None:
        record = self._find(key)
        return record[1] if record is not None and not self._is_over(record) else None

    def is_over(self, key: str) -> bool:
        record = self._find(key)
        return record is not None and self._is_over(record)

    def _is_over(self, record: Record) -> bool:
        return 0 < record[4] <= self.now_ms()

    def expires_of(self, key: str) -> int:
        record = self._find(key)
        return record[4] if record is not None else 0

    def _find(self, key: str) -> Record | None:
        return self._records.get(key) or self._find_older(key)

    def _find_older(self, key: str) -> Record | None:
        for generation in self._older:
            record = generation.get(key)
            if record is not None:
                return record
        return None

    def put(self, key: str, value: Value, version: int = 0, clean: bool = False, expires: int = 0) -> bool:
        old = self._records.get(key) or self._find_older(key)
        if old is None:
            if self._count >= self.capacity:
                return False
            more = _size(key, value, expires)
        else:
            more = value.__sizeof__() - old[1].__sizeof__()
            if expires or old[4]:
                more += EXPIRY_BYTES * ((expires != 0) - (old[4] != 0))
        if self.max_bytes and not self._fits(old, more):
            return False
        if not version:
            version = self._version + 1
        if self._watched is not None and not clean and key in self._watched:
            self._noted[key] = None
        if expires:
            self._ends.add(key if old is None else old[0], expires)
        if old is None:
            self._add((key, value, version, clean, expires))
            self._count += 1
        else:
            self._renew((old[0], value, version, clean, expires))
            self.clean -= old[3]
            if old[4]:
                self._ends.remove(key, old[4], expires)
                self.expiring -= 1
        if version > self._version:
            self._version = version
        self.bytes += more
        self.clean += clean
        self.expiring += expires != 0
        return True

    def overwrite(self, key: str, value: Value) -> bool:
        return self.may_put and key in self and self.put(key, value)

    def _add(self, record: Record) -> None:
        self._records[record[0]] = record

    def _renew(self, record: Record) -> None:
        """What a PUT of a key that is here does."""
        self._replace(record)

    def _replace(self, record: Record) -> None:
        """Puts a record in the place of the one with its key."""
        key = record[0]
        for generation in self._generations:
            if key in generation:
                generation[key] = record
                return

    def _used(self, key: str) -> None:
        """What a GET does to the order."""

    def has_room_for(self, key: str, value: Value, expires: int = 0) -> bool:
        old = self._find(key)
        if old is None:
            return self._count < self.capacity and self._fits(old, _size(key, value, expires))
        return self._fits(old, _size(key, value, expires) - _size(key, old[1], old[4]))

    def _fits(self, old: Record | None, more: int) -> bool:
        return not self.max_bytes or self.bytes + more <= self.max_bytes or self._count == (old is not None)

    def next_victim(self) -> Record | None:
        return self._find(self._victim()) if self._count else None

    def evict(self) -> Record:
        if not self._count:
            raise LookupError("there is no record to evict")
        key = self._victim()
        self.evicted += 1
        return self._taken_out(key)

    def _victim(self) -> str:
        """The key of the next one, where there are records."""
        raise NotImplementedError

    def remove(self, key: str) -> bool:
        if key not in self:
            return False
        self._taken_out(key)
        return True

    def _taken_out(self, key: str) -> Record:
        """Takes out the record of a key that is here."""
        record = None
        for generation in self._generations:
            record = generation.pop(key, None)
            if record is not None:
                break
        assert record is not None
        if self._noted:
            self._noted.pop(key, None)
        self._count -= 1
        self.bytes -= _size(key, record[1], record[4])
        self.clean -= record[3]
        if record[4]:
            self._ends.remove(key, record[4])
            self.expiring -= 1
        return record

    def clear(self) -> None:
        for key in self.keys():
            self._taken_out(key)

    def new_version(self) -> int:
        self._version += 1
        return self._version

    def version_of(self, key: str) -> int:
        record = self._find(key)
        return record[2] if record is not None else 0

    def is_clean(self, key: str) -> bool:
        record = self._find(key)
        return record is not None and record[3]

    def mark_clean(self, key: str, version: int) -> None:
        record = self._find(key)
        if record is not None and record[2] == version and not record[3]:
            self._replace((*record[:3], True, record[4]))
            self.clean += 1

    def forget_clean(self) -> None:
        for generation in self._generations:
            for key, record in generation.items():
                if record[3]:
                    generation[key] = (*record[:3], False, record[4])
        self.clean = 0

    def record(self, key: str) -> Record | None:
        return self._find(key)

    def records(self) -> Iterator[Record]:
        for key in self.keys():
            record = self._find(key)
            if record is not None:
                yield record

    def keys(self) -> list[str]:
        return list(chain.from_iterable(self._generations))

    def walk(self) -> Listed:
        return Listed(self.keys(), self._find)

    def overdue(self) -> Iterator[list[str]]:
        for keys in self._ends.until(self.now_ms()):
            yield [key for key in keys if self.is_over(key)]

    def watch(self, slots: SlotSet | None) -> None:
        self._watched = slots
        self._noted = {}

    def written(self) -> list[str]:
        noted, self._noted = self._noted, {}
        return [key for key in noted if (record := self._find(key)) is not None and not record[3]]

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: str) -> bool:
        return self._find(key) is not None

    def check(self) -> None:
        records = list(self.records())
        assert self._count == len(records) == len(set(self.keys())), "a record is in two places, or they are miscounted"
        assert self._count <= self.capacity, "there are too many records"
        keys = {id(key) for key in self.keys()}
        assert all(id(record[0]) in keys for record in records), "a record is under another key"
        assert self.clean == sum(record[3] for record in records), "clean is miscounted"
        assert self.expiring == sum(record[4] != 0 for record in records), "those that expire are miscounted"
        ends = {(record[0], record[4] // 1000) for record in records if record[4]}
        assert self._ends.pairs() == ends, "it is not known when one expires"
        assert self.bytes == sum(_size(record[0], record[1], record[4]) for record in records), "bytes are miscounted"


def _size(key: str, value: Value, expires: int) -> int:
    # Which sys.getsizeof() adds nothing to, for what the collector does not look at, and takes longer.
    return key.__sizeof__() + value.__sizeof__() + (OVERHEAD_BYTES + EXPIRY_BYTES if expires else OVERHEAD_BYTES)
