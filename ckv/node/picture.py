"""A cluster as a node knows it, for whoever draws it: the nodes, who owns which slots, and what moves."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import compress, pairwise
from operator import ne
from typing import TYPE_CHECKING, Final, Protocol, TypedDict

from ckv.address import Address
from ckv.cluster.map import Map
from ckv.cluster.slots import SlotMap

if TYPE_CHECKING:
    from ckv.cluster.leader import Leader
    from ckv.cluster.member import Member
    from ckv.protocol.greeting import Share

NOT_CONNECTED: Final = "not connected"

Run = tuple[int, int, int]
"""Neighbours among the slots that have one owner: the first, the last, and the number of the owner."""


class Secondary(TypedDict):
    """One that may own slots."""

    number: int
    """By which :attr:`Picture.slots` names it."""
    name: str
    address: str
    state: str
    """That of the map; :data:`NOT_CONNECTED` where the primary that tells it does not reach it."""
    slots: int
    own: bool
    """Whether it is the node that tells this."""


class Primary(TypedDict):
    """One of those that route."""

    address: str
    own: bool
    leads: bool
    """Whether it deals the slots, as far as the node knows."""


class Moving(TypedDict):
    """Slots on their way from one secondary to another."""

    source: int
    target: int
    """Their numbers."""
    slots: int
    phase: str
    """``preparing``: requests are served as ever; ``frozen``: those of the slots wait; ``decided``: a moment more."""
    seconds: float
    """How long the phase has lasted."""


class Picture(TypedDict):
    """A cluster, as JSON has it."""

    primaries: list[Primary]
    secondaries: list[Secondary]
    slots: list[Run]
    """From slot 0 on. What nobody owns, or the node does not know of, is in none."""
    move: Moving | None


class Reached(Protocol):
    """A secondary, as its primary knows it: :class:`ckv.net.peer.Peer`."""

    @property
    def address(self) -> Address: ...
    @property
    def connected(self) -> bool: ...


def of_list(peers: Sequence[Reached], owners: array[int], own: Address | None) -> Picture:
    """That of a primary with a list."""
    runs = runs_of(owners, range(len(peers)))
    counts = _counts(runs)
    secondaries = [
        _secondary(number, str(peer.address), str(peer.address), "up" if peer.connected else NOT_CONNECTED, counts)
        for number, peer in enumerate(peers)
    ]
    return _picture(_itself(own), secondaries, runs)


def of_map(
    leader: Leader, world: Map, peers: Mapping[int, Reached], own: Address | None, others: Iterable[Address], now: float
) -> Picture:
    """That of a primary whose secondaries join. ``world``: the map that it routes by; ``peers``: those that it is to be
    connected to, by number; ``others``: the primaries that are known, it may be among them."""
    runs = runs_of(world.owners, _numbers(world))
    counts = _counts(runs)
    secondaries = []
    for number, node in enumerate(world.nodes):
        if node is not None:
            peer = peers.get(number)
            state = node.state if peer is None or peer.connected else NOT_CONNECTED
            secondaries.append(_secondary(number, node.name, f"{node.host}:{node.port}", state, counts))
    itself = _itself(own, leads=leader.leads)
    primaries = itself + [_primary(address) for address in others if address != own]
    move = leader.move
    if move is None:
        return _picture(primaries, secondaries, runs)
    moving = Moving(
        source=move.plan.source,
        target=move.plan.target,
        slots=len(move.plan.slots),
        phase=move.phase,
        seconds=round(now - move.since, 1),
    )
    return _picture(primaries, secondaries, runs, moving)


def of_member(member: Member, primaries: Iterable[Address]) -> Picture:
    """That of a secondary that has joined."""
    world, name = member.map, member.identity.name
    runs = runs_of(world.owners, _numbers(world))
    counts = _counts(runs)
    secondaries = [
        _secondary(number, node.name, f"{node.host}:{node.port}", node.state, counts, own=node.name == name)
        for number, node in enumerate(world.nodes)
        if node is not None
    ]
    return _picture([_primary(address) for address in primaries], secondaries, runs)


def of_share(name: str, own: Address | None, share: Share | None, primaries: Iterable[Address]) -> Picture:
    """That of a secondary of a list, which knows of itself alone."""
    number = share.number - 1 if share is not None else 0
    runs = runs_of(SlotMap(range(share.of)).owners, [number]) if share is not None else []
    state = "up" if share is not None else "in no list"
    secondary = _secondary(number, name, str(own or "-"), state, _counts(runs), own=True)
    return _picture([_primary(address) for address in primaries], [secondary], runs)


def runs_of(owners: array[int], known: Iterable[int]) -> list[Run]:
    """The runs of all owners that are ``known``.

    >>> runs_of(array("H", [0, 0, 1, 9, 0]), [0, 1])
    [(0, 1, 0), (2, 2, 1), (4, 4, 0)]
    """
    known = set(known)
    return [run for run in _all_runs(owners.tobytes()) if run[2] in known]


@lru_cache(maxsize=1)  # it is asked for each second while somebody looks at the page, and seldom changes
def _all_runs(packed: bytes) -> tuple[Run, ...]:
    owners = array("H", packed)
    changes = compress(range(1, len(owners)), map(ne, owners, owners[1:]))
    return tuple((first, end - 1, owners[first]) for first, end in pairwise([0, *changes, len(owners)]))


def _counts(runs: Iterable[Run]) -> Counter[int]:
    counts: Counter[int] = Counter()
    for first, last, owner in runs:
        counts[owner] += last - first + 1
    return counts


def _numbers(world: Map) -> list[int]:
    return [number for number, node in enumerate(world.nodes) if node is not None]


def _itself(own: Address | None, *, leads: bool = False) -> list[Primary]:
    return [Primary(address=str(own or "-"), own=True, leads=leads)]


def _primary(address: Address) -> Primary:
    return Primary(address=str(address), own=False, leads=False)


def _secondary(
    number: int, name: str, address: str, state: str, counts: Mapping[int, int], *, own: bool = False
) -> Secondary:
    return Secondary(number=number, name=name, address=address, state=state, slots=counts.get(number, 0), own=own)


def _picture(
    primaries: list[Primary],
    secondaries: list[Secondary],
    runs: list[Run],
    move: Moving | None = None,
) -> Picture:
    return Picture(primaries=primaries, secondaries=secondaries, slots=runs, move=move)
