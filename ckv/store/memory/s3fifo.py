"""The policy S3-FIFO in Python, over what the table of :mod:`ckv.store.memory.plain` has.

Yang, Zhang, Qiu, Yue and Rashmi: FIFO Queues are All You Need for Cache Eviction (SOSP 2023).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from ckv.store.memory.plain import Record, Table

ALL: Final = 1 << 30
"""What the small queue has is told in parts of this, as the compiled twin has no fractions."""

FIRST_PART: Final = ALL // 4
LEAST_PART: Final = ALL // 100 + 1
MOST_PART: Final = ALL // 20 * 7

DRIFTING_PART: Final = ALL // 5
"""Where the small queue has more, popularity changes."""

COLD: Final = 24
"""Sixteenths of a record that the small queue has more for one of the main queue that was not used for a round."""

WARM: Final = -16
"""The same for one that was."""

LATE: Final = 1
"""The same for a key that comes back late."""

MOST_USES: Final = 3
"""More are not counted, so that a record which was hot cools in as many rounds of the main queue."""

MOST_PASSED_OVER: Final = 512
"""Records that are passed over for one victim; the next one leaves however often it was used, so that a call takes no
longer however many records there are. What is lost is one used record in so many, and only where that many used ones
stand in a row."""


class S3FIFO(Table):
    """The victim is the first record without a use, of a small queue or of a main one.

    Records come to the small queue, which names the victim as long as it has more than its part of all records: most
    that come are not asked for again, and those of a scan leave from here. One with a use goes to the main queue in
    place of leaving. In the main queue a record with uses goes behind all others in place of leaving. Both cost a use.

    A record that leaves the small queue leaves a *ghost*, its key; when the key comes back it comes to the main queue.
    Ghosts are as many as there were records at a time; the oldest is forgotten first.

    A put of a key that is here counts as a use, the first one does not.

    In the paper the part of the small queue is a tenth. A smaller one is better where the same keys stay popular, and a
    larger one where others become so: the latest have the time to be used again, and the main queue gives up what was
    popular before. Here the part changes, and records of the main queue tell where to. When it is the turn of one, it
    was used since it went behind all others, or not. For each that was not, the part grows, and for each that was, it
    shrinks by two thirds as much, so that it stays where two of five were not. By Zipf's law one of ten to one of four
    was not, and half of them where popularity changes.

    As long as the part is small, a ghost of the older half counts for little: most such keys are popular by chance.
    But the part grows by it, so that a main queue whose turn never comes does not keep for ever what nobody asks for.
    While the part is large, records forget all uses on their way to the main queue, as in the paper. It asks for two
    there, but one measured better.
    """

    def __init__(self, capacity: int, max_bytes: int = 0) -> None:
        super().__init__(capacity, max_bytes)
        self._small: OrderedDict[str, None] = OrderedDict()
        self._main: OrderedDict[str, None] = OrderedDict()
        self._uses: dict[str, int] = {}
        self._left: dict[str, int] = {}
        """Of keys that went behind all others of the main queue: the uses that were left to them."""
        self._part = FIRST_PART
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
        if ghost is not None:
            self._ring[ghost] = None
            if (self._next - 1 - ghost) % len(self._ring) > len(self._ring) // 2:
                self._move_part(LATE)
                if self._part <= DRIFTING_PART:
                    ghost = None
        (self._small if ghost is None else self._main)[key] = None

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
            left = self._uses[key] - 1
            if key in self._main:
                self._heed(key)
                del self._main[key]
            else:
                del self._small[key]
                if self._part > DRIFTING_PART:
                    left = 0
            self._main[key] = None
            self._uses[key] = self._left[key] = left
        key = self._first_to_leave()
        self._uses[key] = 0
        return key

    def _first_to_leave(self) -> str:
        is_small = self._small and (not self._main or len(self._small) * ALL > self._part * self._count)
        return next(iter(self._small if is_small else self._main))

    def _heed(self, key: str) -> None:
        """Takes what a record of the main queue tells whose turn it is: whether it was used since it was here last."""
        uses = self._uses[key]
        if uses or key in self._left:
            self._move_part(COLD if uses == self._left.get(key, 0) else WARM)

    def _move_part(self, sixteenths: int) -> None:
        part = self._part + sixteenths * (ALL // 16 // (self._count + 1))
        self._part = min(max(part, LEAST_PART), MOST_PART)

    def evict(self) -> Record:
        if self._count:
            key = self._victim()
            if key in self._small:
                self._remember(key)
            else:
                self._heed(key)
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
        self._left.pop(key, None)
        return super()._taken_out(key)

    def check(self) -> None:
        super().check()
        queued = [*self._small, *self._main]
        assert len(queued) == self._count, "one is in both queues, or in none"
        assert set(queued) == self._uses.keys() == self._records.keys(), "one is lost"
        assert all(0 <= uses <= MOST_USES for uses in self._uses.values()), "uses are miscounted"
        assert self._left.keys() <= self._main.keys(), "what is known of one that left is not forgotten"
        assert LEAST_PART <= self._part <= MOST_PART, "the small queue has no part"
        ghosts = {key: place for place, key in enumerate(self._ring) if key is not None}
        assert ghosts == self._ghosts, "a ghost is lost"
        assert len(self._ring) <= self.capacity, "there are too many ghosts"
        assert not ghosts.keys() & self._records.keys(), "a record has a ghost"
