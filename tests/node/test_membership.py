"""What a secondary says to its primary, and what it makes of the answers."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator

import gevent
import pytest

from ckv import events
from ckv.address import Address
from ckv.cluster.duties import Tell
from ckv.cluster.identity import Identity
from ckv.cluster.map import Map, Node
from ckv.cluster.member import Member
from ckv.cluster.messages import Again, Answer, Beaten, Elsewhere, Joined, NoEntry, Static
from ckv.cluster.slots import SLOTS
from ckv.node.membership import Membership
from ckv.protocol.limits import Limits
from tests.node.fake_primary import FakePrimary
from tests.support.ports import free_port

WORLD = Map((1, 5), [Node("me", 3, "h", 1, 100)], array("H", [0]) * SLOTS)
JOINED = Joined(3, 5.0, WORLD)


class Secondary:
    """A member whose clock runs ten times as fast."""

    def __init__(self, *primaries: Address) -> None:
        self.member = Member(Identity("me", 42, "", 8081, incarnation=3))
        self.membership = Membership(self.member, primaries, Limits(), self.carry_out)
        self.membership.start()
        self._ticker = gevent.spawn(self._tick)

    def _tick(self) -> None:
        while True:
            self.member.tick(10 * time.monotonic())
            self.carry_out()
            gevent.sleep(0.005)

    def carry_out(self) -> None:
        for output in self.member.take():
            if isinstance(output, Tell):
                self.membership.tell(output.message)

    def end(self) -> None:
        self._ticker.kill()
        self.membership.close()


@pytest.fixture
def primary() -> Iterator[FakePrimary]:
    made = FakePrimary()
    yield made
    made.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Secondary]]:
    made: list[Secondary] = []

    def begin(*primaries: Address) -> Secondary:
        made.append(Secondary(*primaries))
        return made[-1]

    yield begin
    for secondary in made:
        secondary.end()


def until(condition: Callable[[], object]) -> None:
    with gevent.Timeout(30):
        while not condition():
            gevent.sleep(0.002)


Start = Callable[..., Secondary]


def test_it_joins_says_that_it_lives_and_takes_the_map(primary: FakePrimary, start: Start) -> None:
    later = WORLD.successor()
    primary.answers = {"JOIN": JOINED, "BEAT": Beaten(True, later.version, later)}
    secondary = start(primary.address)
    until(lambda: secondary.member.version == later.version)
    assert secondary.member.joined
    join = next(params for method, params in primary.asked if method == "JOIN")
    assert join[:5] == ("me", 42, 3, "127.0.0.1", 8081)  # where the primary can reach it


def test_it_says_so_again_to_a_primary_that_does_not_know_it(primary: FakePrimary, start: Start) -> None:
    primary.answers = {"JOIN": JOINED, "BEAT": Again()}
    start(primary.address)
    until(lambda: [method for method, _ in primary.asked].count("JOIN") > 2)


@pytest.mark.parametrize("answer", [Static(), "UnknownMethod: JOIN is unknown"])
def test_a_primary_with_a_list_is_asked_once(primary: FakePrimary, start: Start, answer: Answer | str) -> None:
    primary.answers = {"JOIN": answer}
    secondary = start(primary.address)
    until(lambda: secondary.member.static)
    until(lambda: not primary.connections)
    assert [method for method, _ in primary.asked] == ["JOIN"]


def test_it_goes_on_when_the_primary_is_away_for_a_while(primary: FakePrimary, start: Start) -> None:
    primary.answers = {"JOIN": JOINED, "BEAT": Beaten(True, (1, 5), None)}
    secondary = start(primary.address)
    until(lambda: secondary.member.joined)
    primary.break_connections()
    count = len(primary.asked)
    until(lambda: len(primary.asked) > count + 2)


def test_an_error_is_no_answer(primary: FakePrimary, start: Start) -> None:
    primary.answers = {"JOIN": "Draining: the node is stopping"}
    secondary = start(primary.address)
    until(lambda: len(primary.asked) > 2)
    assert not secondary.member.joined
    assert not secondary.member.static
    primary.answers = {"JOIN": JOINED, "BEAT": Again()}
    until(lambda: secondary.member.joined)


def test_nonsense_is_no_answer(primary: FakePrimary, start: Start) -> None:
    primary.answers = {"JOIN": ["joined"]}
    secondary = start(primary.address)
    until(lambda: len(primary.asked) > 2)
    assert not secondary.member.joined


def test_it_goes_to_the_leader_and_back_when_that_is_not_there(primary: FakePrimary, start: Start) -> None:
    leader = FakePrimary()
    leader.answers = {"JOIN": JOINED, "BEAT": Beaten(True, (1, 5), None)}
    primary.answers = {"JOIN": Elsewhere(leader.address.host, leader.address.port)}
    secondary = start(primary.address)
    until(lambda: secondary.member.joined)
    leader.close()
    primary.answers = {"JOIN": JOINED, "BEAT": Beaten(True, (1, 5), None)}
    count = len(primary.asked)
    until(lambda: len(primary.asked) > count + 2)


@pytest.mark.parametrize("first", ["away", "cut off"])
def test_the_next_primary_is_asked_where_one_does_not_say_who_leads(
    primary: FakePrimary, start: Start, first: str
) -> None:
    leader = FakePrimary()
    leader.answers = {"JOIN": JOINED, "BEAT": Beaten(True, (1, 5), None)}
    primary.answers = {"JOIN": Again()}
    if first == "away":
        primary.close()
    secondary = start(primary.address, leader.address)
    until(lambda: secondary.member.joined)
    leader.close()


@pytest.mark.parametrize("answer", [Static(), "UnknownMethod: JOIN is unknown"])
@pytest.mark.parametrize("has_joined", [False, True])
def test_where_no_primary_is_at_the_place_of_the_leader_another_one_is_asked(
    primary: FakePrimary, start: Start, answer: Answer | str, has_joined: bool
) -> None:
    other = FakePrimary()
    other.answers = dict.fromkeys(("JOIN", "BEAT"), answer)
    elsewhere = Elsewhere(other.address.host, other.address.port)
    primary.answers = {"JOIN": JOINED, "BEAT": Beaten(True, (1, 5), None)} if has_joined else {"JOIN": elsewhere}
    secondary = start(primary.address)
    if has_joined:
        until(lambda: secondary.member.joined)
        primary.answers = {"JOIN": elsewhere, "BEAT": elsewhere}
    until(lambda: other.asked)
    primary.answers = {"JOIN": JOINED, "BEAT": Beaten(True, (1, 5), None)}
    until(lambda: ("BEAT" in [method for method, _ in primary.asked[-2:]]) and secondary.member.joined)
    assert not secondary.member.static
    other.close()


def test_one_of_several_that_has_a_list_now_is_not_asked_for_ever(primary: FakePrimary, start: Start) -> None:
    leader = FakePrimary()
    primary.answers = {"JOIN": JOINED, "BEAT": Beaten(True, (1, 5), None)}
    leader.answers = {"JOIN": JOINED, "BEAT": Beaten(True, (1, 5), None)}
    secondary = start(primary.address, leader.address)
    until(lambda: secondary.member.joined)
    primary.answers = {"JOIN": Static(), "BEAT": Static()}
    until(lambda: leader.asked)
    leader.close()


def test_an_error_that_should_not_be_is_no_end_of_beats(
    primary: FakePrimary, start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    primary.answers = {"JOIN": JOINED, "BEAT": Beaten(True, (1, 5), None)}
    secondary = start(primary.address)
    until(lambda: secondary.member.joined)

    def fail(*_said: object) -> None:
        raise KeyError("of ours")

    with monkeypatch.context() as broken:
        broken.setattr(secondary.member, "answered", fail)
        until(lambda: "of ours" in caplog.text)
    count = len(primary.asked)
    until(lambda: len(primary.asked) > count + 2)


def test_the_next_primary_is_asked_where_one_is_about_to_end(primary: FakePrimary, start: Start) -> None:
    leader = FakePrimary()
    leader.answers = {"JOIN": JOINED, "BEAT": Beaten(True, (1, 5), None)}
    primary.answers = {"JOIN": Elsewhere(leader.address.host, leader.address.port)}
    secondary = start(primary.address)
    until(lambda: secondary.member.joined)
    leader.answers = dict.fromkeys(("JOIN", "BEAT"), "Draining: the node is stopping")
    count = len(primary.asked)
    primary.answers = {"JOIN": JOINED, "BEAT": Beaten(True, (1, 5), None)}
    until(lambda: len(primary.asked) > count + 2)
    leader.close()


def test_a_primary_that_the_leader_has_named_is_asked_when_that_is_gone(primary: FakePrimary, start: Start) -> None:
    leader = FakePrimary()
    primary.answers = {"JOIN": JOINED, "BEAT": Beaten(True, (1, 5), None)}
    leader.answers = {"JOIN": JOINED, "BEAT": Beaten(True, (1, 5), None, (leader.address, primary.address))}
    secondary = start(leader.address)
    until(lambda: secondary.member.primaries)
    leader.close()
    until(lambda: len(primary.asked) > 2)


def test_a_reason_why_it_is_not_taken_in_is_logged_once(
    primary: FakePrimary, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    primary.answers = {"JOIN": NoEntry("another database")}
    start(primary.address)
    until(lambda: len(primary.asked) > 3)
    assert [record.message for record in caplog.records].count(
        f"{primary.address} does not take this node in: another database"
    ) == 1


@pytest.mark.parametrize("said", ["LoginNeeded: log in first", "LoginFailed: no such user", "NotAllowed: for nodes"])
@pytest.mark.parametrize("method", ["PING", "JOIN"])
def test_one_that_is_not_let_in_has_been_answered_and_asks_another_primary(
    primary: FakePrimary, start: Start, caplog: pytest.LogCaptureFixture, said: str, method: str
) -> None:
    """What the primary has is another node's by now, perhaps: whoever may not ask for it is not alone."""
    primary.answers = {method: said}
    secondary = start(primary.address)
    until(lambda: [record.message for record in caplog.records if "does not take this node in: " in record.message])
    assert secondary.membership.has_answered
    assert not secondary.membership.has_asked_all
    leader = FakePrimary()
    leader.answers = {"JOIN": JOINED, "BEAT": Beaten(True, (1, 5), None)}
    other = start(primary.address, leader.address)
    until(lambda: other.member.joined)
    leader.close()


def test_a_primary_that_does_not_answer_is_told_until_one_does(
    primary: FakePrimary, start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    nobody = Address("127.0.0.1", free_port())

    def told() -> list[object]:
        return [record.msg for record in caplog.records if record.msg in (events.PRIMARY_AWAY, events.PRIMARY_BACK)]

    primary.answers = {"JOIN": JOINED, "BEAT": Beaten(True, (1, 5), None)}
    secondary = start(nobody, primary.address)
    until(lambda: secondary.member.joined)
    assert told() == [], "it may be back in a moment"
    monkeypatch.setattr("ckv.node.membership.SAY_AFTER", 0.0)
    secondary = start(nobody, primary.address)
    until(lambda: secondary.member.joined)
    assert told() == [events.PRIMARY_AWAY, events.PRIMARY_BACK]
    away, back = (record for record in caplog.records if record.msg in told())
    assert f"primary {nobody} does not answer: " in away.getMessage()
    assert back.lasted >= 0  # type: ignore[attr-defined]
