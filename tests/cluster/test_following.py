"""What a primary makes of the answers of the one that it follows."""

from __future__ import annotations

import pytest

from ckv.cluster.following import Follower
from ckv.cluster.map import Map
from ckv.cluster.messages import Again, Answer, Followed, Static

WORLD = Map.empty(2).successor()


def test_it_takes_the_map_that_it_is_told() -> None:
    follower = Follower()
    assert follower.reason == "it was not asked yet"
    assert follower.answered(Followed(WORLD)) is WORLD
    assert follower.reason == ""


def test_that_there_is_no_other_map_is_an_answer_too() -> None:
    follower = Follower()
    assert follower.answered(Followed(None)) is None
    assert follower.reason == ""


@pytest.mark.parametrize(
    ("answer", "why"),
    [(Static(), "it has a list"), (Again(), "it is no primary that can be followed")],
    ids=["list", "other"],
)
def test_one_that_cannot_be_followed_is_named_with_the_reason(answer: Answer, why: str) -> None:
    follower = Follower()
    follower.answered(Followed(WORLD))
    assert follower.answered(answer) is None
    assert follower.reason.startswith(why)
