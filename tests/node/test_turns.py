"""What is done piece by piece: one piece in each turn."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ckv.node.turns import Turns


class Loop:
    """Turns when the test says so."""

    def __init__(self) -> None:
        self.later: list[Callable[[], None]] = []
        self.turns = Turns(self.later.append)
        self.done: list[str] = []

    def add(self, name: str, pieces: int) -> None:
        """Something of so many pieces."""

        def piece() -> None:
            self.done.append(name)
            if pieces > 1:
                self.add(name, pieces - 1)

        self.turns.add(piece)

    def turn(self) -> None:
        later, self.later[:] = list(self.later), []
        for do in later:
            do()


def test_each_turn_has_one_piece_and_they_take_turns() -> None:
    loop = Loop()
    loop.add("a", 3)
    loop.add("b", 2)
    counts = []
    while loop.later:
        loop.turn()
        counts.append(len(loop.done))
    assert counts == [1, 2, 3, 4, 5]
    assert loop.done == ["a", "b", "a", "b", "a"]
    loop.add("c", 1)
    assert loop.done[-1] == "a", "not at once"
    loop.turn()
    assert loop.done[-1] == "c"


def test_a_piece_that_fails_holds_up_no_other() -> None:
    loop = Loop()

    def fail() -> None:
        raise ZeroDivisionError

    loop.turns.add(fail)
    loop.add("a", 2)
    with pytest.raises(ZeroDivisionError):
        loop.turn()
    loop.turn()
    loop.turn()
    assert loop.done == ["a", "a"]
    assert not loop.later


@pytest.mark.parametrize("between", [False, True])
def test_a_turn_that_cannot_be_had_holds_up_nothing_that_comes_later(between: bool) -> None:
    """``between``: between two that were added, the second of which waits for whoever comes next."""
    loop = Loop()
    raises: list[bool] = []

    def later(do: Callable[[], None]) -> None:
        if raises:
            raises.clear()
            raise MemoryError
        loop.later.append(do)

    loop.turns = Turns(later)
    if between:
        loop.add("a", 1)
        loop.add("b", 1)
    raises.append(True)
    with pytest.raises(MemoryError):
        if between:
            loop.turn()
        else:
            loop.add("never done", 1)
    assert not loop.later
    loop.add("c", 1)
    while loop.later:
        assert len(loop.later) == 1
        loop.turn()
    assert loop.done == (["a", "b", "c"] if between else ["c"])
