"""The records of one node of the simulation that keeps them in memory alone, and their way to another node."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from ckv.cluster.copying import Copy
from ckv.cluster.map import Node, Version
from ckv.cluster.messages import KEPT
from tests.cluster.records import Tell
from tests.cluster.schedule import Link, Wrong

if TYPE_CHECKING:
    from tests.cluster.secondary import Secondary

TAKEN: Final = "taken"


class CopiedRecords:
    """What :class:`~tests.cluster.records.Records` is to nodes with a database."""

    def __init__(self, node: Secondary) -> None:
        self._node = node
        self.memory: dict[str, str] = {}
        self.staged: dict[str, str] = {}
        """What has come from another node, and nobody can read."""
        self._sending: Sending | None = None

    # --- requests ---------------------------------------------------------------------------------------------------

    def put(self, key: str, value: str, tell: Tell) -> None:
        self.memory[key] = value
        tell(("ok", None))

    def get(self, key: str, tell: Tell) -> None:
        tell(("ok", self.memory.get(key)))

    # --- from here to another node ----------------------------------------------------------------------------------

    def prepare(self, move: int, keys: Collection[str], target: Node, tell: Tell) -> None:
        self._sending = Sending(self._node, self.memory, move, sorted(keys), target)
        self._sending.send(tell, ["prepared", 0, 0, 0])

    def freeze(self, move: int, tell: Tell) -> None:
        sending, member = self._sending, self._node.member
        if sending is not None:
            sending.is_frozen = True

            def sent(result: object) -> None:
                if result != RELEASED or member.released(move):
                    tell(result)

            sending.send(sent, RELEASED)

    def end_move(self) -> None:
        self._sending = None

    # --- from another node to here ----------------------------------------------------------------------------------

    def receive(self, said: Copy) -> str | None:
        """None if it does not take that."""
        member = self._node.member
        assert member.copies is not None
        if member.copies.receive(said, member.map, member.key):
            return None
        self._node.schedule.count("copies that arrive")
        if said.number == 0:
            self.staged = {}
        records: Any = said.records
        for key, value in records.items():
            self.staged.pop(key, None)
            if value is not None:
                self.staged[key] = value
        is_right = len(self.staged) == said.total and digest_of(self.staged) == said.digest
        member.copies.received(said, is_right=is_right)
        if not is_right:
            raise Wrong(f"what has come to {self._node.name} is not what was sent")
        return TAKEN

    def take_staged(self) -> dict[str, str]:
        """What has come, which is now in the hands of the caller."""
        staged, self.staged = self.staged, {}
        return staged

    def look(self) -> None:
        """There is another map: what has come for a move that is over is nobody's."""
        self.staged = {}

    def may_serve(self, slots: frozenset[int]) -> bool:
        """Whether these can be served, if they are its own."""
        return True

    def forget(self, keys: Collection[str]) -> None:
        for key in keys:
            self.memory.pop(key, None)


class Sending:
    """What has gone of one move."""

    def __init__(self, node: Secondary, memory: dict[str, str], move: int, keys: list[str], target: Node) -> None:
        self._node = node
        self._memory = memory
        self._move = move
        self._keys = keys
        self._target = node.world.nodes[target.port]
        self._name = target.name
        self._version: Version = node.member.version
        self._sent: dict[str, str] = {}
        self._number = 0
        self._link = Link(node.schedule, node, self._target)
        self.is_frozen = False

    def send(self, tell: Tell, result: list[object]) -> None:
        """Sends what has changed, one key in each message; then tells the result, or that it was not taken."""
        for key in self._keys:
            if self._memory.get(key) != self._sent.get(key):
                self._say({key: self._memory.get(key)}, False, lambda: self.send(tell, result), tell)
                return
        self._say({}, self.is_frozen, lambda: tell(result), tell)

    def _say(self, records: dict[str, str | None], is_last: bool, then: Any, tell: Tell) -> None:
        for key, value in records.items():
            self._sent.pop(key, None)
            if value is not None:
                self._sent[key] = value
        packed: Any = records
        total, digest = len(self._sent), digest_of(self._sent)
        me = self._node.node_name
        said = Copy(me, self._name, self._move, self._version, self._number, packed, total, digest, is_last)
        self._number += 1

        def answered(answer: object) -> None:
            if answer == TAKEN:
                then()
            else:
                tell([KEPT, b"", "it does not take the copy"])

        self._link.call(self._target.copy, answered, said)


RELEASED: Final[list[object]] = ["released", 0, 0]


def digest_of(records: dict[str, str]) -> int:
    return hash(frozenset(records.items()))
