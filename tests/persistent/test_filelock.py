"""The name of a node that keeps its records in a file. Whole processes: ``tests/failures/test_names.py``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ckv.errors import Forbidden, TierUnavailable
from ckv.persistent import Holder
from ckv.persistent.filelock import FileLock
from ckv.persistent.opening import open_tier

Make = Callable[..., FileLock]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.db"


@pytest.fixture
def make(path: Path) -> Make:
    """A name on the file; ``number`` stands for the process."""

    def make(number: int, name: str = "one", at: Path = path) -> FileLock:
        made = open_tier(f"sqlite:{at}", environ={}).fence(name, f"process {number}")
        assert isinstance(made, FileLock)
        return made

    return make


def end(lock: FileLock) -> None:
    """What the end of its process does."""
    assert lock._file is not None
    os.close(lock._file)


def test_one_process_has_a_name_until_it_ends(make: Make) -> None:
    first, second = make(1), make(2)
    assert first.claim() is None
    assert first.claim() is None
    assert second.claim() == Holder(1, 0, None, "process 1")
    first.beat(7)
    assert second.claim() == Holder(1, 0, 7, "process 1")
    first.beat(None)
    assert second.claim() == Holder(1, 0, None, "process 1")
    first.release()
    first.close()  # a write may be under way all the same
    assert second.claim() == Holder(1, 0, None, "process 1")
    end(first)
    assert second.claim() is None
    assert (first.incarnation, second.incarnation) == (1, 2)


def test_nobody_is_fenced(make: Make) -> None:
    first, second = make(1), make(2)
    assert first.claim() is None
    holder = second.claim()
    assert holder is not None
    assert not second.fence_off(holder)
    assert second.claim() == holder


@pytest.mark.parametrize("name", ["two", "o/../ne", "%" * 120])
def test_other_names_and_other_files_are_free(make: Make, tmp_path: Path, name: str) -> None:
    assert make(1).claim() is None
    assert make(2, name).claim() is None
    assert make(3, at=tmp_path / "other.db").claim() is None


def test_a_file_has_one_lock_whatever_it_is_called(make: Make, path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(path)
    assert make(1).claim() is None
    assert make(2, at=link).claim() is not None


def test_a_lock_that_was_removed_while_it_was_being_opened_is_none(
    make: Make, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make(1), make(2)
    assert first.claim() is None
    (file,) = path.parent.glob("*.lock")
    plain = os.open
    others: list[FileLock] = []

    def remove(*arguments: object) -> int:
        opened = plain(*arguments)  # type: ignore[arg-type]
        if not others:
            others.append(make(3))
            file.unlink()
            end(first)
            assert others[0]._claim() is None
        return opened

    monkeypatch.setattr("ckv.persistent.filelock.os.open", remove)
    assert second.claim() == Holder(1, 0, None, "process 3")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff" * 2000])
def test_what_stands_in_the_file_is_no_condition(make: Make, path: Path, content: bytes) -> None:
    first = make(1)
    assert first.claim() is None
    end(first)
    (file,) = path.parent.glob("*.lock")
    file.write_bytes(content)
    assert make(2).claim() is None


def test_a_lock_that_cannot_be_made_says_why(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TierUnavailable, match=r"the lock .*lock: No such file") as caught:
        make(1, at=tmp_path / "nowhere" / "records.db").claim()
    assert not isinstance(caught.value, Forbidden)
    (tmp_path / "folder").mkdir()
    lock = make(2, at=tmp_path / "folder" / "records.db")

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("ckv.persistent.filelock.os.open", refuse)
    with pytest.raises(Forbidden, match="Permission denied"):
        lock.claim()
