"""How far long work is: a bar or lines, on stderr."""

from __future__ import annotations

import pytest

from ckv.tools.progress import DRAW_EVERY, SAY_EVERY, Progress


class Shown:
    def __init__(self, *, is_terminal: bool) -> None:
        self.now = 100.0
        self.show = Progress("saved", is_terminal=is_terminal, clock=lambda: self.now)


def test_lines_come_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Shown(is_terminal=False)
    for second in range(25):
        shown.now = 100.0 + second
        shown.show(second * 100, 5000)
    shown.show.end()
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "saved: 1,000 of 5,000, 100 a second, 40 s left\nsaved: 2,000 of 5,000, 100 a second, 30 s left\n"


def test_short_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Shown(is_terminal=False)
    shown.now += SAY_EVERY - 0.1
    shown.show(1, 2)
    shown.show.end()
    assert capsys.readouterr().err == ""


def test_a_bar_is_drawn_over_itself_and_its_last_state_stays(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Shown(is_terminal=True)
    shown.now += 1
    shown.show(10, 40)
    shown.show(11, 40)  # too soon
    shown.now += 2 * DRAW_EVERY
    shown.show(0, 0)
    shown.show(40, 40)
    shown.now += 0.8
    shown.show.end()
    assert capsys.readouterr().err.split("\r")[1:] == [
        "[#####---------------] saved: 10 of 40, 10 a second, 3 s left\x1b[K",
        "saved: 0, 0 a second\x1b[K",
        "[####################] saved: 40 of 40, 20 a second\x1b[K\n",
    ]


def test_where_nothing_was_counted_there_is_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    Shown(is_terminal=True).show.end()
    assert capsys.readouterr().err == ""
