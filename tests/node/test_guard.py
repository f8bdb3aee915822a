"""What a secondary of a registered cluster serves without a look, what it looks at, and what it turns away."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest

from ckv.cluster.slots import SLOTS, slot_of
from ckv.node.guard import PATIENCE
from ckv.protocol.handler import LATER, Caller
from ckv.protocol.steps import WATCHED
from tests.net.conftest import World, until
from tests.node.callers import Told
from tests.node.guarded import LARGE, Rig, ask, is_turned_away, of_step
from tests.support.wire import pack


@pytest.fixture
def rig() -> Iterator[Rig]:
    with World() as world, gevent.Timeout(20, AssertionError("the test hangs")):
        yield Rig(world)


def test_before_it_joins_a_node_serves_whoever_asks(rig: Rig) -> None:
    rig.known.joined = False
    rig.known.serves = bytearray(SLOTS)
    rig.guard.tick()
    asker = rig.connect()
    assert ask(asker, "GET", "k") == (None, [True, "v"])
    assert ask(asker, "PUT", "l", "w") == (None, True)


def test_a_node_of_a_list_serves_nobody_who_routes_by_a_map_and_all_others(rig: Rig) -> None:
    rig.known.joined, rig.known.static = False, True
    rig.known.serves = bytearray(SLOTS)
    stranger, other = rig.connect(), rig.connect()
    assert ask(other, "GET", "k") == (None, [True, "v"])
    stranger.send([0, 1, "EPOCH", [[1, 1]]], [0, 2, "PUT", ["k", "w"]])
    number, error, _ = stranger.answer()
    assert (number, error[:9]) == (1, "Refused: ")
    assert stranger.answer() == []
    rig.guard.tick()
    assert ask(other, "GET", "k") == (None, [True, "v"])


def test_nor_does_one_that_learns_later_that_it_is_of_a_list(rig: Rig) -> None:
    rig.known.joined = False
    rig.known.serves = bytearray(SLOTS)
    stranger, late, other = rig.connect(), rig.connect(), rig.connect()
    rig.declare(stranger, 1, 1)
    late.send([0, 1, "EPOCH", [[1, 2]]])
    until(lambda: rig.known.behind)
    assert is_turned_away(ask(other, "GET", "k"))
    rig.known.static = True
    rig.guard.look_again()
    assert ask(other, "GET", "k") == (None, [True, "v"])
    assert stranger.answer() == []
    number, error, _ = late.answer()
    assert (number, error[:9]) == (1, "Refused: ")
    assert late.answer() == []


def test_who_says_nothing_is_looked_at_and_so_are_clients_of_redis(rig: Rig) -> None:
    asker, redis = rig.connect(), rig.connect()
    assert ask(asker, "GET", "k") == (None, [True, "v"])
    rig.lose("k", 1, 2)
    assert is_turned_away(ask(asker, "GET", "k"), "1.2")
    assert is_turned_away(ask(asker, "PUT", "k", "w"), "1.2")
    assert is_turned_away(ask(asker, "DEL", "k"), "1.2")
    assert is_turned_away(ask(asker, "INCRBY", "k", 1), "1.2")
    assert is_turned_away(ask(rig.connect(), "GET", b"k"), "1.2")
    for command in (b"GET k\r\n", b"SET k w\r\n", b"DEL k\r\n", b"EXISTS k\r\n", b"MGET k k\r\n"):
        redis.socket.sendall(command)
        assert redis.socket.recv(1000).startswith(b"-ERR NotOwner: 1.2 ")
    assert rig.store.get("k") == "v"
    assert ask(asker, "GET", "other") == (None, [False, ""])
    assert ask(asker, "PING") == (None, "PONG")
    assert ask(asker, "GET")[0].startswith("BadArguments: ")


def test_who_routes_by_a_map_is_not_looked_at(rig: Rig) -> None:
    asker = rig.connect()
    rig.declare(asker, 1, 1)
    # It cannot ask for this one, so nobody looks.
    rig.known.serves = bytearray(SLOTS)
    assert ask(asker, "GET", "k") == (None, [True, "v"])
    assert ask(asker, "PUT", "l", "w") == (None, True)
    assert rig.guard.turned_away == 0


def test_from_the_moment_a_slot_is_lost_it_is_looked_at_until_it_routes_by_that_map(rig: Rig) -> None:
    asker = rig.connect()
    rig.declare(asker, 1, 1)
    rig.lose("k", 1, 2)
    assert is_turned_away(ask(asker, "GET", "k"), "1.2")
    assert ask(asker, "PUT", "other", "v") == (None, True)
    rig.declare(asker, 1, 2, heard=1)
    turned_away = rig.guard.turned_away
    assert ask(asker, "GET", "k") == (None, [True, "v"])
    assert rig.guard.turned_away == turned_away


def test_the_map_is_known_when_all_who_are_connected_route_by_it(rig: Rig) -> None:
    slow, gone = rig.connect(), rig.connect()
    for asker in (slow, gone):
        rig.declare(asker, 1, 1)
    known = [rig.guard.map_is_known]
    rig.lose("k", 1, 2)
    known.append(rig.guard.map_is_known)
    rig.declare(slow, 1, 2)
    known.append(rig.guard.map_is_known)
    assert known == [True, False, False]
    gone.socket.close()
    until(lambda: rig.guard.map_is_known, "who is gone need not know it")


def test_a_value_that_arrives_while_its_slot_is_lost_is_not_stored(rig: Rig) -> None:
    asker = rig.connect()
    rig.declare(asker, 1, 1)
    message = pack([0, 1, "PUT", ["k", LARGE]])
    asker.socket.sendall(message[:200_000])
    until(lambda: any(connection.session is not None for connection in rig.server._connections))
    gevent.sleep(0.05)
    rig.lose("k", 1, 2)
    asker.socket.sendall(message[200_000:])
    number, error, result = asker.answer()
    assert (number, result) == (1, None)
    assert str(error).startswith("NotOwner: 1.2 ")
    assert rig.store.get("k") == "v"


def test_who_routes_by_a_map_that_is_not_here_yet_waits_for_it(rig: Rig) -> None:
    asker = rig.connect()
    asker.send([0, 1, "EPOCH", [[1, 2]]], [0, 2, "GET", ["k"]], [0, 3, "GET", ["l"]])
    until(lambda: rig.known.behind)
    rig.store.put("l", "w")
    rig.known.version = (1, 2)
    rig.guard.look_again()
    answers = {number: (error, result) for number, error, result in asker.answers(3)}
    assert answers == {1: (None, 0), 2: (None, [True, "v"]), 3: (None, [True, "w"])}


def test_it_does_not_wait_for_ever(rig: Rig) -> None:
    asker = rig.connect()
    rig.known.serves[slot_of("k")] = 0
    asker.send([0, 1, "EPOCH", [[1, 2]]], [0, 2, "GET", ["k"]])
    until(lambda: rig.known.behind)
    rig.now += PATIENCE
    rig.guard.tick()
    answers = {number: error for number, error, _ in asker.answers(2)}
    assert answers[1] == "Moving: 1.1 is the map here, 1.2 has not come yet"
    assert answers[2].startswith("NotOwner: 1.1 ")


def test_a_request_waits_for_a_slot_that_is_about_to_be_served(rig: Rig) -> None:
    slot = slot_of("k")
    rig.known.serves[slot] = 0
    rig.known.forgetting.add(slot)
    asker = rig.connect()
    asker.send([0, 1, "PUT", ["k", "w"]], [0, 2, "GET", ["k"]], [0, 3, "GET", ["other"]])
    assert asker.answer() == [3, None, [False, ""]]
    rig.known.forgetting.clear()
    rig.known.serves[slot] = 1
    rig.guard.look_again()
    assert asker.answers(2) == [[1, None, True], [2, None, [True, "w"]]]


def test_nor_does_that_wait_for_ever(rig: Rig) -> None:
    slot = slot_of("k")
    rig.known.serves[slot] = 0
    rig.known.forgetting.add(slot)
    asker = rig.connect()
    asker.send([0, 1, "PUT", ["k", "w"]], [0, 2, "GET", ["other"]])
    assert asker.answer() == [2, None, [False, ""]]
    rig.now += PATIENCE
    rig.guard.tick()
    number, error, _ = asker.answer()
    assert (number, error[:13]) == (1, "NotOwner: 1.1")
    assert rig.store.get("k") == "v"


def test_without_a_lease_nothing_is_served(rig: Rig) -> None:
    declared, other = rig.connect(), rig.connect()
    rig.declare(declared, 1, 1)
    # Before the next tick: whoever was stopped for a while has the requests of that time before it.
    rig.known.is_leased = False
    assert is_turned_away(ask(declared, "GET", "k"))
    assert is_turned_away(ask(other, "GET", "k"))
    rig.known.is_leased = True
    rig.guard.tick()
    rig.declare(declared, 1, 1, heard=1)
    assert ask(declared, "GET", "k") == (None, [True, "v"])
    assert ask(other, "GET", "k") == (None, [True, "v"])


@pytest.mark.parametrize("params", [[], [[1]], [[1, "x"]], ["1.1"], [[1, 1], "2"], [[1, 1], 2, 3]])
def test_what_is_no_version_is_refused(rig: Rig, params: list[object]) -> None:
    error, result = ask(rig.connect(), "EPOCH", *params)
    assert result is None
    assert error.startswith("BadArguments: EPOCH takes the version of a map")


def test_a_step_is_turned_away_as_a_whole(rig: Rig) -> None:
    asker, redis = rig.connect(), rig.connect()
    step = of_step(("PUT", ("k", "new")), ("PUT", ("other", "new")))
    watching = of_step((WATCHED, ("k", b"")), ("PUT", ("other", "new")))
    rig.lose("k", 1, 2)
    assert is_turned_away(ask(asker, "EXEC", step), "1.2")
    assert is_turned_away(ask(asker, "EXEC", watching), "1.2")
    redis.socket.sendall(b"MSET k new other new\r\n")
    assert redis.socket.recv(1000).startswith(b"-ERR NotOwner: 1.2 ")
    assert rig.store.get("other") is None
    error, (done, _) = ask(asker, "EXEC", of_step(("PUT", ("other", "new")), ("PUT", (7, "new"))))
    assert (error, done, rig.store.get("other")) == (None, True, "new")
    assert ask(asker, "EXEC", b"\x00")[0].startswith("BadArguments: ")


def test_a_step_waits_for_the_one_slot_of_it_that_is_about_to_be_served(rig: Rig) -> None:
    slot = slot_of("k")
    rig.known.serves[slot] = 0
    rig.known.forgetting.add(slot)
    asker = rig.connect()
    step = of_step(("PUT", ("k", "new")), ("PUT", ("other", "new")))
    asker.send([0, 1, "EXEC", [step]], [0, 2, "PING", []])
    assert asker.answer() == [2, None, "PONG"]
    assert rig.store.get("other") is None
    rig.known.forgetting.clear()
    rig.known.serves[slot] = 1
    rig.guard.look_again()
    assert asker.answer()[:2] == [1, None]
    assert rig.store.get("other") == "new"


def test_a_defect_costs_the_request_that_it_is_in(rig: Rig) -> None:
    def handler(_caller: Caller, msgid: int, _params: tuple[object, ...]) -> object:
        if msgid == 1:
            raise RuntimeError("a defect")
        return "done"

    slot, told = slot_of("k"), Told()
    rig.known.serves[slot] = 0
    rig.known.forgetting.add(slot)
    guarded = rig.guard.guarded("GET", handler)
    assert guarded(told, 1, ("k",)) is guarded(told, 2, ("k",)) is LATER
    rig.known.forgetting.clear()
    rig.known.serves[slot] = 1
    rig.guard.look_again()
    defect = "ServerError: unexpected error in a request that has waited"
    assert told.answers == [(1, defect, None), (2, None, "done")]


def test_what_is_about_all_keys_is_told_when_the_node_has_its_own_and_no_others(rig: Rig) -> None:
    declared, other = rig.connect(), rig.connect()
    rig.declare(declared, 1, 1)
    for asker in (declared, other):
        assert ask(asker, "SCAN", 0, "*", 10) == (None, [0, ["k"]])
        assert ask(asker, "DBSIZE") == (None, 1)
    for settled, leased in ((False, True), (True, False)):
        rig.known.is_settled, rig.known.is_leased = settled, leased
        for asker in (declared, other):
            assert ask(asker, "SCAN", 0, "*", 10)[0].startswith("Moving: ")
            assert ask(asker, "DBSIZE")[0].startswith("Moving: ")


def test_nor_is_it_told_to_who_asks_the_owners_of_another_map(rig: Rig) -> None:
    """Those of an old one are perhaps not all that there are."""
    old, redis, ahead = rig.connect(), rig.connect(), rig.connect()
    rig.declare(old, 1, 1)
    rig.lose("other", 1, 2)
    for request in (("SCAN", 0, "*", 10), ("DBSIZE",)):
        assert ask(old, *request)[0] == "Moving: 1.2 is the map here, and 1.1 was asked by"
        assert ask(redis, *request)[0] is None
    rig.declare(old, 1, 2)
    assert ask(old, "DBSIZE") == (None, 1)
    ahead.send([0, 1, "EPOCH", [[1, 3]]], [0, 2, "DBSIZE", []])
    until(lambda: rig.known.behind)
    rig.now += PATIENCE
    rig.guard.tick()
    answers = {number: error for number, error, _ in ahead.answers(2)}
    assert answers[2] == "Moving: 1.2 is the map here, and 1.3 was asked by"
