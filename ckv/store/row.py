"""One key's latest write on its way to the persistent tier, and a snapshot of it in a batch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from ckv.errors import CkvError
from ckv.store.trouble import Trouble
from ckv.values import Value

TOMBSTONE: Final = None
"""The value of a row whose key was deleted."""

ROW_OVERHEAD_BYTES: Final = 240
"""What a row takes besides its key and value: its object, its expiry, a place in the dict and one in the queue."""


@dataclass(eq=False, slots=True, init=False)
class Row:
    """One key's latest write."""

    value: Value | None
    since: float
    """When the oldest write was accepted that no snapshot has."""
    size: int
    """Bytes of memory that it takes, with its key and value."""
    version: int
    """The version of the record that it holds, or that its tombstone would have had."""
    expires: int
    """When the record expires, in milliseconds of the epoch; 0 for never. Whoever reads it looks at the clock."""
    taken: int
    """The version of the last snapshot; -1 without one that counts."""
    queued: bool
    """Waits in the queue for a batch."""
    flushing: bool
    """A snapshot of it is in a batch that is under way."""
    held: bool
    """Must not be written yet; see :meth:`Pending.hold`."""
    aside: bool
    """Waits until it is tried again, because it failed alone."""
    trouble: Trouble | None
    refused: CkvError | None
    """Parked: the persistent tier refused this value. It stays readable, and is tried again when it changes."""

    # Written out, as one made from defaults takes twice as long.
    def __init__(
        self, value: Value | None, since: float, size: int, version: int, expires: int, *, queued: bool
    ) -> None:
        self.value = value
        self.since = since
        self.size = size
        self.version = version
        self.expires = expires
        self.taken = -1
        self.queued = queued
        self.flushing = self.held = self.aside = False
        self.trouble = self.refused = None


class Write(NamedTuple):
    """A snapshot of a row in a batch."""

    key: str
    value: Value | None
    version: int
    expires: int
    """In milliseconds of the epoch, 0 for never; without a meaning for a tombstone."""


# Without the function in Python that a NamedTuple is called through.
snapshot: Final = partial(tuple.__new__, Write)


def size_of(key: str, value: Value | None) -> int:
    """Bytes of memory that a row takes with its key and value."""
    # Which sys.getsizeof() adds nothing to, for what the collector does not look at, and takes longer.
    return key.__sizeof__() + value.__sizeof__() + ROW_OVERHEAD_BYTES
