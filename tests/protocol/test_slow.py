"""The slow log: what it keeps of which requests."""

from __future__ import annotations

import pytest

from ckv.protocol.slow import KEPT, Begun, Entry, SlowLog


class Log(SlowLog):
    """One whose clock is the test's."""

    def __init__(self, seconds: float) -> None:
        self.at = 0.0
        super().__init__(seconds, lambda: self.at, lambda: 1_000_000.9)

    def takes(self, seconds: float, begun: Begun) -> None:
        self.at += seconds
        self.answered(begun, "127.0.0.1:7")


def entry(number: int, micros: int, *words: str) -> Entry:
    return number, 1_000_000, micros, [*words], "127.0.0.1:7", ""


def test_what_took_so_long_is_kept() -> None:
    log = Log(0.5)
    log.takes(0.499, log.begun("GET", "short", 1))
    log.takes(0.5, log.begun("GET", "long", 1))
    early = log.begun(b"SET", b"early", 2)
    log.takes(0.75, log.begun("SCAN", 0, 3))
    log.takes(0.25, early)
    assert log.latest(10) == [
        entry(2, 1_000_000, "SET", "early", "... (1 more arguments)"),
        entry(1, 750_000, "SCAN", "... (3 more arguments)"),
        entry(0, 500_000, "GET", "long"),
    ]
    assert log.latest(1) == log.latest(10)[:1]
    assert log.count == 3


def test_only_so_many_are_kept_and_they_are_numbered_on() -> None:
    log = Log(0)
    for number in range(KEPT + 3):
        log.takes(1, log.begun("GET", str(number), 1))
    kept = log.latest(KEPT)
    assert [each[0] for each in kept] == [*range(KEPT + 2, 2, -1)]
    log.clear()
    assert log.latest(KEPT) == []
    log.takes(1, log.begun("DBSIZE", None, 0))
    assert (log.latest(KEPT), log.count) == ([entry(KEPT + 3, 1_000_000, "DBSIZE")], KEPT + 4)


@pytest.mark.parametrize(
    ("first", "shown"),
    [
        ("k" * 128, "k" * 128),
        ("k" * 130, "k" * 128 + "... (2 more bytes)"),
        (b"k" * 1_000_000, "k" * 128 + "... (999872 more bytes)"),
        ("\udcff", "?"),
        (b"a\xff", "a\ufffd"),
    ],
)
def test_words_are_short_and_can_be_sent(first: str | bytes, shown: str) -> None:
    log = Log(0)
    log.takes(1, log.begun("GET", first, 1))
    (kept,) = log.latest(1)
    assert kept[3] == ["GET", shown]
    assert shown.encode()


@pytest.mark.parametrize("method", ["AUTH", b"AUTH", b"auth"])
def test_what_may_be_a_secret_is_not_kept(method: str | bytes) -> None:
    log = Log(0)
    log.takes(1, log.begun(method, b"secret", 1))
    (kept,) = log.latest(1)
    assert kept[3][1:] == ["... (1 more arguments)"]
