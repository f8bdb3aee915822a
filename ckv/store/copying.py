"""Slots that leave for another node where there is no persistent tier: their records go to that node as a copy.

As :mod:`ckv.store.moving` does by way of the persistent tier, in the same steps:

1. :meth:`Copy.prepare`, while they are served: the records that are here, in pieces, and then in rounds what was
   written meanwhile, until little is left.
2. From :meth:`Copy.freeze` on nobody may ask the store for these slots.
3. :meth:`Copy.hand_over`: what was written, or has gone, since it was sent. After its last chunk the other node has
   what there is here, which the sums in each :class:`Chunk` show.

What is here stays, whatever becomes of the move, until :meth:`ckv.store.Records.forget`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final, NamedTuple

from ckv.store import Records
from ckv.store.memory import Memory
from ckv.store.memory.slots import SlotSet
from ckv.store.moving import FEW, MOST_ROUNDS, PIECE, pieces
from ckv.values import Value, to_bytes

Copied = tuple[str, Value | None, int]
"""A key, its value, or None where there is no record any more, and when it expires; 0 for never."""

CHUNK_RECORDS: Final = 256
CHUNK_BYTES: Final = 32 * 1024
"""A chunk is closed when it has so many records, or bytes of keys and values: about a millisecond at the other node."""

SUMS: Final = 2**64
"""Digests are summed modulo this."""


class Chunk(NamedTuple):
    """Some records for the other node, and what it has when it has taken them."""

    records: list[Copied]
    total: int
    """Records."""
    digest: int
    """The sum of their digests, modulo 2^64, so that their order is all the same."""
    is_last: bool = False


def digest_of(key: str, value: Value, expires: int) -> int:
    """A number below 2^64 that another record hardly has."""
    name, kind = to_bytes(key), "s" if isinstance(value, str) else "b"
    head = f"{len(name)} {expires} {kind} ".encode()
    return int.from_bytes(blake2b(head + name + to_bytes(value), digest_size=8).digest(), "little")


class Copy:
    """Some slots on their way to another node. One at a time."""

    def __init__(self, slots: SlotSet, memory: Memory) -> None:
        self.slots = slots
        self._memory = memory
        self._sent: dict[str, tuple[int, int]] = {}
        """Of each record that the other node has: its version here, and its digest."""
        self._digest = 0
        self._chunk: list[Copied] = []
        self._bytes = 0
        self.keys = 0
        """Records of these slots that were found in memory."""
        self.rows = 0
        """Records that were sent, or that were said to have gone."""
        self.rounds = 0
        self.prepared = False
        self.frozen = False

    def prepare(self) -> Iterator[Chunk | None]:
        """What there is, while requests go on."""
        self._memory.watch(self.slots)
        for keys in pieces(self._memory, self.slots):
            self.keys += len(keys)
            yield from self._send(keys)
        left = FEW
        while left >= FEW and self.rounds < MOST_ROUNDS:
            written = self._memory.written()
            left = len(written)
            self.rounds += 1
            yield from self._send(written)
        yield self._close()
        self.prepared = True

    def freeze(self) -> None:
        """From this moment on nobody asks for these slots, before :meth:`end`."""
        self.frozen = True

    def hand_over(self) -> Iterator[Chunk | None]:
        """The rest. The last chunk is the only one that says so."""
        yield from self._send(self._memory.written())
        # Nobody takes note of a record that was deleted, or dropped as there was no room.
        sent = list(self._sent)
        for start in range(0, len(sent), PIECE):
            some = sent[start : start + PIECE]
            yield from self._send([key for key in some if self._memory.version_of(key) != self._sent[key][0]])
        yield self._close(is_last=True)

    def end(self) -> None:
        """It is over, whatever came of it."""
        self._memory.watch(None)
        self._sent.clear()

    def _send(self, keys: Iterable[str]) -> Iterator[Chunk | None]:
        for key in keys:
            self._add(key)
            if len(self._chunk) >= CHUNK_RECORDS or self._bytes >= CHUNK_BYTES:
                yield self._close()
        yield None

    def _add(self, key: str) -> None:
        """Has the record as it is now sent, if the other node has not got it so."""
        record = self._memory.record(key)
        version, digest = self._sent.get(key, (0, 0))
        if record is None:
            if not version:
                return
            del self._sent[key]
            self._digest -= digest
            self._chunk.append((key, None, 0))
        else:
            _, value, now, _, expires = record
            if now == version:
                return
            self._sent[key] = now, (new := digest_of(key, value, expires))
            self._digest += new - digest
            self._chunk.append((key, value, expires))
            self._bytes += len(key) + len(value)
        self.rows += 1

    def _close(self, *, is_last: bool = False) -> Chunk:
        chunk = Chunk(self._chunk, len(self._sent), self._digest % SUMS, is_last)
        self._chunk, self._bytes = [], 0
        return chunk


class Sums:
    """What :class:`Chunk` says of all that has come."""

    def __init__(self) -> None:
        self._digests: dict[str, int] = {}
        self._digest = 0

    def take(self, records: Iterable[Copied]) -> None:
        """The records of a chunk."""
        for key, value, expires in records:
            self._digest -= self._digests.pop(key, 0)
            if value is not None:
                self._digests[key] = digest = digest_of(key, value, expires)
                self._digest += digest

    @property
    def total(self) -> int:
        """How many records there are."""
        return len(self._digests)

    @property
    def digest(self) -> int:
        """The sum of their digests."""
        return self._digest % SUMS


class Received:
    """What has come from another node, and nobody can read before it is installed."""

    def __init__(self) -> None:
        self._records: dict[str, tuple[Value, int]] = {}
        self._digest = 0

    def take(self, records: Iterable[Copied]) -> None:
        """The records of a chunk."""
        for key, value, expires in records:
            before = self._records.pop(key, None)
            if before is not None:
                self._digest -= digest_of(key, *before)
            if value is not None:
                self._records[key] = value, expires
                self._digest += digest_of(key, value, expires)

    @property
    def sums(self) -> tuple[int, int]:
        """What :class:`Chunk` says of it: how many records there are, and the sum of their digests."""
        return len(self._records), self._digest % SUMS

    def install(self, store: Records, slots: SlotSet) -> Iterator[None]:
        """Puts those of these slots into a store, in pieces. Those that have no room there are lost, as any others."""
        for number, (key, (value, expires)) in enumerate(self._records.items(), 1):
            if key in slots:
                store.put(key, value, expires)
            if number % PIECE == 0:
                yield
