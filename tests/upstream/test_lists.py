"""The lists of what passes and what is left out: they can be read, and what is not as they say is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.upstream import lists
from tests.upstream.harness import BETWEEN, Outcome
from tests.upstream.lists import OK, Suite, complaints, keys_of
from tests.upstream.reasons import BY_NAME, REASONS, UNSTEADY
from tests.upstream.suites import FILES, SUITES

NO_LIST = "ERR unknown command 'rpush': ckv keeps strings only, no lists"


def found(listed: dict[str, str], *outcomes: Outcome) -> list[str]:
    return list(complaints("unit/some", listed, outcomes))


def test_all_is_as_the_list_says() -> None:
    listed = {"GET": OK, "RPUSH": "types"}
    assert found(listed, Outcome("GET", "ok"), Outcome("RPUSH", "failed", NO_LIST)) == []


@pytest.mark.parametrize(
    ("listed", "outcome", "complaint"),
    [
        ({"GET": "types"}, Outcome("GET", "ok"), "GET: it passes now, and is on the list as left out (types)"),
        ({"GET": OK}, Outcome("GET", "failed", NO_LIST), f"GET: it is on the list as ok, and is types now: {NO_LIST}"),
        ({"GET": "x"}, Outcome("GET", "failed", NO_LIST), f"GET: it is on the list as x, and is types now: {NO_LIST}"),
        ({"GET": OK}, Outcome("GET", "failed", "Expected 1"), "GET: no reason explains Expected 1"),
        ({"GET": "types"}, Outcome("GET", "failed", "Expected 1"), "GET: no reason explains Expected 1"),
        ({}, Outcome("GET", "ok"), "GET: it is not on the list (ok)"),
        ({}, Outcome("GET", "failed", NO_LIST), "GET: it is not on the list (types)"),
    ],
)  # fmt: skip
def test_what_is_not_as_the_list_says(listed: dict[str, str], outcome: Outcome, complaint: str) -> None:
    assert found(listed, outcome) == [complaint]


def test_a_test_that_was_not_run() -> None:
    assert found({"GET": OK, "SET": OK}, Outcome("GET", "ok")) == ["SET: it is on the list, and was not run"]


def test_a_name_may_have_a_reason_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has to show in what the test said all the same."""
    monkeypatch.setitem(BY_NAME, "unit/some", {"GET": REASONS["debug"]})
    assert keys_of("unit/some", [Outcome("GET", "failed", "needs debug: Tag: needs:debug denied")])[0] == {
        "GET": "debug"
    }
    assert found({"GET": "debug"}, Outcome("GET", "failed", NO_LIST))[0].startswith("GET: no reason explains")


FAILS_WITH = {"moment": "Expected 1", "twice": "Expected '1000' to be equal to '1005' (context"}


@pytest.mark.parametrize("result", ["ok", "failed"])
@pytest.mark.parametrize("key", sorted(UNSTEADY))
def test_one_that_passes_or_fails_as_it_comes(monkeypatch: pytest.MonkeyPatch, key: str, result: str) -> None:
    monkeypatch.setitem(BY_NAME, "unit/some", {"GET": REASONS[key]})
    assert found({"GET": key}, Outcome("GET", result, FAILS_WITH[key] if result == "failed" else "")) == []


def test_one_that_may_pass_may_not_fail_in_every_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BY_NAME, "unit/some", {"SCAN": REASONS["twice"]})
    fewer = Outcome("SCAN", "failed", "Expected '1000' to be equal to '999' (context")
    assert found({"SCAN": "twice"}, fewer)[0].startswith("SCAN: no reason explains")


def test_a_list_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "HERE", tmp_path)
    assert lists.read("redis") == Suite("redis")
    suite = Suite("redis", "1.2.3", {"unit/a": {"GET  ok": OK, "types": "types"}, "unit/b": {BETWEEN: "debug"}})
    lists.write(suite)
    assert lists.read("redis") == suite


@pytest.mark.parametrize("name", SUITES)
def test_the_lists_that_are_here(name: str) -> None:
    suite = lists.read(name)
    assert suite.version
    assert suite.files.keys() == set(FILES)
    assert {key for tests in suite.files.values() for key in tests.values()} <= {OK, *REASONS}


def test_nothing_is_said_of_tests_that_nobody_has() -> None:
    suites = [lists.read(name) for name in SUITES]
    used = {key for suite in suites for tests in suite.files.values() for key in tests.values()}
    assert set(REASONS) - used == set(), "take these out of reasons.py"
    for unit, names in BY_NAME.items():
        for test, reason in names.items():
            assert reason.key in {suite.files[unit].get(test) for suite in suites}, test
