"""What a node with a file of its own knows of its slots, whichever maps it hears of, and when it is started again."""

from __future__ import annotations

from array import array
from typing import Any

import pytest

from ckv.cluster.copying import Copy
from ckv.cluster.duties import Forget, StartFreeze, Tell
from ckv.cluster.holding import Holding, Note
from ckv.cluster.identity import Identity
from ckv.cluster.map import NOBODY, Map, Node
from ckv.cluster.member import Member
from ckv.cluster.messages import Joined
from ckv.cluster.roster import OWN_TIER

SLOTS = 4
ALL = frozenset(range(SLOTS))
NONE: frozenset[int] = frozenset()
LEASE = 5.0


def a_map(epoch: int, *mine: int, term: int = 1, me: int = 1, other: int = 1) -> Map:
    """Slots that are not ``mine`` are the other one's. ``me``, ``other``: their incarnations."""
    owners = array("H", [0 if slot in mine else 1 for slot in range(SLOTS)])
    return Map((term, epoch), (Node("me", me, "h", 1, 100), Node("other", other, "h", 2, 100)), owners)


BEFORE = a_map(5, 0, 1)


class Rig:
    """A member with its file."""

    def __init__(self, note: Note | None = None, incarnation: int = 1) -> None:
        self.member = Member(Identity("me", incarnation, "h", 1, tier=OWN_TIER, incarnation=incarnation), SLOTS)
        assert isinstance(self.member.copies, Holding)
        self.holding = self.member.copies
        self.holding.begin(note)
        if note is not None:
            self.member.go_on_from(note)

    def join(self, world: Map) -> None:
        self.member.tick(0.0)
        (tell,) = (each for each in self.member.take() if isinstance(each, Tell))
        self.member.answered(tell.message, Joined(self.member.identity.incarnation, LEASE, world), 0.0, 0.0)
        self.member.confirmed(0.0)

    def settle(self) -> list[Forget]:
        """It drops what it is to drop, which is returned, and has no rows of others."""
        dropped = [output for output in self.member.take() if isinstance(output, Forget)]
        self.holding.deleted(self.holding.others)
        for each in dropped:
            self.member.forgotten(each.slots)
        return dropped

    def note(self) -> Note:
        """As the next process finds it."""
        note = self.holding.note("me", self.member.map)
        return Note.unpack(note.pack(), SLOTS)

    def again(self) -> Rig:
        """Another process, after a kill -9."""
        return Rig(self.note(), self.member.identity.incarnation + 1)

    def serves(self) -> set[int]:
        return {slot for slot in range(SLOTS) if self.member.serves[slot] and self.member.leased(1.0)}

    def release(self, *slots: int) -> None:
        """To the other node."""
        version = self.member.version
        self.member.prepare(7, version, slots, "other")
        self.member.freeze(7, version)
        assert StartFreeze(7, frozenset(slots)) in self.member.take()
        self.holding.give(frozenset(slots))
        assert self.member.released(7)

    def receive(self, *numbers: int, last: int = -1, **other: Any) -> list[str]:
        """Messages of the other node, each with rows of the slots 2 and 3; what speaks against them."""
        found = []
        for number in numbers:
            said = Copy("other", "me", 7, self.member.version, number, b"", 0, 0, number == last)._replace(**other)
            found.append(self.holding.receive(said, self.member.map, self.member.key))
            if not found[-1]:
                self.holding.comes(frozenset({2, 3}))
                self.holding.received(said, is_right=True)
        return found


@pytest.fixture
def rig() -> Rig:
    """One that owns the slots 0 and 1."""
    rig = Rig()
    rig.join(BEFORE)
    rig.settle()
    assert rig.serves() == {0, 1}
    return rig


@pytest.mark.parametrize("given", [NONE, frozenset({0, 3})], ids=["nothing", "some"])
@pytest.mark.parametrize("flags", [(False, False), (True, True)], ids=["no", "yes"])
def test_a_note_is_what_it_was(given: frozenset[int], flags: tuple[bool, bool]) -> None:
    note = Note.unpack(Note("me", BEFORE, given, *flags).pack(), SLOTS)
    assert (note.name, note.map.version, note.map.owners, note.given) == ("me", BEFORE.version, BEFORE.owners, given)
    assert note[3:] == flags


