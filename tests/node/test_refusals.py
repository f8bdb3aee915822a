"""What a primary tells its secondaries of those that have refused it."""

from __future__ import annotations

from ckv.node.refusals import Refusals
from ckv.protocol.greeting import HELLO, Share, said
from ckv.protocol.limits import Limits
from ckv.protocol.messages import new_requests_unpacker

NODES = ["a:1", "b:2", "c:3"]


class Listed:
    """A secondary."""

    def __init__(self) -> None:
        self.is_refused = False
        self.session: object = None
        self.told: list[tuple[object, ...]] = []

    @property
    def connected(self) -> bool:
        return self.session is not None

    def tell(self, method: str, params: tuple[object, ...]) -> None:
        assert method == HELLO
        self.told.append(params)


def greeted(refusals: Refusals, number: int) -> tuple[object, ...]:
    """What the greeting of the node of this place says."""
    unpacker = new_requests_unpacker(Limits())
    unpacker.feed(refusals.greeting(number))
    (params,) = [params for _, _, method, params in unpacker if method == HELLO]
    assert isinstance(params, tuple)
    return params


def hears(number: int, *refused: int) -> list[tuple[object, ...]]:
    """What the node of this place is told."""
    return [said(Share(number, 3), NODES, refused)]


def packed_said(number: int, *refused: int) -> tuple[object, ...]:
    """The same, as it travels."""
    return said(Share(number, 3), tuple(NODES), refused)


def told(peers: list[Listed]) -> list[list[tuple[object, ...]]]:
    """What each was told since the last look at it."""
    found = [peer.told for peer in peers]
    for peer in peers:
        peer.told = []
    return found


def test_those_that_are_connected_hear_of_those_that_are_not() -> None:
    peers = [Listed() for _ in NODES]
    refusals = Refusals(peers, NODES)
    peers[0].session, peers[2].session = object(), object()
    refusals.look()
    assert told(peers) == [hears(1), [], hears(3)]
    refusals.look()
    assert told(peers) == [[], [], []], "they know"
    peers[1].is_refused = True
    refusals.look()
    assert told(peers) == [hears(1, 2), [], hears(3, 2)]
    refusals.look()
    assert told(peers) == [[], [], []], "they know"


def test_whoever_is_connected_anew_hears_of_it_again() -> None:
    peers = [Listed() for _ in NODES]
    refusals = Refusals(peers, NODES)
    peers[0].session = object()
    peers[1].is_refused = True
    refusals.look()
    told(peers)
    peers[0].session = None
    refusals.look()
    assert told(peers) == [[], [], []]
    peers[0].session = object()
    refusals.look()
    assert told(peers) == [hears(1, 2), [], []]


def test_the_end_of_it_is_told_too() -> None:
    peers = [Listed() for _ in NODES]
    refusals = Refusals(peers, NODES)
    peers[0].session = object()
    peers[1].is_refused = True
    refusals.look()
    told(peers)
    peers[1].is_refused, peers[1].session = False, object()
    refusals.look()
    assert told(peers) == [hears(1), hears(2), []]


def test_the_greeting_tells_of_those_that_have_refused_by_then() -> None:
    peers: list[Listed] = []
    refusals = Refusals(peers, NODES)
    peers += [Listed() for _ in NODES]
    assert greeted(refusals, 1) == packed_said(1)
    peers[1].is_refused = True
    assert greeted(refusals, 1) == packed_said(1, 2)
    assert greeted(refusals, 2) == packed_said(2), "who takes the greeting refuses no more"


def test_refusals_that_have_ended_since_the_greeting_are_told_to_have() -> None:
    peers = [Listed() for _ in NODES]
    refusals = Refusals(peers, NODES)
    peers[1].is_refused = True
    assert greeted(refusals, 1) == packed_said(1, 2)
    peers[1].is_refused, peers[0].session = False, object()
    refusals.look()
    assert told(peers) == [hears(1), [], []]
