"""That the list of django-redis's tests is held to, in both directions."""

from __future__ import annotations

from tests.clients.expected import HASHES, SETS
from tests.clients.own_tests import Outcome, by_test, complaints

EXPECTED = by_test({HASHES: "test_a test_b", SETS: "test_c"})
FAIL = [Outcome(name, f"unknown command: ckv keeps strings only, no {EXPECTED[name].reason}") for name in EXPECTED]


def test_as_expected() -> None:
    assert not [*complaints([*FAIL, Outcome("test_other")], EXPECTED)]


def test_one_that_passes_now() -> None:
    (line,) = complaints([Outcome("test_a"), *FAIL[1:]], EXPECTED)
    assert line.startswith("test_a: it passes now")


def test_one_that_fails_otherwise() -> None:
    (line,) = complaints([Outcome("test_a", "no connection"), *FAIL[1:]], EXPECTED)
    assert line.startswith("test_a: it is to fail for lack of hashes")


def test_one_that_is_not_listed() -> None:
    (line,) = complaints([*FAIL, Outcome("test_new", "no hashes")], EXPECTED)
    assert line.startswith("test_new: it fails")


def test_one_that_is_gone() -> None:
    (line,) = complaints(FAIL[:-1], EXPECTED)
    assert line == "test_c: it is in tests/clients/expected.py, and was not run"
