"""What a node writes to its file while slots come and go, and what the next process finds there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from ckv import errors
from ckv.cluster.copying import Copy
from ckv.cluster.roster import OTHERS_TIER
from ckv.cluster.slots import SLOTS, slot_of
from ckv.node.filing import Filing
from ckv.node.slotset import set_of
from ckv.persistent.sqlite import SQLiteTier
from ckv.protocol.handler import LATER
from ckv.protocol.packing import new_packer
from ckv.store.filed import Keys
from ckv.store.moving import NotTaken
from tests.net.conftest import until
from tests.node.callers import Told
from tests.node.filed import (
    FIRST,
    OURS,
    SECOND,
    THEIRS,
    THIRD,
    Held,
    Rig,
    Source,
    by,
    rows,
    with_half,
    write,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "me.db"


@pytest.fixture
def rig(path: Path) -> Iterator[Rig]:
    with with_half(path) as rig:
        yield rig


def test_what_has_come_is_served_by_the_next_map_and_not_before(rig: Rig, path: Path) -> None:
    Source(rig).send_all()
    assert (rig.serves(), rows(path)) == (SLOTS // 2, {*OURS, *THEIRS})
    rig.take(by(SECOND, 1.0))
    rig.settle()
    assert (rig.serves(), rows(path)) == (SLOTS, {*OURS, *THEIRS})


@pytest.fixture
def early(path: Path) -> Iterator[tuple[Rig, Held]]:
    """One that has half of the slots, and still saves what it was given before it joined: OURS and THEIRS."""
    with gevent.Timeout(20, AssertionError("the test hangs")):
        rig = Rig(path)
        write(path, OURS[1:] + THEIRS[1:])
        store = Held(rig, OURS[0], THEIRS[0])
        rig.moves._store = store  # type: ignore[assignment]
        rig.join(by(FIRST))
        until(lambda: rig.filing._noted == FIRST, "the map is noted")
        yield rig, store
        rig.close()


def test_what_it_was_given_before_it_joined_is_its_own_where_it_is_the_owner(
    early: tuple[Rig, Held], path: Path
) -> None:
    rig, store = early
    assert (rig.serves(), rows(path)) == (0, {*OURS[1:], *THEIRS[1:]}), "nothing is deleted before all is saved"
    store.may_save = True
    rig.settle()
    assert (rig.serves(), rows(path)) == (SLOTS // 2, {*OURS})


def test_what_it_was_given_before_it_joined_is_deleted_after_a_kill(early: tuple[Rig, Held], path: Path) -> None:
    early[0].close()
    again = Rig(path, incarnation=2)
    again.join(by(SECOND, me=2))
    again.settle()
    assert (again.serves(), rows(path)) == (SLOTS // 2, {*OURS[1:]})
    again.close()


def test_no_copy_is_taken_before_that_is_saved(
    early: tuple[Rig, Held], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig, store = early
    monkeypatch.setattr("ckv.node.filing.FIRST_TIMEOUT", 0.2)
    assert Source(rig).send() == "Refused: there is something here that has to be dropped first"
    monkeypatch.undo()
    gevent.spawn_later(0.1, setattr, store, "may_save", True)
    source = Source(rig)
    source.send_all()
    rig.take(by(SECOND, 1.0))
    rig.settle()
    assert (rig.serves(), rows(path)) == (SLOTS, {*OURS, *THEIRS})


def test_no_copy_is_taken_before_its_own_slots_are_served(
    early: tuple[Rig, Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig, _ = early
    monkeypatch.setattr("ckv.node.filing.FIRST_TIMEOUT", 0.2)
    rig.holding.deleted(rig.holding.others)
    assert Source(rig).send() == "Refused: there is something here that has to be dropped first"


def test_what_was_deleted_or_written_again_meanwhile_is_so(rig: Rig, path: Path) -> None:
    source = Source(rig)
    for record in ((THEIRS[0], "v", 0), (THEIRS[1], "v", 10**13), (THEIRS[0], None, 0), (THEIRS[1], b"w", 0)):
        assert source.send(record) is True
    assert source.send((THEIRS[2], "e", 10**13)) is True
    assert source.send(last=True) is True
    with contextlib.closing(SQLiteTier(str(path)).connect()) as session:
        assert session.load_all(THEIRS) == ({THEIRS[1]: b"w", THEIRS[2]: "e"}, {}, {THEIRS[2]: 10**13})


@pytest.mark.parametrize("is_killed", [False, True])
def test_what_has_come_for_a_move_that_is_called_off_is_deleted(rig: Rig, path: Path, is_killed: bool) -> None:
    Source(rig).send_all()
    if is_killed:
        rig.close()
        rig = Rig(path, incarnation=2)
        rig.join(by(SECOND, me=2))
    else:
        rig.take(by(SECOND))
    rig.settle()
    assert (rig.serves(), rows(path)) == (SLOTS // 2, {*OURS})
    rig.close()


def test_what_has_come_is_there_after_a_kill(rig: Rig, path: Path) -> None:
    Source(rig).send_all()
    rig.close()
    again = Rig(path, incarnation=2)
    again.join(by(SECOND, 1.0, me=2))
    again.settle()
    assert (again.serves(), rows(path)) == (SLOTS, {*OURS, *THEIRS})
    again.close()


def test_rows_of_what_has_gone_are_deleted(rig: Rig, path: Path) -> None:
    gone = frozenset(range(SLOTS // 4, SLOTS // 2))
    rig.holding.give(gone)
    rig.take(by(SECOND, 0.25))
    rig.settle()
    assert rows(path) == {key for key in OURS if slot_of(key) < SLOTS // 4}


def test_a_kill_before_they_are_deleted_changes_nothing(rig: Rig, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Filing, "_delete", lambda _self, _others: gevent.sleep(60))
    rig.holding.give(frozenset(range(SLOTS // 4, SLOTS // 2)))
    rig.take(by(SECOND, 0.25))
    until(lambda: rig.filing._noted == SECOND, "the map is noted")
    rig.close()
    monkeypatch.undo()
    assert rows(path) == {*OURS}
    again = Rig(path, incarnation=2)
    again.join(by(THIRD, 0.25, me=2))
    again.settle()
    assert rows(path) == {key for key in OURS if slot_of(key) < SLOTS // 4}
    again.close()


def test_no_copy_is_taken_before_they_are_deleted(rig: Rig, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ckv.node.filing.FIRST_TIMEOUT", 0.2)
    monkeypatch.setattr(Filing, "_delete", lambda _self, _others: gevent.sleep(60))
    rig.holding.give(frozenset(range(SLOTS // 2)))
    rig.take(by(SECOND, 0.0))
    assert Source(rig, SECOND).send() == "Refused: there is something here that has to be dropped first"


def test_a_copy_waits_for_the_map_by_which_it_comes(rig: Rig, path: Path) -> None:
    gevent.spawn_later(0.1, rig.take, by(SECOND))
    Source(rig, SECOND).send_all()
    assert rows(path) == {*OURS, *THEIRS}


def test_rows_of_its_own_are_never_overwritten(rig: Rig, path: Path) -> None:
    assert Source(rig).send((OURS[0], "theirs", 0)) == "Refused: there are records in it of what is this node's own"
    with contextlib.closing(SQLiteTier(str(path)).connect()) as session:
        assert session.load_many([OURS[0]]) == {OURS[0]: f"v:{OURS[0]}"}


def test_what_differs_from_what_was_sent_is_refused_and_deleted(rig: Rig, path: Path) -> None:
    source = Source(rig)
    assert source.send((THEIRS[0], "v", 0)) is True
    assert source.send((THEIRS[1], "v", 0), wrong=1) == "Refused: what has come is not what was sent"
    rig.take(by(SECOND, 1.0))
    rig.settle()
    assert rows(path) == {*OURS}


def test_what_is_written_while_another_map_comes_is_refused_and_deleted(
    rig: Rig, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(rig)
    assert source.send() is True
    ask = rig.filing._ask

    def ask_under_the_next_map(question: Any) -> Any:
        rig.take(by(SECOND))
        return ask(question)

    monkeypatch.setattr(rig.filing, "_ask", ask_under_the_next_map)
    assert source.send((THEIRS[0], "v", 0)) == "Refused: there is another map by now"
    rig.settle()
    assert rows(path) == {*OURS}


def test_it_is_logged_once_that_the_file_takes_no_note(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ckv.node.filing.RETRY", 0.01)
    tried = []

    def refuse() -> None:
        tried.append(1)
        raise errors.TierUnavailable("the disk is full")

    monkeypatch.setattr(rig.filing, "_note", refuse)
    rig.take(by(SECOND))
    until(lambda: len(tried) > 2, "it is tried again")
    assert caplog.text.count("no slots can come: ") == 1
    assert "the disk is full" in caplog.text


def test_one_part_is_taken_at_a_time(rig: Rig) -> None:
    said = Copy("other", "me", 7, FIRST, 0, new_packer().pack([]), 0, 0, False).pack()
    told = Told()
    assert rig.filing.copy(told, 1, tuple(said)) is LATER
    with pytest.raises(errors.Refused, match="what came before is still being written"):
        rig.filing.copy(told, 2, tuple(said))
    until(lambda: told.answers, "it is answered")


def test_what_has_no_file_to_be_written_to_is_refused(rig: Rig, path: Path) -> None:
    source = Source(rig)
    assert source.send() is True
    path.rename(path.with_suffix(".away"))
    assert str(source.send((THEIRS[0], "v", 0), last=True)).startswith("Refused: ")
    path.with_suffix(".away").rename(path)


def test_what_cannot_be_read_stays_where_it_is(rig: Rig, path: Path) -> None:
    rig.store.begin_move(set_of({1, 2}))
    rig.filing._close()
    path.rename(path.with_suffix(".away"))
    with pytest.raises(NotTaken) as raised:
        rig.filing.pass_on(Keys(None, 1))
    assert raised.value.slots == [1, 2]
    rig.store.end_move()


@pytest.mark.parametrize("name", ["me", "another"])
def test_a_file_with_records_that_are_not_its_own_is_left_alone(path: Path, rig: Rig, name: str) -> None:
    rig.close()
    if name == "me":
        path = path.with_name("before.db")
        write(path, OURS)
    strange = Rig(path, name)
    assert strange.member.identity.tier == OTHERS_TIER
    assert strange.member.joined == (name != "me")
    strange.take(by(SECOND, 0.0))
    assert strange.member.conflict
    assert rows(path) == {*OURS}
    strange.close()


def test_a_file_that_another_node_has_taken_meanwhile_is_left_alone(rig: Rig, path: Path) -> None:
    with contextlib.closing(SQLiteTier(str(path)).connect()) as session:
        session.take_note(new_packer().pack(rig.holding.note("another", by(FIRST)).pack()))
    rig.holding.give(frozenset(range(SLOTS // 2)))
    rig.take(by(SECOND, 0.0))
    until(lambda: rig.holding.is_strange, "it finds out")
    assert rows(path) == {*OURS}


def test_the_leader_is_told_that_its_map_is_not_followed(rig: Rig) -> None:
    for version, mine, told in ((SECOND, 0.25, 1), (THIRD, 0.5, 0)):
        rig.take(by(version, mine))
        assert rig.moves.figures()["conflict"] == told
