"""Records that go from a node with a file of its own to another such node, when slots move; and what the file says.

The source reads what stands in its file and sends it (COPY). The target writes it to its own, where nobody can read it,
as a node serves the slots that its map gives it and no other ones. Before a message is answered that matters after a
crash, it stands in the file: :mod:`ckv.cluster.holding` has what, and why. Rows of slots that have gone, or of a copy
that came to nothing, are deleted in pieces; no copy is taken, and none of these slots is served, before that is done.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar, cast

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from ckv import errors, events
from ckv.cluster.copying import Copy
from ckv.cluster.holding import Holding, Note
from ckv.cluster.map import NO_VERSION, Version
from ckv.cluster.member import Member
from ckv.cluster.roster import OTHERS_TIER
from ckv.cluster.slots import slot_of
from ckv.node.copying import Copying
from ckv.node.guard import PATIENCE, answer_apart
from ckv.node.slotset import ANY, set_of, slots_in
from ckv.node.warming import WARM, Warming
from ckv.outage import Outage
from ckv.persistent import OwnSession, Tier
from ckv.protocol.handler import LATER, Caller, Handler
from ckv.protocol.limits import Limits
from ckv.protocol.packing import new_packer, unpacked
from ckv.store.copying import Chunk, Copied, Sums
from ckv.store.filed import Filed, Keys, Rows
from ckv.store.moving import PIECE, NotTaken

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_TIMEOUT: Final = 30.0
"""Seconds for the answer to the first message of a copy: the other node may have rows to delete before it."""

RETRY: Final = 1.0
"""Seconds until the file is tried again, if it does not answer."""

BREATH: Final = 0.001
"""Seconds for everybody else between two pieces that are deleted."""

LOOK: Final = 0.05
"""Seconds between two looks whether what is waited for has come, if nobody says so."""


class Filing(Copying):
    """Both sides of a copy, and the note in the file."""

    has_tier = True
    is_quick = False
    first_timeout = FIRST_TIMEOUT

    def __init__(
        self, member: Member, store: Filed, tier: Tier, limits: Limits, bytes_per_second: int, warming: Warming
    ) -> None:
        super().__init__(member, store, limits, bytes_per_second)
        self._filed = store
        self._warming = warming
        self._tier = tier
        self._session: OwnSession | None = None
        self._turn = BoundedSemaphore(1)
        """Held by who asks the file."""
        self._noted = NO_VERSION
        """The version of the map that stands in the file."""
        self._note_there: Note | None = None
        """What was found there, or was written, last."""
        self._generation = tier.generation
        """Of the tier, when the file was known to have that."""
        self._looked_at = NO_VERSION
        self._conflict = Outage(log)
        """What was logged last of a map that takes slots away which were not given."""
        self._sums: Sums | None = None
        """Those of the copy that comes."""
        self._is_taking = False
        self._is_saving = False
        """What clients gave the node before it joined is still on its way to the file: rows of any slot."""
        self._has_work, self._has_changed = Event(), Event()
        self._keeper: gevent.Greenlet[..., None] | None = None
        self.is_open = False
        """Whether it is known what the file says."""
        self.least_incarnation = 0
        """That of the node at least, be the lock beside its file the one of before or not."""

    @property
    def handlers(self) -> dict[str, Handler]:
        return super().handlers | {WARM: self._warm}

    @property
    def warmed(self) -> int:
        return self._warming.warmed

    @property
    def is_idle(self) -> bool:
        return self._warming.is_idle

    @property
    def _holding(self) -> Holding:
        assert isinstance(self._member.copies, Holding)
        return self._member.copies

    # --- the file --------------------------------------------------------------------------------------------------

    def open(self, name: str) -> None:
        """Reads what the file says of the node of this name, which may serve afterwards. Waits for the file."""
        trouble = Outage(log)
        while not self.is_open:
            try:
                note = self._ask(_read)
                self._begin(name, note, is_empty=not self._keys(None, 1))
                self.is_open = True
            except errors.TierError as error:
                trouble.tell(events.FILE_UNREAD, error)
                gevent.sleep(RETRY)
        trouble.end(events.FILE_READ)
        self._close()  # a node of a list asks no more of it

    def _begin(self, name: str, note: Note | None, *, is_empty: bool) -> None:
        member, holding = self._member, self._holding
        if note is not None and note.name == name:
            holding.begin(note)
            self._note_there = note
            member.go_on_from(note)
            before = note.map.named(name)
            self.least_incarnation = before.incarnation + 1 if before is not None else 0
        elif note is not None or not is_empty:
            holding.is_strange = True
            member.identity.tier = OTHERS_TIER
            member.joined = note is not None  # what is a cluster's is served to nobody by its name here
        else:
            holding.begin(None)

    def _ask(self, ask: Callable[[OwnSession], T]) -> T:
        """Asks the file, one question at a time. Raises TierError."""
        with self._turn:
            try:
                if self._session is None or self._session.generation != self._tier.generation:
                    self._close()
                    self._session = cast(OwnSession, self._tier.connect())
                    self._look_again(self._session)
                return ask(self._session)
            except BaseException:
                self._close()
                raise

    def _look_again(self, session: OwnSession) -> None:
        """It may be another file. Raises TierError."""
        self._noted = NO_VERSION
        self._has_work.set()
        generation = self._tier.generation
        member, noted = self._member, self._note_there
        known = _packed(noted) if noted is not None else None
        if self.is_open and generation != self._generation and session.note() != known:
            mine = member.map.slots_of(member.identity.name)
            if noted is not None:
                mine &= noted.map.slots_of(noted.name)
            self._holding.mistrust(mine)
            log.warning(events.FILE_OLDER)
        self._generation = generation

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _note(self) -> None:
        """Has the file say what the node has to know again. Raises TierError."""

        def take(session: OwnSession) -> None:
            member, version, there = self._member, self._member.version, _read(session)
            if there is not None and there.name != member.identity.name:
                self._holding.is_strange = True
                raise errors.TierUnavailable(f"the file is that of the node {there.name} by now")
            note = self._holding.note(member.identity.name, member.map)
            session.take_note(_packed(note))
            self._noted, self._note_there = version, note

        self._ask(take)
        self._has_changed.set()

    def _keep(self) -> None:
        """Notes each map, and deletes rows of others."""
        trouble = Outage(log)
        while True:
            self._has_work.wait()
            self._has_work.clear()
            try:
                self._note()
                # A map that has come meanwhile is noted first.
                while self._holding.others and not self._is_saving and self._noted == self._member.version:
                    self._delete(self._holding.others)
                trouble.end(events.FILE_TAKES)
            except errors.TierError as error:
                trouble.tell(events.FILE_REFUSES, str(error))
                self._has_work.set()
                gevent.sleep(RETRY)

    def _delete(self, others: frozenset[int]) -> None:
        """Deletes the rows of these slots."""
        after: str | None = None
        while page := self._keys(after, PIECE):
            after = page[-1]
            if gone := [key for key in page if slot_of(key) in others]:
                self._delete_rows(gone)
            gevent.sleep(BREATH)
        if self._noted != NO_VERSION:
            self._holding.deleted(others)
            self._note()

    def _keys(self, after: str | None, count: int) -> list[str]:
        return [key for key, _ in self._ask(lambda session: session.next_keys(after, count))]

    def _delete_rows(self, keys: list[str]) -> None:
        def delete(session: OwnSession) -> None:
            if self._noted != NO_VERSION:  # else it may be another file, which says first whose it is
                session.delete_many(keys)

        self._ask(delete)

    def look(self) -> None:
        member = self._member
        if self.is_open and self._looked_at != member.version:
            self._looked_at = member.version
            self._sums = None
            self._has_work.set()
            if self._keeper is None:
                self._keeper = gevent.spawn(self._keep)
        if member.conflict:
            self._conflict.tell(events.NODE_IN_CONFLICT, member.conflict)
        else:
            self._conflict.end(events.NODE_FITS)

    def end(self) -> None:
        super().end()
        self._warming.end()
        if self._keeper is not None:
            self._keeper.kill()
        self._close()

    def begin_to_save(self) -> None:
        self._is_saving = True

    def replace(self, here: frozenset[int], received: frozenset[int]) -> Iterator[None]:
        self._warming.measure()
        return self._replaced(self._filed.forget(set_of(here), self._warming.note), here)

    def _replaced(self, forgetting: Iterator[None], here: frozenset[int]) -> Iterator[None]:
        """Until the file says so, and has nothing older of what is to be served."""
        yield from forgetting
        if here == ANY:
            self._is_saving = False
        self._has_work.set()
        while self._noted < self._member.version or here & self._member.owned & self._holding.others:
            self._has_changed.clear()
            self._has_changed.wait(LOOK)
            yield

    # --- to another node -------------------------------------------------------------------------------------------

    def pass_on(self, step: object) -> None:
        try:
            match step:
                case Keys(after, count):
                    step.found = self._keys(after, count)
                case Rows(keys, max_value_bytes):
                    loaded = self._ask(lambda session: session.load_some(keys, max_value_bytes))
                    step.found, step.larger, step.expires = loaded
                case Chunk():
                    super().pass_on(step)
                    if step.is_last and self._store.move is not None and self._version == self._member.version:
                        self._holding.give(slots_in(self._store.move.slots))
                        self._note()
        except errors.TierError as error:
            log.warning(events.FILE_AWAY, error)
            move = self._store.move
            raise NotTaken(sorted(slots_in(move.slots)) if move is not None else []) from error

    # --- from another node -----------------------------------------------------------------------------------------

    def copy(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        said, records = self.checked(params)
        if self._is_taking:
            raise errors.Refused("what came before is still being written")
        self._is_taking = True
        gevent.spawn(self._take, caller, msgid, said, records)
        return LATER

    def _take(self, caller: Caller, msgid: int, said: Copy, records: list[Copied]) -> None:
        error: str | None = None
        try:
            self._write(said, records)
        except errors.CkvError as raised:
            error = errors.to_wire(raised if isinstance(raised, errors.Refused) else errors.Refused(str(raised)))
        finally:
            self._is_taking = False
        caller.respond(msgid, error, True if error is None else None)

    def _write(self, said: Copy, records: list[Copied]) -> None:
        """Raises Refused, or TierError."""
        member, holding = self._member, self._holding
        if said.number == 0:
            self._wait_for_place(said.version)
        slots = frozenset(slot_of(key) for key, *_ in records)
        why = holding.receive(said, member.map, member.key)
        if not why and not slots.isdisjoint(member.map.slots_of(member.identity.name)):
            why = "there are records in it of what is this node's own"
        if why:
            raise errors.Refused(why)
        if said.number == 0 or self._sums is None:
            self._sums = Sums()
            self._note()
        sums = self._sums
        if member.version != said.version:
            raise errors.Refused("there is another map by now")
        holding.comes(slots)

        def write(session: OwnSession) -> bool:
            if member.version != said.version or self._noted == NO_VERSION:
                return False  # what has come by then may be deleted already, or be in another file
            session.delete_many([key for key, value, _ in records if value is None])
            rows = [(key, value) for key, value, _ in records if value is not None]
            session.save_many(rows, {key: expires for key, value, expires in records if value is not None and expires})
            return True

        is_written = self._ask(write)
        sums.take(records)
        is_right = (sums.total, sums.digest) == (said.total, said.digest)
        holding.received(said, is_right=is_right)
        if not is_right:
            raise errors.Refused("what has come is not what was sent")
        if said.is_last:
            self._note()
        if member.version != said.version:
            raise errors.Refused("there is another map by now")
        if not is_written or (said.is_last and not holding.has_copy):
            raise errors.Refused("there is another file by now")

    def _warm(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        """WARM, which the old owner sends as soon as the map has changed: what has come is served a moment later."""
        if self._member.is_settled:
            return self._warming.warm(caller, msgid, params)
        gevent.spawn(self._warm_later, caller, msgid, params)
        return LATER

    def _warm_later(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> None:
        until = time.monotonic() + PATIENCE
        while not self._member.is_settled and time.monotonic() < until:
            gevent.sleep(LOOK)
        answer_apart(self._warming.warm, caller, msgid, params)

    def _wait_for_place(self, version: Version) -> None:
        """Until the map is here by which the source sends something, and nothing older is written or deleted any more.
        Raises Refused."""
        member, until = self._member, time.monotonic() + FIRST_TIMEOUT
        while self._holding.others or not member.is_settled or member.version < version:
            if time.monotonic() >= until:
                raise errors.Refused("there is something here that has to be dropped first")
            self._has_changed.clear()
            self._has_changed.wait(LOOK)


def _packed(note: Note) -> bytes:
    """As it stands in a file."""
    packed: bytes = new_packer().pack(note.pack())
    return packed


def _read(session: OwnSession) -> Note | None:
    """What the file says. Raises TierError."""
    packed = session.note()
    try:
        return Note.unpack(unpacked(packed)) if packed is not None else None
    except ValueError as error:
        raise errors.TierUnavailable(f"{error}, or one of another version of ckv") from None
