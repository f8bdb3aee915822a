"""Records that go from a node without a persistent one to another, over real sockets."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.event
import pytest

from ckv.cluster.copying import Copy
from ckv.cluster.map import Map, Node, Version, pack_slots
from ckv.cluster.messages import KEPT
from ckv.cluster.slots import SLOTS, slot_of
from ckv.node.copying import Copying
from ckv.node.moves import BREATH
from ckv.protocol.packing import new_packer
from ckv.store.copying import digest_of
from ckv.store.memory.slots import SlotSet
from ckv.values import Value
from tests.net.conftest import World, until
from tests.node.test_moves import FIRST, SECOND, THIRD, Rig, declared

KEYS = [f"key:{number}" for number in range(1200)]
VALUES: dict[str, Value] = {key: f"v:{key}" for key in KEYS}
ALL = pack_slots(range(SLOTS))


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world, gevent.Timeout(20, AssertionError("the test hangs")):
        yield world


@pytest.fixture
def pair(world: World) -> Iterator[tuple[Rig, Rig]]:
    """Two nodes without a persistent one. All slots are the first one's, which has records."""
    rigs = Rig(world, in_memory=True), Rig(world, name="other", in_memory=True)
    for rig in rigs:
        rig.join(between(*rigs))
        rig.settle()
    for key in KEYS:
        rigs[0].store.put(key, VALUES[key])
    yield rigs
    for rig in rigs:
        rig.close()


def between(first: Rig, second: Rig, version: Version = FIRST, owner: int = 0) -> Map:
    """The map of two nodes, one of which has all slots."""
    nodes = [Node(rig.member.identity.name, 1, rig.address.host, rig.address.port, 100) for rig in (first, second)]
    return Map(version, nodes, array("H", [owner]) * SLOTS)


def records(rig: Rig) -> dict[str, Value]:
    return {key: value for key, value, *_ in rig.store.memory.records()}


def prepare(first: Rig) -> Any:
    return first.tell(("PREPARE", [7, list(FIRST), ALL, "other"]))[100]


def freeze(first: Rig) -> Any:
    return first.tell(("FREEZE", [7, list(FIRST)]))[100]


def push(*rigs: Rig, world: Map) -> None:
    for rig in rigs:
        assert rig.tell(("MAP", [world.pack()]))[100][0] is None


def test_a_copy_waits_for_the_map_to_come_to_the_other_node(pair: tuple[Rig, Rig]) -> None:
    first, second = pair
    following = between(first, second, SECOND)
    push(first, world=following)
    preparing = gevent.spawn(first.tell, ("PREPARE", [7, list(SECOND), ALL, "other"]))
    gevent.sleep(0.2)
    assert not preparing.ready(), "the other node has refused it, and is asked again"
    push(second, world=following)
    assert preparing.get(timeout=10)[100][1][:2] == ["prepared", len(KEYS)]


def test_a_move(pair: tuple[Rig, Rig]) -> None:
    first, second = pair
    first.store.put("expiring", "v", 10**13)
    assert prepare(first)[1][:2] == ["prepared", len(KEYS) + 1]
    assert not records(second), "nobody can read it yet"
    first.store.put(KEYS[0], "again")
    first.store.delete(KEYS[1])
    assert freeze(first)[1][:2] == ["released", 2]
    assert second.tell(("GET", [KEYS[0]]))[100][0].startswith("NotOwner")
    push(second, first, world=between(first, second, SECOND, owner=1))
    second.settle()
    first.settle()
    left = VALUES | {KEYS[0]: "again", "expiring": "v"}
    del left[KEYS[1]]
    assert records(second) == left
    assert second.store.memory.expires_of("expiring") == 10**13
    assert not records(first)
    assert second.moves.warmed == len(KEYS) + 3
    assert second.tell(declared(SECOND), ("GET", [KEYS[0]]))[200] == (None, [True, "again"])


def test_a_request_that_comes_with_the_map_waits_until_the_records_are_there(pair: tuple[Rig, Rig]) -> None:
    first, second = pair
    prepare(first)
    freeze(first)
    packed = between(first, second, SECOND, owner=1).pack()
    answers = second.tell(("MAP", [packed]), declared(SECOND), ("GET", [KEYS[-1]]), ("PUT", [KEYS[-2], "w"]))
    assert (answers[300], answers[400]) == ((None, [True, VALUES[KEYS[-1]]]), (None, True))
    second.settle()
    assert second.store.memory.peek(KEYS[-2]) == "w"


@pytest.mark.parametrize("frozen", [False, True])
def test_a_move_that_is_called_off_leaves_both_as_they_were(pair: tuple[Rig, Rig], frozen: bool) -> None:
    first, second = pair
    prepare(first)
    if frozen:
        freeze(first)
    push(second, first, world=between(first, second, SECOND))
    assert (records(first), records(second)) == (VALUES, {})
    assert first.tell(declared(SECOND), ("GET", [KEYS[0]]))[200] == (None, [True, VALUES[KEYS[0]]])
    push(second, first, world=between(first, second, THIRD, owner=1))
    second.settle()
    assert not records(second), "what has come for another move is nobody's"


