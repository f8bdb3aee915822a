"""A primary that follows another one: from where it has the map, and what it tells whoever takes it for a leader."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from ckv import errors
from ckv.cluster.map import Map, Node, Version
from ckv.cluster.messages import (
    ASK_THE_LEADER,
    BEAT,
    DRAIN,
    FOLLOW,
    JOIN,
    LEAVE,
    REBALANCE,
    TABLE,
    Again,
    Beat,
    Followed,
    Join,
    Leave,
    Static,
)
from ckv.cluster.slots import SLOTS, slot_of
from ckv.node import following
from ckv.node.leading import STATIC, Leading
from tests.net.conftest import World
from tests.node.callers import Told
from tests.node.fake_primary import FakePrimary
from tests.node.routed import LIMITS, Rig

SEEN_AT_ONCE = 5.0
"""Seconds, where it would take :data:`LONG` if it was not."""

LONG = 60.0


class Follower(Rig):
    """A primary that follows one."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.followed = FakePrimary()
        self.following = following.Following(self.followed.address, LIMITS, self.routing)
        self.leading = Leading(self.routing, following=self.following)
        self.following.begin()

    def map_of(self, version: Version, owner: int = 0) -> Map:
        """One by which this node has all slots."""
        nodes = [
            Node(f"n{number}", 1, each.address.host, each.address.port, 100) for number, each in enumerate(self.nodes)
        ]
        return Map(version, nodes, array("H", [owner]) * SLOTS)

    def until_told(self, version: Version, owner: int = 0) -> None:
        """The followed one has this map, and the follower hears of it."""
        self.followed.answers[FOLLOW] = Followed(self.map_of(version, owner))
        self.until(lambda: self.routing.router.version == version)

    @property
    def reason(self) -> str:
        return str(self.leading.figures()["cluster_coordinator_reason"])

    def close(self) -> None:
        self.following.end()
        self.routing.close()
        self.followed.close()


@pytest.fixture
def follower(monkeypatch: pytest.MonkeyPatch) -> Iterator[Follower]:
    monkeypatch.setattr(following, "ASK_EVERY", 0.01)
    with World() as world, gevent.Timeout(30, AssertionError("the test hangs")):
        made = Follower(world)
        yield made
        made.close()


def ask(leading: Leading, method: str, *params: object) -> Any:
    return leading.handlers[method](Told(), 1, params)


def test_it_routes_by_the_map_of_the_one_that_it_follows(follower: Follower) -> None:
    follower.until_told((3, 1))
    follower.until_answered(follower.ask("GET", "alice"))
    assert [method for method, *_ in follower.nodes[0].took()].count("GET") == 1
    follower.until_told((3, 2), owner=1)
    follower.until_answered(follower.ask("GET", "alice"))
    assert [method for method, *_ in follower.nodes[1].took()].count("GET") == 1


def test_it_says_which_map_it_has_and_takes_the_one_that_it_is_told(follower: Follower) -> None:
    follower.until_told((3, 2))
    follower.until(lambda: follower.followed.asked[-1] == (FOLLOW, (3, 2)))
    follower.until_told((3, 1), owner=1)  # by which that one leads, as nobody else knows the later one any more


def test_it_goes_on_while_nobody_answers_and_then_hears_what_is_new(follower: Follower) -> None:
    follower.until_told((3, 1))
    follower.followed.close()
    follower.until(lambda: follower.leading.figures()["cluster_coordinator_connected"] == 0)
    assert follower.reason != "-"
    follower.until_answered(follower.ask("GET", "alice"))
    assert follower.told.answers[-1][1] is None
    assert follower.leading.figures()["cluster_map"] == "3.1"


def test_a_connection_that_breaks_is_made_anew(follower: Follower) -> None:
    follower.until_told((3, 1))
    follower.followed.break_connections()
    follower.until_told((3, 2), owner=1)
    assert follower.reason == "-"


def test_it_asks_at_once_when_a_node_has_a_later_map(follower: Follower, monkeypatch: pytest.MonkeyPatch) -> None:
    follower.until_told((3, 1))
    monkeypatch.setattr(following, "ASK_EVERY", LONG)
    follower.until(lambda: follower.followed.asked[-1] == (FOLLOW, (3, 1)))
    gevent.idle()
    follower.followed.answers[FOLLOW] = Followed(follower.map_of((3, 2), owner=1))
    follower.nodes[0].elsewhere, follower.nodes[0].version = {"alice"}, "3.2"
    with gevent.Timeout(SEEN_AT_ONCE, AssertionError("it waited for the next time")):
        follower.until_answered(follower.ask("GET", "alice"))
    assert follower.routing.router.map.owners[slot_of("alice")] == 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Static(), "has a list"),
        ("UnknownMethod: FOLLOW", "of a version"),
        (Again(), "no primary that can be followed"),
        (["nonsense"], "no answer of a primary"),
        ("Starting: a moment", "a moment"),
    ],
    ids=["list", "old", "other", "nonsense", "starting"],
)
def test_one_that_cannot_be_followed_is_named_with_the_reason(
    follower: Follower, caplog: pytest.LogCaptureFixture, answer: Any, why: str
) -> None:
    follower.followed.answers[FOLLOW] = answer
    follower.until(lambda: why in follower.reason)
    follower.followed.asked.clear()
    follower.until(lambda: len(follower.followed.asked) > 2)
    assert caplog.text.count(why) == 1
    follower.until_told((3, 1))
    assert follower.reason == "-"


def test_secondaries_and_operators_are_sent_to_the_one_that_it_follows(follower: Follower) -> None:
    there = follower.followed.address
    join = Join("a", 1, 1, "127.0.0.1", 1, 100, "evict", "mysql:db", None)
    beat = Beat("a", 1, 1, (3, 1), {}, ())
    for method, said in ((JOIN, join), (BEAT, beat), (LEAVE, Leave("a", 1, 1))):
        assert ask(follower.leading, method, *said.pack()) == ["leader", there.host, there.port]
    for method, params in ((TABLE, ()), (DRAIN, ("a",)), (REBALANCE, (True,))):
        with pytest.raises(errors.Refused, match=f"^{ASK_THE_LEADER}{there}$"):
            ask(follower.leading, method, *params)
    assert follower.leading.figures()["cluster_leader"] == str(there)
    assert follower.leading.figures()["cluster_leads"] == 0


def test_a_primary_that_joins_nobody_tells_what_it_routes_by(follower: Follower) -> None:
    """Also one that follows another one itself."""
    assert ask(follower.leading, FOLLOW, 0, 0) == Followed(None).pack()
    follower.until_told((3, 1))
    told = ask(follower.leading, FOLLOW, 0, 0)
    assert told == Followed(follower.map_of((3, 1))).pack()
    assert ask(follower.leading, FOLLOW, 3, 1) == Followed(None).pack()
    with pytest.raises(errors.BadArguments):
        ask(follower.leading, FOLLOW, "3.1")


def test_a_map_that_no_leader_has_made_is_not_told(follower: Follower) -> None:
    follower.routing.take(follower.map_of((0, 1)), push=False)
    assert ask(follower.leading, FOLLOW, 0, 0) == Followed(None).pack()


def test_a_primary_with_a_list_says_so() -> None:
    assert STATIC[FOLLOW](Told(), 1, (0, 0)) == Static().pack()
