"""The policy LFU in Python, over what the table of :mod:`ckv.store.memory.plain` has."""

from __future__ import annotations

from collections import OrderedDict

from ckv.store.memory.plain import Record, Table


class LFU(Table):
    """The victim is the record with the fewest uses; among equals, the one that came first to this number.

    A put counts as a use. The uses of a record are forgotten when it leaves.
    """

    def __init__(self, capacity: int, max_bytes: int = 0) -> None:
        super().__init__(capacity, max_bytes)
        self._uses: dict[str, int] = {}
        self._with: dict[int, OrderedDict[str, None]] = {}
        """The keys with a number of uses, in the order in which they came to it."""
        self._fewest = 1
        """There are no keys with fewer uses."""

    def _add(self, record: Record) -> None:
        super()._add(record)
        self._used(record[0])

    def _renew(self, record: Record) -> None:
        super()._renew(record)
        self._used(record[0])

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
