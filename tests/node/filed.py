"""One process of a node with a file of its own, and the other node, which sends it a copy."""

from __future__ import annotations

import contextlib
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent

from ckv.cluster.copying import Copy
from ckv.cluster.holding import Holding
from ckv.cluster.identity import Identity
from ckv.cluster.map import Map, Node, Version
from ckv.cluster.member import Member
from ckv.cluster.messages import Joined
from ckv.cluster.roster import OWN_TIER
from ckv.cluster.slots import SLOTS, slot_of
from ckv.node.filing import Filing
from ckv.node.guard import Guard
from ckv.node.moves import Moves
from ckv.node.warming import Warming
from ckv.persistent.sqlite import SQLiteTier
from ckv.protocol.handler import LATER
from ckv.protocol.limits import Limits
from ckv.protocol.packing import new_packer
from ckv.store.copying import Copied, Sums
from ckv.store.filed import Filed
from ckv.store.memory import POLICIES
from ckv.store.memory.slots import SlotSet
from ckv.store.modes import MODES
from ckv.store.pending import Pending
from ckv.store.tiers import Environment
from tests.net.conftest import until
from tests.node.callers import Told

FIRST, SECOND, THIRD = (1, 1), (1, 2), (1, 3)

OURS = [key for key in map(str, range(400)) if slot_of(key) < SLOTS // 2]
GONE = frozenset(range(SLOTS // 4, SLOTS // 2))
LEFT = {key for key in OURS if slot_of(key) in GONE}
THEIRS = [key for key in map(str, range(400)) if slot_of(key) >= SLOTS // 2]


def by(version: Version, mine: float = 0.5, me: int = 1) -> Map:
    """The map in which so much of the slots, the first ones, is this node's."""
    nodes = [Node("me", me, "127.0.0.1", 1, 100), Node("other", 1, "127.0.0.1", 2, 100)]
    return Map(version, nodes, array("H", [int(slot >= mine * SLOTS) for slot in range(SLOTS)]))


class Rig:
    """One process of a node."""

    def __init__(self, path: Path, name: str = "me", incarnation: int = 1) -> None:
        self.path = path
        self.tier = SQLiteTier(str(path))
        self.member = Member(Identity(name, incarnation, "127.0.0.1", 1, tier=OWN_TIER, incarnation=incarnation))
        environment = Environment(clock=time.monotonic, load_timeout=5.0, pending_wait=1.0)
        guard = Guard(self.member, time.monotonic)
        store = MODES["through"](POLICIES["lru"](1000), Pending(1000, 1 << 30), environment)
        self.store = Filed(store)
        warming = Warming(self.member, guard, store, Limits(), 0)
        self.filing = Filing(self.member, self.store, self.tier, Limits(), 0, warming)
        self.said: list[Any] = []
        self.moves = Moves(self.member, self.store, guard, self.said.append, self.filing)
        self.filing.open(name)
        self.tier.when_other = self._renew

    def _renew(self) -> None:
        self.tier.generation += 1

    @property
    def holding(self) -> Holding:
        assert isinstance(self.member.copies, Holding)
        return self.member.copies

    def join(self, world: Map) -> None:
        self.member.tick(0.0)
        self.moves.carry_out()
        self.member.answered(self.said.pop(), Joined(self.member.identity.incarnation, 0.0, world), 0.0, 0.0)
        self.moves.carry_out()

    def take(self, world: Map) -> None:
        self.member.take_map(world)
        self.moves.carry_out()

    def settle(self) -> None:
        """Until it serves what is its own, has no rows of others, and asks nothing of its file."""
        until(
            lambda: self.member.is_settled and not (self.holding.others or self.filing._turn.locked()),
            "nothing is dropped any more",
        )

    def serves(self) -> int:
        return sum(self.member.serves)

    def close(self) -> None:
        """As a kill does, as far as the file is concerned."""
        self.moves.end()


def write(path: Path, keys: list[str]) -> None:
    with contextlib.closing(SQLiteTier(str(path)).connect()) as session:
        session.save_many([(key, f"v:{key}") for key in keys])


def rows(path: Path) -> set[str]:
    with contextlib.closing(SQLiteTier(str(path)).connect(prepare=False)) as session:
        return {key for key, _ in session.next_keys(None, 10_000)}


class Held:
    """A store that saves what it was given before the node joined once the test has it do so."""

    def __init__(self, rig: Rig, *keys: str) -> None:
        self._store, self._path, self._keys = rig.store, rig.path, keys
        self.may_save = False
        self.holds, self.absent, self.move = True, (), None
        self.forget = self._store.forget

    def begin_move(self, _slots: SlotSet) -> Held:
        return self

    def end_move(self) -> None:
        pass

    def prepare(self) -> Iterator[None]:
        while not self.may_save:
            yield
        write(self._path, [*self._keys])

    def freeze(self) -> None:
        pass

    def hand_over(self) -> Iterator[None]:
        return iter(())


class Source:
    """The other node, which sends a copy."""

    def __init__(self, rig: Rig, version: Version = FIRST) -> None:
        self._rig = rig
        self._version = version
        self._sums = Sums()
        self._number = 0

    def send(self, *records: Copied, last: bool = False, wrong: int = 0) -> object:
        """What is answered."""
        self._sums.take(records)
        packed = new_packer().pack([list(record) for record in records])
        total, digest = self._sums.total + wrong, self._sums.digest
        said = Copy("other", "me", 7, self._version, self._number, packed, total, digest, last)
        self._number += 1
        told = Told()
        assert self._rig.filing.copy(told, 1, tuple(said.pack())) is LATER
        until(lambda: told.answers, "it is answered")
        _, error, result = told.answers[0]
        return error or result

    def send_all(self) -> None:
        assert self.send() is True
        assert self.send(*[(key, f"v:{key}", 0) for key in THEIRS]) is True
        assert self.send(last=True) is True


@contextlib.contextmanager
def with_half(path: Path) -> Iterator[Rig]:
    """One that has half of the slots, with records."""
    with gevent.Timeout(20, AssertionError("the test hangs")):
        rig = Rig(path)
        rig.join(by(FIRST))
        rig.settle()
        write(path, OURS)
        assert rig.serves() == SLOTS // 2
        yield rig
        rig.close()
