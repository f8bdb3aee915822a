"""A process that owns keys from time to time (:mod:`tests.failures.failovers`), with the fence and sessions of ckv."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing
from multiprocessing.connection import Connection as Pipe
from typing import Final, Literal, NamedTuple

from ckv.errors import Fenced, TierUnavailable
from ckv.persistent import Session
from ckv.persistent.mysql.connection import Connection, StatementFailed
from ckv.persistent.mysql.fence import MySQLFence
from ckv.persistent.mysql.tier import MySQLTier
from ckv.persistent.opening import open_tier
from tests.support.mariadb import DATABASE
from tests.support.products import PASSWORD, USER

NAME: Final = "one"

WRITERS: Final = 4
"""Sessions that write at the same time, each to keys of its own, as the workers of a node do."""

KEYS: Final = [f"key {number}" for number in range(WRITERS * 16)]

PADDING: Final = "." * 100

Values = dict[str, str]
"""Key to value; of two values of one key the later one is the larger one."""

Order = Literal["take", "save", "write", "end"]


class Taken(NamedTuple):
    """An owner has the name."""

    fenced_after: float
    """Seconds from the question to the end of the process before."""
    found: Values
    """All rows."""


class Ended(NamedTuple):
    """What came of the sessions of an owner."""

    saved: Values
    """The last that they were told is saved."""
    batches: int
    fenced: int
    """How many of them were told that they are fenced."""
    codes: Counter[int]
    """How often statements have failed with which error number; 0 where the connection broke."""


def own(orders: Pipe, address: str, seed: int, fenced: bool) -> None:
    """Does what it is told until the pipe is closed."""
    if not fenced:
        # The patch of the control: what a transaction begins with says nothing.
        MySQLFence._locked = MySQLFence._written = lambda *_: ("DO 0",)  # type: ignore[method-assign]
    owner = _Owner(address, random.Random(seed))
    plain = Connection.run

    def counted(connection: Connection, *statements: str) -> tuple[tuple[object, ...], ...]:
        try:
            return plain(connection, *statements)
        except StatementFailed as error:
            owner.codes[error.code] += 1
            raise

    Connection.run = counted  # type: ignore[assignment, method-assign]
    while True:
        try:
            order = orders.recv()
        except EOFError:
            return
        orders.send({"take": owner.take, "save": owner.save, "write": owner.write, "end": owner.end}[order]())


class _Owner:
    def __init__(self, address: str, choices: random.Random) -> None:
        self._address = address
        self._choices = choices
        self._lock = threading.Lock()
        self._count = 0
        self._writers: list[_Writer] = []
        self.codes: Counter[int] = Counter()

    def take(self) -> Taken:
        """Takes the name, from a process that has it and stands still."""
        tier = open_tier(f"mysql://{USER}:{PASSWORD}@{self._address}/{DATABASE}", environ={})
        assert isinstance(tier, MySQLTier)
        self._tier = tier
        self._fence = tier.fence(NAME, f"process {random.random()}")
        with closing(self._fence):
            began = time.monotonic()
            while (holder := self._fence.claim()) is not None:
                self._fence.fence_off(holder)
            fenced_after = time.monotonic() - began
        with closing(tier.connect()) as session:
            found = session.load_many(KEYS)
            return Taken(fenced_after, {key: str(found[key]) for key in found})

    def batch(self, keys: Sequence[str]) -> Values:
        """Values of some of the keys that are later than all before, by whatever process."""
        with self._lock:
            chosen = self._choices.sample(keys, self._choices.randint(1, len(keys)))
            self._count += 1
            return dict.fromkeys(chosen, f"{self._fence.incarnation:06} {self._count:08} {PADDING}")

    def save(self) -> Values:
        with closing(self._tier.connect()) as session:
            values = self.batch(KEYS)
            session.save_many(list(values.items()))
            return values

    def write(self) -> None:
        """Has all sessions write; returns when each has saved something."""
        self._writers = [_Writer(self, KEYS[number::WRITERS]) for number in range(WRITERS)]
        for writer in self._writers:
            writer.start()
        for writer in self._writers:
            writer.has_saved.wait()

    def end(self) -> Ended:
        for writer in self._writers:
            writer.told_to_end.set()
        for writer in self._writers:
            writer.join()
        codes, self.codes = self.codes, Counter()
        return Ended(
            {key: value for writer in self._writers for key, value in writer.saved.items()},
            sum(writer.batches for writer in self._writers),
            sum(writer.fenced for writer in self._writers),
            codes,
        )

    def connect(self) -> Session:
        return self._tier.connect()


class _Writer(threading.Thread):
    """A session that saves one batch after the other, each for as long as it takes, until it is fenced. One that never
    is ends with the first batch that it begins when it was told to."""

    def __init__(self, owner: _Owner, keys: Sequence[str]) -> None:
        super().__init__(daemon=True)
        self._owner = owner
        self._keys = keys
        self.told_to_end = threading.Event()
        self.has_saved = threading.Event()
        self.saved: Values = {}
        self.batches = 0
        self.fenced = False

    def run(self) -> None:
        last = False
        try:
            with ExitStack() as ends:
                session: Session | None = None
                while not last:
                    last = self.told_to_end.is_set()
                    values = self._owner.batch(self._keys)
                    while not values.items() <= self.saved.items():
                        try:
                            session = session or ends.enter_context(closing(self._owner.connect()))
                            session.save_many(list(values.items()))
                            self.saved |= values
                            self.batches += 1
                            self.has_saved.set()
                        except Fenced:
                            raise
                        except TierUnavailable:
                            session = None
        except Fenced:
            self.fenced = True
