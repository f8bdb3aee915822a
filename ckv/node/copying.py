"""Records that go from a node without a persistent one to another such node, when slots move (COPY).

The greenlet of the move at the source sends one message after the other, and goes on when it is answered. The target
keeps what has come apart from its records until a map says that the slots are its own (:mod:`ckv.cluster.copying`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain
from typing import ClassVar, Final

import gevent

from ckv import errors
from ckv.address import Address
from ckv.cluster.copying import COPY, Copy
from ckv.cluster.map import Node
from ckv.cluster.member import Member
from ckv.node.link import FAILURES, Link
from ckv.node.slotset import set_of
from ckv.protocol.handler import Caller, Handler
from ckv.protocol.limits import Limits
from ckv.protocol.packing import new_packer, unpacked
from ckv.store.alone import MemoryStore
from ckv.store.copying import Chunk, Copied, Received
from ckv.store.filed import Filed
from ckv.values import checked_expires, checked_key, checked_value

ANSWER_TIMEOUT: Final = 3.0
"""Seconds for an answer: less than a source may take to release slots."""


MAP_TIMEOUT: Final = 1.0
"""Seconds for the map by which a copy begins to come to the other node, which refuses the copy until then."""

RETRY: Final = 0.05
"""Seconds until it is asked again."""


class NotCopied(Exception):
    """The other node has not taken what it was sent."""


class Copying:
    """Both sides of a copy."""

    has_tier: ClassVar[bool] = False
    is_quick: ClassVar[bool] = True
    first_timeout: ClassVar[float] = ANSWER_TIMEOUT

    def __init__(self, member: Member, store: MemoryStore | Filed, limits: Limits, bytes_per_second: int) -> None:
        """``bytes_per_second``: how much to send while the slots are served, unless the node leaves; 0 for any."""
        self._member = member
        self._store = store
        self._limits = limits
        self._rate = bytes_per_second
        self._link = Link(limits)
        self._target: Node
        self._move = -1
        self._version = member.version
        self._sent = 0
        """Messages of the move."""
        self._received: Received | None = None
        self._received_by = member.version
        """The map by which it comes."""
        self._came = 0

    @property
    def handlers(self) -> dict[str, Handler]:
        """What another secondary asks."""
        return {COPY: self.copy}

    @property
    def warmed(self) -> int:
        """Records that came, and are in memory when the move is over."""
        return self._came

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing left to send once a move is over."""
        return True

    def end(self) -> None:
        """Sends nothing more."""
        self._link.close()

    # --- to another node -------------------------------------------------------------------------------------------

    def begin(self, move: int, target: Node) -> None:
        """What is passed on from now on is of this move, to that node."""
        self._link.close()  # an answer may be on its way to what was sent for a move that was called off
        self._link = Link(self._limits)
        self._move, self._target, self._version, self._sent = move, target, self._member.version, 0

    def begin_to_save(self) -> None:
        """Nothing is saved anywhere."""

    def pass_on(self, step: object) -> None:
        """Sends a chunk, and waits until the other node has it. Raises NotCopied."""
        if not isinstance(step, Chunk):
            return
        records = new_packer().pack(step.records)
        began = time.monotonic()
        me, target = self._member.identity.name, self._target
        said = Copy(me, target.name, self._move, self._version, self._sent, records, *step[1:])
        try:
            self._link.connect(Address(target.host, target.port))
            self._send(said)
        except FAILURES as error:
            self._link.close()
            raise NotCopied(f"{target.name} does not take the copy: {error}") from error
        self._sent += 1
        move = self._store.move
        if self._rate and not self._member.leaves and move is not None and not move.frozen:
            gevent.sleep(max(0.0, began + len(records) / self._rate - time.monotonic()))

    def _send(self, said: Copy) -> None:
        """Raises one of FAILURES. The other node may hear of the map a moment later than this one."""
        timeout = ANSWER_TIMEOUT if said.number else self.first_timeout
        until = time.monotonic() + MAP_TIMEOUT
        while True:
            try:
                self._link.call(COPY, said.pack(), timeout)
                return
            except errors.Refused:
                if said.number or time.monotonic() >= until or self._version != self._member.version:
                    raise
                gevent.sleep(RETRY)

    # --- from another node -----------------------------------------------------------------------------------------

    def copy(self, _caller: Caller, _msgid: int, params: tuple[object, ...]) -> object:
        """The handler of COPY."""
        said, records = self.checked(params)
        copies = self._member.copies
        why = copies.receive(said, self._member.map, self._member.key) if copies is not None else "it takes no copies"
        if copies is None or why:
            raise errors.Refused(why)
        if said.number == 0 or self._received is None:
            self._received, self._received_by = Received(), said.version
        self._received.take(records)
        self._came += len(records)
        is_right = self._received.sums == (said.total, said.digest)
        copies.received(said, is_right=is_right)
        if not is_right:
            raise errors.Refused("what has come is not what was sent")
        return True

    def checked(self, params: tuple[object, ...]) -> tuple[Copy, list[Copied]]:
        """A message and its records. Raises BadArguments, or another CkvError."""
        try:
            said = Copy.unpack(params)
            return said, _unpack(said.records, self._limits.max_value_bytes)
        except ValueError as error:
            raise errors.BadArguments(str(error)) from None

    def replace(self, here: frozenset[int], received: frozenset[int]) -> Iterator[None]:
        """Drops the records of some slots, and makes records of others of what has come."""
        steps: list[Iterator[None]] = [self._store.forget(set_of(here))] if here else []
        if received:
            came, self._received = self._received, None
            if came is not None and isinstance(self._store, MemoryStore):
                steps.append(came.install(self._store, set_of(received)))
        return chain(*steps)

    def look(self) -> None:
        """There may be another map: of a move that is over nothing is kept."""
        if self._received_by != self._member.version:
            self._received = None


def _unpack(data: bytes, max_value_bytes: int) -> list[Copied]:
    """Raises ValueError, or a CkvError."""
    found: list[Copied] = []
    try:
        for key, value, expires in unpacked(data):
            value = None if value is None else checked_value(value, max_value_bytes)
            found.append((checked_key(key), value, checked_expires(expires)))
    except (TypeError, ValueError) as error:
        raise ValueError(f"COPY takes records, each a key, a value or nil, and its expiry: {error}") from None
    return found
