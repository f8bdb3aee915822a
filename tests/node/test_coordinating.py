"""A primary's way to the row that primaries share: what is asked, from when an answer counts, and what is said."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator

import gevent
import msgpack
import pytest

from ckv import errors
from ckv.address import Address
from ckv.cluster.election import CERTAIN
from ckv.cluster.map import NOBODY, Map, Node
from ckv.cluster.messages import BEAT, JOIN, Beat, Join, Sight
from ckv.cluster.slots import SLOTS, slot_of
from ckv.node import readiness
from ckv.node.leading import Leading
from ckv.persistent.coordinator import State
from tests.net.conftest import World
from tests.node.callers import Told
from tests.node.routed import Rig

ME = Address("127.0.0.1", 8080)
OTHER = "other:8081"


class FakeCoordinator:
    """The row in memory; it can take its time, or be away."""

    name = "mysql://me@host/db"
    local_host = "10.0.0.7"

    def __init__(self) -> None:
        self.state = State(5, "", 0, 0, True, None)
        self.takes = 0.0
        """Seconds for an answer."""
        self.away = ""
        """What does not work: "look", "replace" and so on, or "all"."""
        self.problem: Exception = errors.TierUnavailable("it is away")
        self.asked: list[str] = []

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        gevent.sleep(self.takes)
        if self.away in (what, "all"):
            raise self.problem

    def look(self, _known: tuple[int, int]) -> State:
        self._ask("look")
        return self.state

    def stand(self, name: str, term: int, leader: str, beat: int, known: tuple[int, int] = (0, 0)) -> State | None:
        self._ask("stand")
        if self.state[:3] != (term, leader, beat):
            return None
        if known > (term, self.state.epoch):
            self.state = self.state._replace(is_new=True, map=None)
        self.state = self.state._replace(term=term + 1, leader=name, beat=beat + 1, epoch=self.state.epoch + 1)
        return self.state

    def beat(self, name: str, term: int) -> bool:
        self._ask("beat")
        return self.state[:2] == (term, name)

    def replace(self, name: str, expected: tuple[int, int], following: tuple[int, int], packed: bytes) -> bool:
        self._ask("replace")
        if (self.state.term, self.state.leader, self.state.epoch) != (expected[0], name, expected[1]):
            return False
        self.state = State(following[0], name, self.state.beat + 1, following[1], False, packed)
        return True

    def step_down(self, _name: str, _term: int) -> None:
        self._ask("step_down")
        self.state = self.state._replace(leader="")

    def attend(self, name: str) -> list[str]:
        self._ask("attend")
        return [name, OTHER, "no address"]

    def close(self) -> None:
        pass


class Primary(Rig):
    """One of several."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.row = FakeCoordinator()
        self.leading = Leading(self.routing, coordinator=self.row)
        assert self.leading.coordinating is not None
        self.coordinating = self.leading.coordinating
        self.listens: Address | None = ME
        self.coordinating.begin(lambda: self.listens, "")

    @property
    def leads(self) -> bool:
        return self.coordinating.candidate.election.term is not None

    def make(self, owner: int, leader: str = OTHER) -> None:
        """Another primary makes a map, by which this node owns a key."""
        owners = array("H", [NOBODY]) * SLOTS
        owners[slot_of("alice")] = owner
        nodes = [Node(f"n{number}", 1, *_place(each.address), 100) for number, each in enumerate(self.nodes)]
        packed = Map((5, self.row.state.epoch + 1), nodes, owners).pack()
        state = self.row.state
        self.row.state = State(5, leader, state.beat + 1, state.epoch + 1, False, msgpack.packb(packed[2:]))

    def say(self, method: str, params: list[object]) -> object:
        return self.leading.handlers[method](Told(), 1, tuple(params))

    def come(self, name: str) -> None:
        """A node joins, and says of the database that it is the only one which can write."""
        self.say(JOIN, Join(name, 1, 1, "h", 1, 100, "evict", "mysql:db", None).pack())
        self.say(BEAT, Beat(name, 1, 1, (1, 1), {}, (Sight(name, 1, 1, True),)).pack())

    def until(self, condition: object) -> None:
        deadline = time.monotonic() + 15.0
        while not condition():  # type: ignore[operator]
            assert time.monotonic() < deadline, "it does not come true"
            self.leading.tick()
            gevent.sleep(0.005)


def _place(address: Address) -> tuple[str, int]:
    return address.host, address.port


@pytest.fixture
def primary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Primary]:
    monkeypatch.setattr("ckv.cluster.gathering.LOOK", 0.0)  # what nodes say of the database is new at once
    with World() as world, gevent.Timeout(30, AssertionError("the test hangs")):
        primary = Primary(world)
        yield primary
        primary.coordinating.end()
        primary.routing.close()


