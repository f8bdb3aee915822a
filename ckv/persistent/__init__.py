"""The persistent tier: its contract. :mod:`ckv.persistent.opening` makes one out of an address."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from ckv.values import Value

PUT_IT_BACK: Final = "it was there before, so no empty one is made in its place: put it back, or start the node anew"
"""What a session says of a table, or a file, that somebody has taken away."""


NO_EXPIRY: Final[Mapping[str, int]] = {}
"""None of the records expires."""


class RowsLocked(Exception):
    """Somebody else's transaction has locked a row that was asked for. The session can be used further."""


class Loaded(NamedTuple):
    """What :meth:`Session.load_some` found."""

    found: dict[str, Value]
    larger: dict[str, int]
    """The bytes of the values that were left where they are."""
    expires: Mapping[str, int] = NO_EXPIRY
    """When those of ``found`` expire that do, in milliseconds of the epoch, or have expired: nobody looks at a clock
    here."""


class Holder(NamedTuple):
    """The process that has a name, as :meth:`Fence.claim` finds it."""

    incarnation: int
    beat: int
    """Changes about once a second while the process lives and reaches the tier, if that tells who is to be fenced."""

    left: int | None
    """How many rows it has still to save, if it was told to stop; else None."""

    process: str
    """What it calls itself."""

    name: str = ""
    """That which it has; empty where it is the one that was asked for."""

    share: str = ""
    """The share of the keys that it writes (:meth:`Fence.beat`); empty where there is no such thing."""


class Seen(NamedTuple):
    """What :meth:`Fence.census` says of one process."""

    name: str
    incarnation: int
    beat: int
    active: bool
    """Whether it may still write."""


class Fence(Protocol):
    """The name of a node: one process has it at a time, and no other one's sessions write. Its calls raise
    :class:`~ckv.errors.TierUnavailable`; trying again is safe. One greenlet at a time makes them."""

    incarnation: int
    """How many processes have had the name, this one included; 0 before it is claimed."""

    when_fenced: Callable[[], None]
    """Is called when another process is found to have taken the name. Does nothing unless it is set."""

    def claim(self) -> Holder | None:
        """Takes the name, unless a process has it: that one is returned then, and None when it is ours. Raises
        :class:`~ckv.errors.Forbidden` when it never will be unless somebody mends it."""

    def fence_off(self, holder: Holder) -> bool:
        """Takes the name away from that process, for good: what it has not committed when this returns it never will.

        Returns whether that was done. It was not when the process has beaten meanwhile, or holds a lock: see again
        whether it has, and call again. Never done where the name of a process that has ended is free by itself.
        """

    def beat(self, left: int | None, share: str = "") -> None:
        """Says that the process lives, and what it has left to save (:attr:`Holder.left`) and which share of the keys
        it writes (:attr:`Holder.share`). Raises :class:`~ckv.errors.Fenced` when the name is no longer ours."""

    def others(self) -> list[Holder]:
        """The processes that have other names, and a share of the keys, in the same place. Whoever has told its own
        before it asks, and so have all of them, cannot overlook one that is in its way without being seen itself."""

    def census(self) -> list[Seen]:
        """The last processes of all names; none where each node has a place of its own."""

    def release(self) -> None:
        """Gives the name back, or leaves that to the end of the process. No session may write any more."""

    def close(self) -> None:
        """Gives the connection back. Never raises."""


class Tier(Protocol):
    """A place that keeps records for good. It holds no connection; :meth:`connect` makes as many as are wanted."""

    @property
    def name(self) -> str:
        """What logs show, without the password: ``mysql://root@localhost:3306/celonis``, ``sqlite:/var/lib/ckv.db``."""

    @property
    def clock_skew(self) -> float:
        """By how many seconds the clock of the place was ahead of ours at the last connect; 0 where they are one."""

    generation: int
    """Grows when all sessions so far became unfit to be used: whoever holds one connects anew before the next batch."""

    max_value_bytes: int
    """The longest value that will be written, in bytes; 0 when that is not known. A tier that cannot take it says so
    when it connects."""

    when_other: Callable[[], None]
    """Is called when the place has become another one, or was away: what was saved to it need not be there any more.
    That is before anything of the new one is answered, and not in another thread. Does nothing unless it is set."""

    def connect(self, *, prepare: bool = True) -> Session:
        """A new connection, to a table that is as it has to be: it is created or upgraded first if need be.

        A table is created only before this tier has seen one. Later a missing one is an outage: an empty one in its
        place would say of every record that there is none. Without ``prepare`` nothing is created or changed, and a
        table that is not there is an error. Raises :class:`~ckv.errors.TierUnavailable`; nothing is held then, and
        trying again is safe.
        """

    def fence(self, name: str, process: str) -> Fence:
        """The name under which sessions of this tier write from now on: none may before it is claimed. ``process`` is
        what others see in :attr:`Holder.process`. Both have 120 bytes at most."""

    def login(self) -> object:
        """What :meth:`connect` would log in with now; equal to the last answer as long as that has not changed."""


