"""What a node does whose file is replaced while it runs: by an older copy of it, or by that of another node."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ckv.cluster.slots import SLOTS
from ckv.persistent.sqlite import SQLiteTier
from ckv.protocol.packing import new_packer
from tests.net.conftest import until
from tests.node.filed import (
    FIRST,
    GONE,
    LEFT,
    OURS,
    SECOND,
    THEIRS,
    THIRD,
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


@pytest.fixture
def older(rig: Rig, path: Path) -> Path:
    """A copy of the file from when half of its slots had not gone yet."""
    copy = path.with_name("older.db")
    with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    rig.holding.give(GONE)
    rig.take(by(SECOND, 0.25))
    rig.settle()
    assert rows(path) == set(OURS) - LEFT
    return copy


def put_back(older: Path, path: Path) -> None:
    """In the place of the file."""
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    older.replace(path)


def test_older_rows_do_not_come_back_with_an_older_copy_of_the_file(rig: Rig, path: Path, older: Path) -> None:
    put_back(older, path)
    assert rows(path) == {*OURS}
    rig.take(by(THIRD, 0.25))
    until(lambda: rig.filing._noted == THIRD, "the map is noted")
    rig.settle()
    assert rows(path) == set(OURS) - LEFT


def test_nor_do_they_by_the_map_that_gives_their_slots_back(rig: Rig, path: Path, older: Path) -> None:
    Source(rig, SECOND).send_all()
    put_back(older, path)
    rig.take(by(THIRD, 0.5))
    rig.settle()
    assert (rig.serves(), rows(path)) == (SLOTS // 2, set(OURS) - LEFT)


@pytest.mark.parametrize("step", ["_ask", "_note"], ids=["before it is written", "before it is noted"])
def test_no_copy_is_whole_whose_file_is_replaced(
    rig: Rig, path: Path, older: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    source = Source(rig, SECOND)
    assert source.send() is True
    go_on = getattr(rig.filing, step)

    def go_on_with_another_file(*questions: Any) -> Any:
        monkeypatch.undo()
        rig.filing._close()
        put_back(older, path)
        return go_on(*questions)

    monkeypatch.setattr(rig.filing, step, go_on_with_another_file)
    assert source.send((THEIRS[0], "v", 0), last=True) == "Refused: there is another file by now"
    assert not rig.holding.has_copy
    rig.settle()
    assert rows(path) == set(OURS) - LEFT


def test_a_copy_is_whole_though_the_file_is_opened_again(rig: Rig, path: Path) -> None:
    Source(rig).send_all()
    rig._renew()
    rig.take(by(SECOND, 1.0))
    rig.settle()
    assert (rig.serves(), rows(path)) == (SLOTS, {*OURS, *THEIRS})


def test_rows_of_another_node_are_not_deleted_in_its_file(
    rig: Rig, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = path.with_name("another.db")
    write(others, OURS)
    with contextlib.closing(SQLiteTier(str(others)).connect()) as session:
        session.take_note(new_packer().pack(rig.holding.note("another", by(FIRST)).pack()))
    keys = rig.filing._keys

    def keys_before_it_is_replaced(after: str | None, count: int) -> list[str]:
        monkeypatch.undo()
        found = keys(after, count)
        rig.filing._close()
        put_back(others, path)
        return found

    monkeypatch.setattr(rig.filing, "_keys", keys_before_it_is_replaced)
    rig.holding.give(frozenset(range(SLOTS // 2)))
    rig.take(by(SECOND, 0.0))
    until(lambda: rig.holding.is_strange, "it finds out")
    assert rows(path) == {*OURS}