def test_it_leads_where_nobody_does_under_the_address_at_which_it_is_reached(primary: Primary) -> None:
    primary.listens = None
    for _ in range(20):
        primary.leading.tick()
        gevent.sleep(0.002)
    assert "look" in primary.row.asked
    assert "stand" not in primary.row.asked
    primary.row.state = primary.row.state._replace(beat=1)
    primary.listens = Address("0.0.0.0", 8080)
    primary.until(lambda: primary.leads)
    assert primary.row.state.leader == "10.0.0.7:8080"


def test_it_is_certain_from_when_it_asked(primary: Primary) -> None:
    primary.until(lambda: primary.leads)
    primary.row.takes = 0.5
    primary.row.asked.clear()
    primary.until(lambda: "beat" in primary.row.asked)
    sent, before = time.monotonic(), primary.leading.leader.certain_until
    primary.until(lambda: primary.leading.leader.certain_until > before)
    assert primary.leading.leader.certain_until <= sent + CERTAIN


def test_it_routes_by_what_others_decide_and_names_who_does(primary: Primary) -> None:
    def why_not_ready() -> str:
        return readiness.slots(primary.leading.leader, primary.routing, time.monotonic())

    assert why_not_ready().startswith("no map of slots is known yet")
    primary.make(owner=0)
    primary.until(lambda: primary.routing.router.knows)
    assert why_not_ready() == "not all slots have an owner"  # the map of this test has one with an owner
    assert primary.routing.slots.owner("alice") is primary.routing.peers[0]
    assert primary.leading.figures()["cluster_leader"] == OTHER
    join = Join("a", 1, 1, "h", 1, 100, "evict", "mysql:db", None)
    assert primary.say(JOIN, join.pack()) == ["leader", "other", 8081]
    with pytest.raises(errors.Refused, match="another primary leads: ask other:8081"):
        primary.say("DRAIN", ["a"])


def test_the_epoch_that_it_tells_is_that_of_the_map_by_which_it_routes(primary: Primary) -> None:
    assert primary.leading.figures()["cluster_map_epoch"] == 0
    for epoch in (1, 2):
        primary.make(owner=0)
        primary.until(lambda: primary.routing.router.version == (5, epoch))  # noqa: B023 - it is called at once
        assert primary.leading.figures()["cluster_map_epoch"] == epoch


def test_it_looks_at_once_when_a_node_has_a_later_map(primary: Primary) -> None:
    primary.make(owner=0)
    primary.until(lambda: primary.routing.router.knows)
    primary.until_answered(primary.ask("GET", "alice"))
    a, b = primary.nodes
    primary.make(owner=1)
    a.elsewhere, a.version = {"alice"}, "5.2"
    asked_at = time.monotonic()
    number = primary.ask("GET", "alice")
    primary.until(lambda: number in {each for each, _, _ in primary.told.answers})
    assert time.monotonic() - asked_at < 0.45, "as late as the next look would have come"
    assert ("GET", "alice") in b.asked


def test_a_row_that_has_lost_the_map_by_which_it_routes_is_not_led_by(primary: Primary) -> None:
    primary.make(owner=0)
    primary.make(owner=1)
    primary.until(lambda: primary.routing.router.knows)
    primary.row.state = primary.row.state._replace(leader="", epoch=1)
    primary.until(lambda: primary.leads)
    assert primary.leading.leader.gathers
    assert primary.routing.slots.owner("alice") is primary.routing.peers[1]


