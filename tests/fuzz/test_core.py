"""A short search in the test's own process, so that the harness works when ``make fuzz-core`` needs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ckv import core

pytestmark = pytest.mark.skipif(not core.COMPILED, reason="there is no compiled core")

INPUTS = 150


@pytest.mark.parametrize("part", ["serve", "route", "records"])
def test_the_core_does_what_its_twins_do(part: str, tmp_path: Path) -> None:
    from tests.fuzz.worker import search

    assert search(tmp_path, "a seed", 20, INPUTS, [part]).total() > 0


def test_the_input_that_fails_is_kept_and_fails_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.fuzz import worker

    given = []

    def fails_at_the_third(data: bytes) -> None:
        given.append(data)
        assert len(given) < 3

    monkeypatch.setattr(worker, "PARTS", {"serve": fails_at_the_third})
    with pytest.raises(AssertionError):
        worker.search(tmp_path, "a seed", 20, parts=worker.PARTS, names=["serve"])
    with pytest.raises(AssertionError):
        worker.run_again(tmp_path / worker.RUNNING)
    assert given[3:] == given[2:3]