@pytest.mark.parametrize("packed", [None, [], ["me", BEFORE.pack(), b"\0", False, False], ["me", 1, b"", False, False]])
def test_what_is_no_note(packed: object) -> None:
    with pytest.raises(ValueError, match=r"note|slots|map"):
        Note.unpack(packed, SLOTS)


# --- its own ---------------------------------------------------------------------------------------------------------


def test_what_it_was_given_before_it_joined_is_deleted_where_it_is_not_the_owner() -> None:
    rig = Rig()
    assert rig.holding.others == NONE
    rig.join(BEFORE)
    assert rig.holding.others == {2, 3}
    assert rig.note().has_others
    rig.settle()
    assert not rig.note().has_others
    rig.release(1)
    rig.member.take_map(a_map(6, 0))
    assert rig.holding.others == {1}


def test_what_it_was_given_before_it_joined_waits_for_an_owner() -> None:
    rig = Rig()
    rig.join(Map((1, 1), (), array("H", [NOBODY] * SLOTS)))
    assert not rig.holding.others
    assert rig.note().has_others
    rig.member.take_map(Map((1, 2), a_map(2).nodes, array("H", [0, 1, NOBODY, NOBODY])))
    assert rig.holding.others == {1}
    rig.settle()
    assert rig.note().has_others
    assert rig.again().holding.others == {1, 2, 3}
    rig.member.take_map(a_map(3, 0, 2))
    assert rig.holding.others == {3}
    rig.settle()
    assert not rig.note().has_others
    assert rig.serves() == {0, 2}


def test_a_process_that_is_started_again_has_what_the_one_before_had(rig: Rig) -> None:
    again = rig.again()
    assert (again.serves(), again.holding.others) == (set(), NONE)
    again.join(a_map(6, 0, 1, me=2))
    assert again.settle() == [Forget(frozenset({0, 1}), NONE)]
    assert again.serves() == {0, 1}


@pytest.mark.parametrize("mine", [(), (0,)])
def test_whoever_routes_by_a_map_before_that_is_not_trusted(rig: Rig, mine: tuple[int, ...]) -> None:
    rig.release(*({0, 1} - {*mine}))
    rig.member.take_map(a_map(6, *mine))
    rig.settle()
    again = rig.again()
    assert again.member.plain_from >= (1, 6)
    again.join(a_map(7, *mine, me=2))
    again.settle()
    assert again.member.plain_from >= (1, 6)


def test_it_tells_the_leader_its_last_map(rig: Rig) -> None:
    again = rig.again()
    again.member.tick(0.0)
    (tell,) = again.member.take()
    assert isinstance(tell, Tell)
    assert tell.message.map.version == BEFORE.version  # type: ignore[union-attr]


def test_it_serves_nothing_before_the_map_has_it(rig: Rig) -> None:
    again = rig.again()
    assert again.serves() == set()
    again.join(a_map(6, 0, 1))
    again.settle()
    assert again.serves() == set()
    again.member.take_map(a_map(7, 0, 1, me=2))
    again.settle()
    assert (again.serves(), again.holding.others) == ({0, 1}, NONE)


@pytest.mark.parametrize("is_started_again", [False, True])
@pytest.mark.parametrize("following", [a_map(6, 0, me=2), a_map(6, me=2), a_map(2, 2, 3, term=9, me=2)], ids=repr)
def test_a_map_that_takes_what_it_has_not_given_is_not_followed(
    rig: Rig, following: Map, is_started_again: bool
) -> None:
    if is_started_again:
        rig = rig.again()
        rig.join(following)
    else:
        assert not rig.member.take_map(following)
    assert rig.member.conflict.endswith("whose records are in its file alone, by the map 1.5")
    assert not rig.settle()
    rig.member.confirmed(1.0)
    assert not rig.member.leased(1.0)
    assert rig.note().map.version == BEFORE.version
    assert rig.member.take_map(a_map(9, 0, 1, term=9, me=rig.member.identity.incarnation))
    rig.member.confirmed(1.0)
    rig.settle()
    assert (rig.serves(), rig.member.conflict) == ({0, 1}, "")


