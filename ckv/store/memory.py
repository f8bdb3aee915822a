"""The memory tier: at most ``capacity`` records, and a policy that names the one to leave.

The policies are those of `cachebox <https://pypi.org/project/cachebox/>`_ (Rust), half the price of an OrderedDict. Its
caches are created without a bound, so that they never drop a record by themselves: who leaves is decided here, and
handed to the caller, who must find it another place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

import cachebox

from ckv.values import Value

UNBOUNDED: Final = 0

Record = tuple[str, Value]


class Memory(Protocol):
    """Records under one policy. No method but :meth:`put` makes a record leave."""

    @property
    def get(self) -> Callable[[str], Value | None]:
        """The value of a key, which counts as a use; None when the key is not here.

        A property, so that a policy can offer its container's own method: this is the hottest call of all.
        """

    @property
    def peek(self) -> Callable[[str], Value | None]:
        """The value of a key, which does not count as a use."""

    def put(self, key: str, value: Value) -> Record | None:
        """Stores a record, which counts as a use; returns the victim that had to leave for it, if one had to."""

    def remove(self, key: str) -> Value | None:
        """Takes a record out; returns its value."""

    def has_room_for(self, key: str) -> bool:
        """Whether a put of this key would need no victim."""

    def records(self) -> Iterable[Record]:
        """All records, in no particular order. Nothing may be changed meanwhile."""

    def keys(self) -> list[str]:
        """The keys of all records as they are now."""

    def __len__(self) -> int: ...

    def __contains__(self, key: str) -> bool: ...


class _Ordered:
    """Records in one of cachebox's orders; its first one is the victim."""

    def __init__(
        self, capacity: int, records: cachebox.BaseCacheImpl[str, Value], peek: Callable[[str], Value | None]
    ) -> None:
        self._capacity = capacity
        self._records = records
        self.get: Callable[[str], Value | None] = records.get
        self.peek: Callable[[str], Value | None] = peek
        self._insert = records.insert

    def put(self, key: str, value: Value) -> Record | None:
        if self._insert(key, value) is None and len(self._records) > self._capacity:
            return self._records.popitem()
        return None

    def remove(self, key: str) -> Value | None:
        return self._records.pop(key, None)

    def has_room_for(self, key: str) -> bool:
        return len(self._records) < self._capacity or key in self._records

    def records(self) -> Iterable[Record]:
        return self._records.items()

    def keys(self) -> list[str]:
        return list(self._records.keys())

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, key: str) -> bool:
        return key in self._records


class LRU(_Ordered):
    """The victim is the record that was not used for the longest time."""

    def __init__(self, capacity: int) -> None:
        records: cachebox.LRUCache[str, Value] = cachebox.LRUCache(UNBOUNDED)
        super().__init__(capacity, records, records.peek)


class FIFO(_Ordered):
    """The victim is the record that came first. Uses and new values do not change its place."""

    def __init__(self, capacity: int) -> None:
        records: cachebox.FIFOCache[str, Value] = cachebox.FIFOCache(UNBOUNDED)
        super().__init__(capacity, records, records.get)


class LFU:
    """The victim is the record with the fewest uses; among equals, the one that came first.

    A put counts as a use. The uses of a record are forgotten when it leaves.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        # cachebox's LFU forgets the uses of a key whose value is replaced, so it only counts, and the values are here.
        self._values: dict[str, Value] = {}
        self._uses: cachebox.LFUCache[str, None] = cachebox.LFUCache(UNBOUNDED)
        self.peek: Callable[[str], Value | None] = self._values.get

    def get(self, key: str) -> Value | None:
        value = self._values.get(key)
        if value is not None:
            self._uses.get(key)
        return value

    def put(self, key: str, value: Value) -> Record | None:
        victim = None
        if key in self._values:
            self._uses.get(key)
        else:
            # Before the newcomer is in, for by its uses it would be the next to leave.
            if len(self._values) >= self._capacity:
                oldest, _ = self._uses.popitem()
                victim = (oldest, self._values.pop(oldest))
            self._uses.insert(key, None)
        self._values[key] = value
        return victim

    def remove(self, key: str) -> Value | None:
        self._uses.pop(key, None)
        return self._values.pop(key, None)

    def has_room_for(self, key: str) -> bool:
        return len(self._values) < self._capacity or key in self._values

    def records(self) -> Iterable[Record]:
        return self._values.items()

    def keys(self) -> list[str]:
        return list(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: str) -> bool:
        return key in self._values


POLICIES: Final[dict[str, Callable[[int], Memory]]] = {"lru": LRU, "lfu": LFU, "fifo": FIFO}
"""Policy name to the memory that follows it."""