def test_what_comes_back_is_not_mixed_with_what_was_dropped_late(pair: tuple[Rig, Rig]) -> None:
    first, second = pair
    prepare(first)
    freeze(first)
    push(second, first, world=between(first, second, SECOND, owner=1))
    second.settle()
    second.store.put(KEYS[0], "theirs")
    assert second.tell(("PREPARE", [8, list(SECOND), ALL, "me"]))[100][1][0] == "prepared"
    assert second.tell(("FREEZE", [8, list(SECOND)]))[100][1][0] == "released"
    push(first, second, world=between(first, second, THIRD))
    first.settle()
    second.settle()
    assert records(first) == VALUES | {KEYS[0]: "theirs"}
    assert not records(second)


def test_what_comes_back_is_there_although_it_is_still_being_dropped(
    pair: tuple[Rig, Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    drop, may_go_on = first.store.forget, gevent.event.Event()

    def drop_late(slots: SlotSet) -> Iterator[None]:
        while not may_go_on.is_set():
            yield
        yield from drop(slots)

    prepare(first)
    freeze(first)
    with monkeypatch.context() as patch:
        patch.setattr(first.store, "forget", drop_late)
        push(second, first, world=between(first, second, SECOND, owner=1))
    second.settle()
    assert second.tell(("PREPARE", [8, list(SECOND), ALL, "me"]))[100][1][0] == "prepared"
    assert second.tell(("FREEZE", [8, list(SECOND)]))[100][1][0] == "released"
    push(first, second, world=between(first, second, THIRD))
    second.settle()
    assert records(first) == VALUES, "they are those of before, which nobody serves"
    may_go_on.set()
    until(lambda: first.moves.has_told_all, "nothing is dropped any more")
    assert records(first) == VALUES


def test_a_target_that_dies_costs_the_source_nothing(pair: tuple[Rig, Rig]) -> None:
    first, second = pair
    prepare(first)
    first.store.put(KEYS[0], "again")
    second.server.close()
    error, result = freeze(first)
    assert error is None
    assert result[:2] == [KEPT, b""]
    assert result[2].startswith("other does not take the copy: ")
    push(first, world=between(first, second, SECOND))
    assert records(first) == VALUES | {KEYS[0]: "again"}


def test_a_target_by_another_map_does_not_take_it(pair: tuple[Rig, Rig]) -> None:
    first, second = pair
    push(second, world=between(first, second, SECOND))
    error, result = prepare(first)
    assert error is None
    assert result[2] == "other does not take the copy: this node is not the other of the map 1.1"


def test_what_differs_from_what_was_sent_is_not_taken(pair: tuple[Rig, Rig]) -> None:
    first, second = pair
    records_sent = new_packer().pack([["k", "v", 0]])
    digest = digest_of("k", "v", 0)
    for total, summed in ((2, digest), (1, digest + 1)):
        said = Copy("me", "other", 7, FIRST, 0, records_sent, total, summed, True)
        error, _ = second.tell(("COPY", said.pack()))[100]
        assert error == "Refused: what has come is not what was sent"
    push(second, first, world=between(first, second, SECOND, owner=1))
    second.settle()
    assert not records(second)


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\x01",
        *map(new_packer().pack, ([1], [["k"]], [["k", 1, 0]], [[None, "v", 0]], [["k", "v", -1]], {"k": 1})),
    ],
    ids=["empty", "a number", "numbers", "short", "value", "key", "expiry", "map"],
)
def test_what_are_no_records_is_refused(pair: tuple[Rig, Rig], packed: bytes) -> None:
    said = Copy("me", "other", 7, FIRST, 0, packed, 1, 1, True)
    error, _ = pair[1].tell(("COPY", said.pack()))[100]
    assert error.startswith("BadArguments: ")


def test_what_is_no_longer_wanted_is_not_kept(pair: tuple[Rig, Rig]) -> None:
    first, second = pair
    prepare(first)
    passing = second.moves._passing
    assert isinstance(passing, Copying)
    assert passing._received is not None
    push(second, world=between(first, second, SECOND))
    assert passing._received is None


def test_it_sends_no_faster_than_it_is_told(pair: tuple[Rig, Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = pair
    passing = first.moves._passing
    assert isinstance(passing, Copying)
    slept: list[float] = []
    sleep = gevent.sleep

    def no_sleep(seconds: float) -> None:
        slept.append(seconds)
        sleep(0)

    monkeypatch.setattr("ckv.node.copying.gevent.sleep", no_sleep)
    passing._rate = 1 << 20
    prepare(first)
    size = sum(len(key) + len(str(value)) for key, value in VALUES.items())
    assert sum(seconds for seconds in slept if seconds > BREATH) > 0.5 * size / passing._rate
    slept.clear()
    freeze(first)
    assert max(slept) == BREATH


def test_what_was_here_before_it_joined_is_dropped(world: World) -> None:
    rig = Rig(world, in_memory=True)
    try:
        rig.store.put("k", "v")
        rig.join(Map(FIRST, [Node("me", 1, "127.0.0.1", 1, 100)], array("H", [0]) * SLOTS))
        rig.settle()
        assert not records(rig)
        assert rig.member.serves[slot_of("k")]
    finally:
        rig.close()
