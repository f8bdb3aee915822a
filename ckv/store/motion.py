"""What moves between the tiers of a store, noted for those who walk through them: :mod:`ckv.store.scanning`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from ckv.store.memory.slots import SlotSet
from ckv.store.row import TOMBSTONE, Write

MOST_DISPLACED: Final = 20_000
"""Keys that are remembered as displaced: the latest."""


@dataclass(eq=False, slots=True)
class Log:
    """The last write of each key that the persistent tier was given since the log began."""

    most: int
    """From so many keys on, no other one is noted."""
    of: SlotSet | None = None
    """The slots whose keys are noted; None for any."""
    writes: dict[str, Write] = field(default_factory=dict)

    def note(self, batch: Iterable[Write]) -> None:
        """These were committed."""
        for write in batch:
            if self.of is not None and write.key not in self.of:
                continue
            if len(self.writes) < self.most or write.key in self.writes:
                # Without the value, which may be large: nobody asks for more than whether there is one.
                self.writes[write.key] = write if write.value is TOMBSTONE else write._replace(value="")


@dataclass(eq=False, slots=True)
class Commits:
    """Waits until the persistent tier was given a write of each of these keys, of a version and no older one."""

    keys: set[str]
    version: int
    done: Callable[[], None]
    """Is called once."""

    def note(self, batch: Iterable[Write]) -> None:
        """These were committed."""
        self.keys.difference_update([write.key for write in batch if write.version >= self.version])


@dataclass(eq=False, slots=True)
class Awaited:
    """Writes that the persistent tier is to be given: of each of these keys one of a version, and no older one."""

    versions: dict[str, int] = field(default_factory=dict)
    """Key to version, of those that it was not given yet."""
    count: int = 0
    """Of those that it was."""

    def note(self, batch: Iterable[Write]) -> None:
        """These were committed."""
        for write in batch:
            version = self.versions.get(write.key)
            if version is not None and version <= write.version:
                del self.versions[write.key]
                self.count += 1


class Motion:
    """What moved, as far as anybody asks. It costs a comparison for each record that is taken back into memory."""

    def __init__(self) -> None:
        self.newest = 0
        """The version of when the last walk began. Every write before has a version less than that."""
        self.late = 0
        """How often a record came into memory with such a version."""
        self.replaced = 0
        """How often the persistent tier may have become another one."""
        self._logs: set[Log | Awaited] = set()
        self._commits: set[Commits] = set()
        self._walks: set[object] = set()
        """Those who want to know of what is displaced."""
        self._displaced: dict[str, int] = {}
        """By its key the number of when that was last, in that order."""
        self._displacements = 0

    # --- commits -----------------------------------------------------------------------------------------------------

    def committed(self, batch: Iterable[Write]) -> None:
        """The persistent tier has these writes now."""
        for log in self._logs:
            log.note(batch)
        for commits in list(self._commits):
            commits.note(batch)
            self._look(commits)

    def when_committed(self, keys: set[str], version: int, done: Callable[[], None]) -> Commits:
        """Calls ``done`` when a write of each of these keys, one at least, that is no older than this version, was
        committed, unless that is ended before (:meth:`forget`)."""
        commits = Commits(keys, version, done)
        self._commits.add(commits)
        return commits

    def not_needed(self, commits: Commits, key: str) -> None:
        """A write of this key is not waited for any more."""
        commits.keys.discard(key)
        self._look(commits)

    def forget(self, commits: Commits | None) -> None:
        """Ends it."""
        if commits is not None:
            self._commits.discard(commits)

    def _look(self, commits: Commits) -> None:
        if not commits.keys and commits in self._commits:
            self._commits.discard(commits)
            commits.done()

    # --- what is displaced -------------------------------------------------------------------------------------------

    def walk_begins(self, walk: object) -> int:
        """Has it noted what is displaced, until the walk ends; what to ask :meth:`displaced_since` with."""
        self._walks.add(walk)
        return self._displacements

    def walk_ended(self, walk: object) -> None:
        """Ends that."""
        self._walks.discard(walk)
        if not self._walks:
            self._displaced.clear()

    def displaced(self, key: str) -> None:
        """The record left memory and came back within one call, perhaps at a place that a walk has passed already."""
        if self._walks:
            self._displacements += 1
            self._displaced.pop(key, None)
            self._displaced[key] = self._displacements
            if len(self._displaced) > MOST_DISPLACED:
                del self._displaced[next(iter(self._displaced))]

    def displaced_since(self, number: int) -> list[str]:
        """The keys of which that was said since the walk began that was given this number."""
        return [key for key, last in self._displaced.items() if last > number]

    # --- logs --------------------------------------------------------------------------------------------------------

    def log(self, most: int, of: SlotSet | None = None) -> Log:
        """A log, which is kept until it is closed; with ``of`` only of keys in these slots."""
        log = Log(most, of)
        self._logs.add(log)
        return log

    def attend(self, awaited: Awaited) -> None:
        """Tells it what is committed, until it is closed."""
        self._logs.add(awaited)

    def close(self, log: Log | Awaited | None) -> None:
        """Ends it."""
        if log is not None:
            self._logs.discard(log)
