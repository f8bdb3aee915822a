"""The policies FIFO and LRU in Python, over what the table of :mod:`ckv.store.memory.plain` has."""

from __future__ import annotations

from contextlib import suppress

from ckv.store.memory.plain import Record, Table
from ckv.values import Value


class FIFO(Table):
    """The victim is the record that came first. Uses and new values do not change its place.

    A dict has its keys in the order in which they came, but to find the first it walks over all that have left before.
    So its keys are listed when the first has to leave, and from then on records come to another dict. Such a dict is a
    *generation*: an old one only loses records, the young one has those that came since, and a spare one is the next.
    """

    def __init__(self, capacity: int, max_bytes: int = 0) -> None:
        super().__init__(capacity, max_bytes)
        self._leaving: list[str] = []
        """The keys of the oldest generation, the next one to leave last, and among them keys that it has no more."""
        self._set([_with_room(), _with_room()])

    def _set(self, generations: list[dict[str, Record]]) -> None:
        """Has these generations: the old ones in the order in which they leave, the young one, the spare one."""
        self._older, self._generations = generations[:-2], generations
        self._records, self._spare = generations[-2], generations[-1]

    def _begin(self) -> None:
        """Makes the spare generation the young one. Raises MemoryError, and has changed nothing then."""
        self._set([*self._generations, _with_room()])

    def _victim(self) -> str:
        while True:
            oldest, leaving = self._generations[0], self._leaving
            while leaving:
                if leaving[-1] in oldest:
                    return leaving[-1]
                leaving.pop()
            if not self._older or self._older is self._generations:
                self._begin()
            elif oldest:
                self._leaving = list(reversed(oldest))
            else:
                self._set(self._generations[1:])

    def remove(self, key: str) -> bool:
        removed = super().remove(key)
        self._forget_left()
        return removed

    def _forget_left(self) -> None:
        """Keeps keys of records that are gone from taking much memory."""
        if len(self._leaving) > 2 * len(self._generations[0]):
            self._leaving = []  # the next victim has those listed that are left

    def clear(self) -> None:
        super().clear()
        self._leaving = []

    def check(self) -> None:
        super().check()
        oldest = self._generations[0]
        listed = [key for key in reversed(self._leaving) if key in oldest]
        assert not self._leaving or listed == list(oldest), "an order is broken"
        assert self._generations[-1] is self._spare, "the spare is not the next one"


class LRU(FIFO):
    """The victim is the record that was not used for the longest time: a use is as if it came again."""

    def __init__(self, capacity: int, max_bytes: int = 0) -> None:
        super().__init__(capacity, max_bytes)
        self._nothing: dict[str, Record] = {}
        """In the place of the young generation while there is no spare, and all are old: no use finds a record here."""

    def get(self, key: str) -> Value | None:
        records = self._records
        record = records.pop(key, None)
        if record is None:
            record = self._find_older(key)
            if record is None:
                self.misses += 1
                return None
            self._renew(record)
        else:
            try:
                records[record[0]] = record
            except MemoryError:
                self._keep(record)
        if record[4]:
            return self._told(record)
        self.hits += 1
        return record[1]

    def overwrite(self, key: str, value: Value) -> bool:
        # What put() does, without its other cases and its calls: this is most of what a node does for a PUT.
        records = self._records
        old = records.get(key)
        if old is None or old[4] or not self.may_put or self._watched is not None:
            return super().overwrite(key, value)
        more = value.__sizeof__() - old[1].__sizeof__()
        if self.max_bytes and not self._fits(old, more):
            return False
        record = (old[0], value, self._version + 1, False, 0)
        del records[key]
        try:
            records[record[0]] = record
        except MemoryError:
            self._keep(record)
        self._version = record[2]
        self.clean -= old[3]
        self.bytes += more
        return True

    def _add(self, record: Record) -> None:
        if self._older is self._generations:
            self._begin()
        self._records[record[0]] = record

    def _renew(self, record: Record) -> None:
        """Puts a record behind all others, and takes out the one that has its key."""
        key = record[0]
        if self._records.pop(key, None) is None:
            if self._older is self._generations:
                self._begin()
            self._forget_left()
            for generation in self._generations:
                if generation.pop(key, None) is not None:
                    break
        # Nothing may fail between taking it out and putting it in.
        try:
            self._records[key] = record
        except MemoryError:
            self._keep(record)

    def _keep(self, record: Record) -> None:
        """Takes the record of a use for which the young generation gets no memory: it ends there."""
        self._spare[record[0]] = record
        self._records, self._older = self._nothing, self._generations
        with suppress(MemoryError):  # what comes next tries again
            self._begin()


def _with_room() -> dict[str, Record]:
    """An empty dict that has memory for its first record already: a deletion gives none back."""
    room: dict[str, Record] = {"": ("", "", 0, False, 0)}
    del room[""]
    return room
