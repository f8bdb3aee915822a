"""What a node tells for the status page: samples of its counters, and its cluster as a picture."""

from __future__ import annotations

from array import array
from typing import NamedTuple

from ckv.address import Address
from ckv.cluster.dealing import Plan
from ckv.cluster.identity import Identity
from ckv.cluster.leader import Leader
from ckv.cluster.map import Map, Node
from ckv.cluster.member import Member
from ckv.cluster.moving import Move
from ckv.cluster.options import Options
from ckv.cluster.slots import SLOTS, SlotMap
from ckv.node import picture
from ckv.node.figures import Info
from ckv.node.overview import SAMPLES, SLOW, TIMED, Overview
from ckv.node.picture import Picture
from ckv.node.survey import Row, row_of
from ckv.protocol.greeting import Share
from ckv.protocol.slow import SlowLog
from tests.node.test_problems import SECONDARY


class Rig:
    """An overview over figures that a test changes."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.figures: Info = {**SECONDARY, "total_commands_processed": 0, "refused_for_room": 0, "slow_requests": 0}
        self.slow = SlowLog(0.0, lambda: self.now, lambda: self.now)
        empty = Picture(primaries=[], secondaries=[], slots=[], move=None)
        self.others: list[Row] = []
        self.overview = Overview(
            *(lambda: dict(self.figures), lambda: empty, self.slow, lambda: self.now),
            lambda _caller, _msgid, _params: [row_of(self.figures), *self.others],
        )

    def sections(self) -> list[str]:
        return [problem["section"] for problem in self.overview.status()["problems"]]


def test_samples_are_bounded_and_have_the_newest() -> None:
    rig = Rig()
    for count in range(SAMPLES + 50):
        rig.slow.latencies.add("GET", 0.5)
        rig.now, rig.figures["total_commands_processed"] = 1000.0 + count, count
        rig.overview.tick()
    history = rig.overview.history()
    assert history["names"] == ["total_commands_processed", "slow_requests", *TIMED, "refused_for_room"]
    assert len(history["samples"]) == SAMPLES
    assert history["samples"][0] == [1050.0, 50.0, 0.0, 51.0, 25.5, 0.0]
    assert history["samples"][-1] == [1649.0, 649.0, 0.0, 650.0, 325.0, 0.0]
    rig.slow.latencies.add(b"GET", 1.0, 2)
    told = rig.overview.status()
    assert [told[name] for name in TIMED] == [652, 327.0]


def test_a_refusal_counts_for_five_minutes() -> None:
    rig = Rig()
    rig.overview.tick()
    rig.figures["refused_for_room"] = 3
    assert rig.sections() == ["CkvNoRoom"]
    for _ in range(299):
        rig.overview.tick()
    assert rig.sections() == ["CkvNoRoom"]
    rig.overview.tick()
    assert rig.sections() == []


def test_problems_of_others_are_among_those_of_the_node() -> None:
    rig = Rig()
    rig.figures["clock_skew_seconds"] = 2.0
    rig.others.append(["b:1", "", [["database_state", "down"]]])
    assert rig.sections() == ["CkvDatabaseAway", "CkvClockSkew"]


def test_slow_requests_are_told_without_keys() -> None:
    rig = Rig()
    for number in range(SLOW + 5):
        begun = rig.slow.begun("GET", f"secret {number}", 1)
        rig.now += 0.25
        rig.slow.answered(begun, "10.0.0.1:99")
    status = rig.overview.status()
    assert len(status["slow_latest"]) == SLOW
    assert status["slow_latest"][0] == {"at": 1003, "microseconds": 250000, "method": "GET", "client": "10.0.0.1:99"}
    assert "secret" not in str(status)


class Peer(NamedTuple):
    address: Address
    connected: bool = True


A, B, HERE = Address("a", 1), Address("b", 2), Address("me", 8080)
NODES = (Node("one", 1, "a", 1, 100), None, Node("two", 5, "b", 2, 100, "draining"))


def world(*owners: int) -> Map:
    return Map((1, 5), NODES, array("H", owners))


def test_a_list() -> None:
    drawn = picture.of_list([Peer(A), Peer(B, connected=False)], SlotMap([0, 1]).owners, HERE)
    assert drawn["primaries"] == [{"address": "me:8080", "own": True, "leads": False}]
    assert [(node["name"], node["state"], node["slots"]) for node in drawn["secondaries"]] == [
        ("a:1", "up", SLOTS // 2),
        ("b:2", "not connected", SLOTS // 2),
    ]
    assert drawn["slots"] == [(0, SLOTS // 2 - 1, 0), (SLOTS // 2, SLOTS - 1, 1)]


def test_a_map_and_what_moves() -> None:
    leader = Leader(Options(), 6)
    owned = world(0, 0, 2, 0xFFFF, 2, 0)
    peers = {0: Peer(A), 2: Peer(B)}
    drawn = picture.of_map(leader, owned, peers, HERE, [HERE, Address("other", 8080)], 0.0)
    assert [(each["address"], each["own"]) for each in drawn["primaries"]] == [("me:8080", True), ("other:8080", False)]
    assert [(node["number"], node["state"], node["slots"]) for node in drawn["secondaries"]] == [
        (0, "up", 3),
        (2, "draining", 2),
    ]
    assert drawn["slots"] == [(0, 1, 0), (2, 2, 2), (4, 4, 2), (5, 5, 0)]
    assert drawn["move"] is None
    leader.move = Move.begin(1, Plan(2, 0, (2, 4)), owned, 10.0)
    move = picture.of_map(leader, owned, peers, HERE, [], 12.5)["move"]
    assert move == {"source": 2, "target": 0, "slots": 2, "phase": "preparing", "seconds": 2.5}
    peers[2] = Peer(B, connected=False)
    assert picture.of_map(leader, owned, peers, HERE, [], 0.0)["secondaries"][1]["state"] == picture.NOT_CONNECTED


def test_a_secondary_knows_which_one_it_is() -> None:
    member = Member(Identity("two", 7, "b", 2, incarnation=5), 6)
    member.map = world(0, 0, 2, 2, 2, 0)
    drawn = picture.of_member(member, [HERE])
    assert [(node["name"], node["own"]) for node in drawn["secondaries"]] == [("one", False), ("two", True)]
    assert drawn["primaries"] == [{"address": "me:8080", "own": False, "leads": False}]


def test_a_secondary_of_a_list_knows_of_itself_alone() -> None:
    drawn = picture.of_share("two", B, Share(2, 2), [HERE])
    assert drawn["slots"] == [(SLOTS // 2, SLOTS - 1, 1)]
    assert drawn["secondaries"][0] | {"own": True, "slots": SLOTS // 2, "state": "up"} == drawn["secondaries"][0]
    (alone,) = picture.of_share("two", B, None, [HERE])["secondaries"]
    assert (alone["slots"], alone["state"]) == (0, "in no list")