def test_who_leads_is_said_once(primary: Primary, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    primary.make(owner=0)
    primary.until(lambda: primary.routing.router.knows)
    for _ in range(3):
        count = primary.row.asked.count("look")
        primary.coordinating.look()
        primary.until(lambda count=count: primary.row.asked.count("look") > count)
    assert caplog.text.count(f"{OTHER} leads, in term 5") == 1
    primary.make(owner=1, leader="")
    primary.until(lambda: primary.leads)
    for _ in range(3):
        count = primary.row.asked.count("look")
        primary.coordinating.look()
        primary.until(lambda count=count: primary.row.asked.count("look") > count)
    assert caplog.text.count("leads, in term") == 1
    assert caplog.text.count("is elected, in term 6") == 1


def test_a_leader_of_whose_map_nobody_knows_what_became_leads_no_more(primary: Primary) -> None:
    primary.make(owner=0, leader="")
    primary.until(lambda: primary.leads)
    primary.row.away = "replace"
    primary.come("a")
    primary.until(lambda: not primary.leads)
    assert not primary.leading.leader.leads


def test_what_the_leader_wants_meanwhile_is_not_forgotten(primary: Primary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ckv.node.coordinating.ATTEND_EVERY", 0.0)
    primary.make(owner=0, leader="")
    primary.until(lambda: primary.leads)
    primary.row.takes = 0.1
    for name in ("a", "b", "c"):
        asked, epoch = primary.row.asked.count("replace"), primary.row.state.epoch
        primary.come(name)
        if name != "c":
            primary.until(lambda asked=asked: primary.row.asked.count("replace") > asked)
            primary.until(lambda epoch=epoch: primary.row.state.epoch > epoch)
    primary.until(lambda: len(primary.leading.leader.map.nodes) == 5)


def test_nodes_hear_which_primaries_there_are(primary: Primary) -> None:
    primary.make(owner=0, leader="")
    primary.until(lambda: primary.leads and primary.coordinating.primaries)
    primary.say(JOIN, Join("a", 1, 1, "h", 1, 100, "evict", "mysql:db", None).pack())
    said = primary.say(BEAT, Beat("a", 1, 1, (1, 1), {}, ()).pack())
    assert isinstance(said, list)
    assert said[4] == [["127.0.0.1", 8080], ["other", 8081]]


def test_that_it_cannot_be_asked_is_said_once_and_that_it_can_be(
    primary: Primary, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    def connected() -> object:
        return primary.leading.figures()["cluster_coordinator_connected"]

    assert connected() == 0, "it was not asked yet"
    primary.make(owner=0)
    primary.until(lambda: primary.routing.router.knows and connected() == 1)
    primary.row.away = "all"
    primary.until(lambda: "cannot be asked (it is away)" in caplog.text)
    assert primary.leading.figures()["cluster_coordinator_reason"] == "it is away"
    assert connected() == 0
    primary.until_answered(primary.ask("GET", "alice"))
    primary.row.away = ""
    primary.until(lambda: "answers again" in caplog.text)
    assert caplog.text.count("cannot be asked") == 1
    assert primary.leading.figures()["cluster_coordinator_reason"] == "-"
    assert connected() == 1


def reason(primary: Primary) -> object:
    return primary.leading.figures()["cluster_coordinator_reason"]


def look(primary: Primary, times: int) -> None:
    """Until it has looked at the row so often, which it could."""
    end = primary.row.asked.count("look") + times
    primary.until(lambda: primary.row.asked.count("look") > end)


def test_a_row_that_may_be_read_alone_does_not_look_well(primary: Primary, caplog: pytest.LogCaptureFixture) -> None:
    primary.row.away, primary.row.problem = "stand", errors.Forbidden("UPDATE denied")
    primary.until(lambda: "stand" in primary.row.asked)
    look(primary, 10)
    assert reason(primary) == "UPDATE denied"
    assert primary.row.asked.count("stand") == 1, "each attempt costs a connection"
    assert [record.levelname for record in caplog.records if "UPDATE denied" in record.message] == ["ERROR", "WARNING"]


def test_what_was_not_written_is_over_when_others_write(primary: Primary) -> None:
    primary.row.away = "stand"
    primary.until(lambda: "stand" in primary.row.asked)
    look(primary, 2)
    assert reason(primary) == "it is away"
    primary.make(owner=0)
    primary.until(lambda: reason(primary) == "-")


def test_a_list_of_primaries_that_may_not_be_written_is_told_once_and_is_not_in_the_way(
    primary: Primary, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ckv.node.coordinating.ATTEND_EVERY", 0.0)
    primary.row.away, primary.row.problem = "attend", errors.Forbidden("SELECT denied")
    primary.until(lambda: primary.leads and primary.row.asked.count("beat") > 3)
    assert reason(primary) == "SELECT denied"
    assert primary.row.asked.count("attend") == 1
    assert [record.levelname for record in caplog.records if "SELECT denied" in record.message] == ["ERROR"]


def test_an_error_that_should_not_be_is_no_end_of_asking(primary: Primary, caplog: pytest.LogCaptureFixture) -> None:
    primary.until(lambda: primary.leads)
    primary.row.away, primary.row.problem = "beat", KeyError("of ours")
    count = primary.row.asked.count("beat")
    primary.until(lambda: primary.row.asked.count("beat") > count + 1)
    assert "of ours" in str(reason(primary))
    assert "KeyError" in caplog.text
    primary.row.away = ""
    primary.until(lambda: reason(primary) == "-")


def test_what_is_no_map_is_not_taken_for_one(primary: Primary) -> None:
    primary.row.state = State(5, OTHER, 1, 1, False, b"\x00nonsense")
    primary.until(lambda: "is no map" in str(primary.leading.figures()["cluster_coordinator_reason"]))
    assert not primary.routing.router.knows


def test_who_ends_says_so(primary: Primary) -> None:
    primary.until(lambda: primary.leads)
    primary.coordinating.end()
    assert primary.row.state.leader == ""
