"""The policy S3-FIFO in Python, over what the table of :mod:`ckv.store.memory.plain` has.

Yang, Zhang, Qiu, Yue and Rashmi: FIFO Queues are All You Need for Cache Eviction (SOSP 2023).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from ckv.store.memory.plain import Record, Table

SMALL_PART: Final = 10
"""The small queue has one record in so many."""

MOST_USES: Final = 3
"""More are not counted, so that a record which was hot cools in as many rounds of the main queue."""

MOST_PASSED_OVER: Final = 512
"""Records that are passed over for one victim; the next one leaves however often it was used, so that a call takes no
longer however many records there are. What is lost is one used record in so many, and only where that many used ones
stand in a row."""


class S3FIFO(Table):
    """The victim is the first record without a use, of a small queue or of a main one.

    Records come to the small queue, which names the victim as long as it has more than a tenth of all records: most
    that come are not asked for again, and those of a scan leave from here. One with a use goes to the main queue in
    place of leaving, its uses forgotten; the paper asks for two uses there, but one measured better where memory holds
    half of the keys, and as well elsewhere. In the main queue a record with uses goes behind all others in place of
    leaving, and has one less.

    A record that leaves the small queue leaves a *ghost*, its key; when the key comes back it comes to the main queue.
    Ghosts are as many as there were records at a time; the oldest is forgotten first.

    A put of a key that is here counts as a use, the first one does not.
    """

    def __init__(self, capacity: int, max_bytes: int = 0) -> None:
        super().__init__(capacity, max_bytes)
        self._small: OrderedDict[str, None] = OrderedDict()
        self._main: OrderedDict[str, None] = OrderedDict()
        self._uses: dict[str, int] = {}
        self._ring: list[str | None] = []
        """Ghosts, None for one whose key came back. The oldest is the one behind the newest."""
        self._ghosts: dict[str, int] = {}
        """Where in the ring the ghost of a key is."""
        self._next = 0
        """Where in the ring the next ghost comes."""

    def _add(self, record: Record) -> None:
        super()._add(record)
        key = record[0]
        self._uses[key] = 0
        ghost = self._ghosts.pop(key, None)
        if ghost is None:
            self._small[key] = None
        else:
            self._ring[ghost] = None
            self._main[key] = None

    def _renew(self, record: Record) -> None:
        super()._renew(record)
        self._used(record[0])

    def _used(self, key: str) -> None:
        self._uses[key] = min(self._uses[key] + 1, MOST_USES)

    def _victim(self) -> str:
        # Whoever asks again finds the uses as this left them, and so the same one.
        for _ in range(MOST_PASSED_OVER):
            key = self._first_to_leave()
            if not self._uses[key]:
                return key
            if key in self._small:
                del self._small[key]
                self._main[key] = None
                self._uses[key] = 0
            else:
                self._main.move_to_end(key)
                self._uses[key] -= 1
        key = self._first_to_leave()
        self._uses[key] = 0
        return key

    def _first_to_leave(self) -> str:
        is_small = self._small and (not self._main or len(self._small) * SMALL_PART > self._count)
        return next(iter(self._small if is_small else self._main))

    def evict(self) -> Record:
        if self._count:
            key = self._victim()
            if key in self._small:
                self._remember(key)
        return super().evict()

    def _remember(self, key: str) -> None:
        """Has a ghost of this key, in place of the oldest one."""
        if self._next == len(self._ring):
            if len(self._ring) < self._count:
                self._ring.append(None)
            else:
                self._next = 0
        oldest = self._ring[self._next]
        if oldest is not None:
            del self._ghosts[oldest]
        self._ring[self._next] = key
        self._ghosts[key] = self._next
        self._next += 1

    def _taken_out(self, key: str) -> Record:
        (self._small if key in self._small else self._main).pop(key)
        del self._uses[key]
        return super()._taken_out(key)

    def check(self) -> None:
        super().check()
        queued = [*self._small, *self._main]
        assert len(queued) == self._count, "one is in both queues, or in none"
        assert set(queued) == self._uses.keys() == self._records.keys(), "one is lost"
        assert all(0 <= uses <= MOST_USES for uses in self._uses.values()), "uses are miscounted"
        ghosts = {key: place for place, key in enumerate(self._ring) if key is not None}
        assert ghosts == self._ghosts, "a ghost is lost"
        assert len(self._ring) <= self.capacity, "there are too many ghosts"
        assert not ghosts.keys() & self._records.keys(), "a record has a ghost"