class Session(Protocol):
    """One connection to the persistent tier, used by one greenlet at a time. A call raises nothing but
    :class:`~ckv.errors.TierUnavailable` (the session is closed then, and whoever wants to go on connects anew), its
    subclasses and :class:`~ckv.errors.RowsRefused`."""

    @property
    def generation(self) -> int:
        """That of the tier for which it was made; when it differs from :attr:`Tier.generation`, it is unfit."""

    def load_many(self, keys: Sequence[str]) -> dict[str, Value]:
        """What :meth:`load_all` finds, without its expiry."""

    def load_all(self, keys: Sequence[str]) -> Loaded:
        """The records of those keys that exist, however large they are, and also where they have expired."""

    def load_some(self, keys: Sequence[str], max_value_bytes: int) -> Loaded:
        """The same for values up to a length, 0 for any, and without waiting for a row that somebody has locked. Raises
        :class:`RowsLocked` for one, and does not say which; MySQL before 8.0 does so after a second."""

    def save_many(self, rows: Sequence[tuple[str, Value]], expires: Mapping[str, int] = NO_EXPIRY) -> None:
        """Writes the records over whatever is there, in one transaction that is committed when this returns.

        ``expires`` has the milliseconds of the epoch for those that expire; the others no longer do, if they did.

        The last one wins where a key occurs twice. Raises :class:`~ckv.errors.RowsRefused` when the data itself is at
        fault, and :class:`~ckv.errors.WriteFailed` when it may be: nothing was written then, and the session can be
        used further. After any other :class:`~ckv.errors.TierUnavailable` all of it or nothing was written;
        :class:`~ckv.errors.SessionLost` says that the connection broke meanwhile.
        """

    def delete_many(self, keys: Sequence[str]) -> None:
        """Deletes the records, as far as they exist. The transaction and the errors are as in :meth:`save_many`."""

    def may_purge(self) -> bool:
        """Takes the right to purge, which one session has at a time, until it is closed. Whether it was free."""

    def purge(self, after: bytes | None, count: int, now_ms: int) -> tuple[bytes | None, int]:
        """Deletes the records that have expired among the next so many, in the order of the keys' bytes, behind a key;
        None for the first ones. Returns the key of the last of them, None at the end, and how many were deleted.

        They must have expired a minute ago, by ``now_ms``, our time of day in milliseconds of the epoch, and by the
        clock of the place: so none is deleted that a node with another clock still has.
        """

    def next_keys(self, after: str | None, count: int, prefix: bytes = b"") -> list[tuple[str, int]]:
        """The keys of the next so many records, in the order of the keys' bytes, behind a key; None for the first ones.

        Only of those that begin with ``prefix``. With each comes when it expires, or has, in milliseconds of the epoch;
        0 for never. Locks nothing, and waits for no lock. Fewer than ``count`` are the last ones.
        """

    def estimate(self) -> int:
        """How many records there are, about; exactly where they are few."""

    def probe(self) -> None:
        """Writes a record of its own and takes it back, which nobody sees: the tier takes writes when this returns.
        Never raises :class:`~ckv.errors.WriteFailed`."""

    def count(self) -> int:
        """How many records there are. Takes time in proportion to them."""

    def close(self) -> None:
        """Gives the connection back. Never raises; closing twice is fine."""


class OwnSession(Session, Protocol):
    """That of a place which one node has for itself, and which has a note of that node beside its records."""

    def note(self) -> bytes | None:
        """What the node has noted last; None if nothing."""

    def take_note(self, note: bytes) -> None:
        """Notes it in the place of that: it stands there when this returns."""