def test_a_strange_file_follows_no_map() -> None:
    rig = Rig()
    rig.holding.is_strange = True
    rig.join(a_map(5))
    assert rig.member.conflict.startswith("its file is another node's")
    assert not rig.settle()


# --- as the source ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_started_again", [False, True])
@pytest.mark.parametrize("epoch", [6, 9])
def test_what_it_has_given_goes_and_its_rows_with_it(rig: Rig, is_started_again: bool, epoch: int) -> None:
    rig.release(0)
    me = 1
    if is_started_again:
        rig, me = rig.again(), 2
        rig.join(a_map(epoch, 1, me=me))
    else:
        assert rig.member.take_map(a_map(epoch, 1))
    assert rig.holding.others == {0}
    assert rig.again().holding.others == {0, 2, 3}, "of those that are not its own it is not known which"
    rig.settle()
    assert rig.serves() == {1}


@pytest.mark.parametrize("is_started_again", [False, True])
def test_what_it_has_given_and_nobody_has_taken_is_its_own(rig: Rig, is_started_again: bool) -> None:
    rig.release(0)
    if is_started_again:
        rig = rig.again()
        rig.join(a_map(6, 0, 1, me=2))
    else:
        assert rig.serves() == {1}
        assert rig.member.take_map(a_map(6, 0, 1))
    assert rig.holding.others == NONE
    rig.settle()
    assert rig.serves() == {0, 1}
    assert not rig.member.take_map(a_map(7, 1, me=rig.member.identity.incarnation)), "that was of the map before"


# --- as the target ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_started_again", [False, True])
@pytest.mark.parametrize("epoch", [6, 9])
def test_a_whole_copy_is_its_own_by_the_next_map(rig: Rig, is_started_again: bool, epoch: int) -> None:
    assert rig.receive(0, 1, last=1) == ["", ""]
    assert rig.serves() == {0, 1}
    assert (rig.note().has_copy, rig.note().has_others) == (True, True)
    if is_started_again:
        rig = rig.again()
        assert rig.holding.others == NONE, "what they are is not known before the next map"
        rig.join(a_map(epoch, *ALL, me=2))
    else:
        rig.member.take_map(a_map(epoch, *ALL))
    assert (rig.holding.others, rig.note().has_others) == (NONE, False)
    rig.settle()
    assert rig.serves() == ALL


@pytest.mark.parametrize("is_started_again", [False, True])
@pytest.mark.parametrize("is_whole", [False, True])
def test_a_copy_of_a_move_that_is_called_off_is_deleted(rig: Rig, is_started_again: bool, is_whole: bool) -> None:
    rig.receive(0, 1, last=1 if is_whole else -1)
    assert rig.note().has_others
    if is_started_again:
        rig = rig.again()
        assert rig.holding.others == (NONE if is_whole else {2, 3})
        rig.join(a_map(6, 0, 1, me=2))
    else:
        rig.member.take_map(a_map(6, 0, 1))
    assert rig.holding.others == {2, 3}
    assert rig.note().has_others
    assert rig.receive(0) == ["there are rows here that have to be deleted first"]
    rig.settle()
    assert (rig.serves(), rig.receive(0)) == ({0, 1}, [""])


def test_no_copy_counts_beside_rows_of_another_one(rig: Rig) -> None:
    assert rig.receive(0, 1, last=1) == ["", ""]
    assert rig.receive(0, move=8) == ["there are rows here that have to be deleted first"]
    assert not rig.note().has_copy
    rig.member.take_map(a_map(6, *ALL))
    assert rig.holding.others == {2, 3}
    rig.settle()


def test_what_differs_from_what_was_sent_is_deleted(rig: Rig) -> None:
    said = Copy("other", "me", 7, BEFORE.version, 0, b"", 0, 0, True)
    assert not rig.holding.receive(said, BEFORE, ("me", 1))
    rig.holding.comes(frozenset({2}))
    rig.holding.received(said, is_right=False)
    assert not rig.note().has_copy
    rig.member.take_map(a_map(6, 0, 1, 2))
    assert rig.holding.others == {2}
