"""The table of records in Python: where nothing is compiled it is the one that runs, and everywhere what tests compare.

:class:`ckv.store.memory.Memory` says what its methods do.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final

from ckv.values import Value

Record = tuple[str, Value, int, bool]
"""Key, value, version, and whether it is clean.

The version is a number of 64 bits that grows with every write of the node: two records are the same write when their
versions are equal. A record is clean when the persistent tier has this version of it.
"""

OVERHEAD_BYTES: Final = 260
"""About what a record takes besides its key and its value: its tuple, its version and a place in an OrderedDict, which
has room for others too. An LFU's takes another 100."""


class Table:
    """Records in the order in which they are to leave: with nothing more, FIFO."""

    def __init__(self, capacity: int, max_bytes: int = 0) -> None:
        self.capacity = capacity
        self.max_bytes = max_bytes
        self.bytes = 0
        self.clean = 0
        self.hits = 0
        self.misses = 0
        self.evicted = 0
        self.may_put = self.may_add = self.may_drop = self.may_miss = False
        self._version = 0
        self._records: OrderedDict[str, Record] = OrderedDict()
        self._use: Callable[[str], None] | None = None
        """What a use of a key does to the order."""

    def get(self, key: str) -> Value | None:
        record = self._records.get(key)
        if record is None:
            self.misses += 1
            return None
        if self._use is not None:
            self._use(key)
        self.hits += 1
        return record[1]

    def peek(self, key: str) -> Value | None:
        record = self._records.get(key)
        return record[1] if record is not None else None

    def put(self, key: str, value: Value, version: int = 0, clean: bool = False) -> bool:
        old = self._records.get(key)
        if old is None:
            if len(self._records) >= self.capacity:
                return False
            more = _size(key, value)
        else:
            more = value.__sizeof__() - old[1].__sizeof__()
        if self.max_bytes and not self._fits(old, more):
            return False
        if not version:
            version = self._version + 1
        if version > self._version:
            self._version = version
        self._records[key] = (key, value, version, clean)
        self.bytes += more
        if clean:
            self.clean += 1
        if old is not None and old[3]:
            self.clean -= 1
        if self._use is not None:
            self._use(key)
        return True

    def has_room_for(self, key: str, value: Value) -> bool:
        old = self._records.get(key)
        if old is None:
            return len(self._records) < self.capacity and self._fits(old, _size(key, value))
        return self._fits(old, value.__sizeof__() - old[1].__sizeof__())

    def _fits(self, old: Record | None, more: int) -> bool:
        return not self.max_bytes or self.bytes + more <= self.max_bytes or len(self._records) == (old is not None)

    def next_victim(self) -> Record | None:
        return self._records[self._victim()] if self._records else None

    def evict(self) -> Record:
        if not self._records:
            raise LookupError("there is no record to evict")
        self.evicted += 1
        return self._taken_out(self._victim())

    def _victim(self) -> str:
        return next(iter(self._records))

    def remove(self, key: str) -> bool:
        if key not in self._records:
            return False
        self._taken_out(key)
        return True

    def _taken_out(self, key: str) -> Record:
        record = self._records.pop(key)
        self.bytes -= _size(key, record[1])
        self.clean -= record[3]
        return record

    def clear(self) -> None:
        for key in self.keys():
            self._taken_out(key)

    def new_version(self) -> int:
        self._version += 1
        return self._version

    def version_of(self, key: str) -> int:
        record = self._records.get(key)
        return record[2] if record is not None else 0

    def is_clean(self, key: str) -> bool:
        record = self._records.get(key)
        return record is not None and record[3]

    def mark_clean(self, key: str, version: int) -> None:
        record = self._records.get(key)
        if record is not None and record[2] == version and not record[3]:
            self._records[key] = (*record[:3], True)
            self.clean += 1

    def forget_clean(self) -> None:
        for key, record in self._records.items():
            if record[3]:
                self._records[key] = (*record[:3], False)
        self.clean = 0

    def records(self) -> Iterator[Record]:
        for key in self.keys():
            record = self._records.get(key)
            if record is not None:
                yield record

    def keys(self) -> list[str]:
        return list(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, key: str) -> bool:
        return key in self._records

    def check(self) -> None:
        assert len(self._records) <= self.capacity, "there are too many records"
        assert all(key == record[0] for key, record in self._records.items()), "a record is under another key"
        assert self.clean == sum(record[3] for record in self._records.values()), "clean is miscounted"
        assert self.bytes == sum(_size(key, record[1]) for key, record in self._records.items()), "bytes are miscounted"


class FIFO(Table):
    """The victim is the record that came first. Uses and new values do not change its place."""


class LRU(Table):
    """The victim is the record that was not used for the longest time."""

    def __init__(self, capacity: int, max_bytes: int = 0) -> None:
        super().__init__(capacity, max_bytes)
        self._use = self._records.move_to_end


class LFU(Table):
    """The victim is the record with the fewest uses; among equals, the one that came first to this number.

    A put counts as a use. The uses of a record are forgotten when it leaves.
    """

    def __init__(self, capacity: int, max_bytes: int = 0) -> None:
        super().__init__(capacity, max_bytes)
        self._use = self._used
        self._uses: dict[str, int] = {}
        self._with: dict[int, OrderedDict[str, None]] = {}
        """The keys with a number of uses, in the order in which they came to it."""
        self._fewest = 1
        """There are no keys with fewer uses."""

    def _used(self, key: str) -> None:
        uses = self._uses.get(key, 0)
        if uses:
            self._leave(key, uses)
        else:
            self._fewest = 1
        self._uses[key] = uses + 1
        self._with.setdefault(uses + 1, OrderedDict())[key] = None

    def _leave(self, key: str, uses: int) -> None:
        del self._with[uses][key]
        if not self._with[uses]:
            del self._with[uses]

    def _victim(self) -> str:
        if self._fewest not in self._with:
            self._fewest = min(self._with)
        return next(iter(self._with[self._fewest]))

    def _taken_out(self, key: str) -> Record:
        self._leave(key, self._uses.pop(key))
        return super()._taken_out(key)

    def check(self) -> None:
        super().check()
        assert self._uses.keys() == self._records.keys(), "uses are miscounted"
        assert {key: uses for uses, keys in self._with.items() for key in keys} == self._uses, "an order is broken"


def _size(key: str, value: Value) -> int:
    # Which sys.getsizeof() adds nothing to, for what the collector does not look at, and takes longer.
    return key.__sizeof__() + value.__sizeof__() + OVERHEAD_BYTES
