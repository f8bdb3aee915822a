"""The records of one node of the simulation that has a file of its own, which outlives its processes: what is written
is there at once (``through``), and is what another node is sent."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from ckv.cluster.copying import Copy
from ckv.cluster.holding import Holding, Note
from ckv.cluster.map import NO_VERSION, Node
from tests.cluster.copied import RELEASED, TAKEN, CopiedRecords, digest_of
from tests.cluster.records import Tell
from tests.cluster.schedule import Wrong

if TYPE_CHECKING:
    from tests.cluster.secondary import Secondary

DEATH: Final = 0.02
"""How likely a process dies between two things that it does to its file."""

SOON: Final = (0.0, 0.003, 0.02, 0.1)


class File:
    """What outlives a process."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}
        self.note: Note | None = None
        self.incarnation = 0


class FiledRecords(CopiedRecords):
    """Those of one process."""

    def __init__(self, node: Secondary, file: File) -> None:
        super().__init__(node)
        self._file = file
        self.memory = file.rows
        self._noted = NO_VERSION
        assert isinstance(node.member.copies, Holding)
        self.holding = node.member.copies
        if file.note is not None:
            node.member.go_on_from(file.note)
            self._noted = file.note.map.version
        self.holding.begin(file.note)

    # --- the file ---------------------------------------------------------------------------------------------------

    def write_note(self) -> bool:
        """Whether it lived to see that."""
        member = self._node.member
        note = self.holding.note(self._node.node_name, member.map)
        self._file.note = Note.unpack(note.pack(), self._node.world.slots)
        self._noted = member.version
        return not self._dies()

    def _dies(self) -> bool:
        chance, world = self._node.schedule.chance, self._node.world
        if world.kind == "moves" or world.schedule.now > world.ends or chance.random() >= DEATH:
            return False
        self._node.schedule.count("deaths at a file")
        self._node.die_and_come_back()
        return True

    def look(self) -> None:
        """There may be another map: it is noted, and rows of others are deleted, a moment later."""
        if self._noted != self._node.member.version or self.holding.others:
            self._node.schedule.at(self._node.schedule.chance.choice(SOON), self._node, self._keep)

    def _keep(self) -> None:
        others = self.holding.others
        if (self._noted != self._node.member.version or others) and not self.write_note():
            return
        for key in self._node.keys_in(others):
            if key in self.memory:
                self._node.schedule.count("rows that are deleted")
                del self.memory[key]
                if self._dies():
                    return
        if others:
            self.holding.deleted(others)
            self.write_note()

    def may_serve(self, slots: frozenset[int]) -> bool:
        """Whether these can be served, if they are its own."""
        owned = self._node.member.owned
        return self._noted == self._node.member.version and not slots & owned & self.holding.others

    # --- from here to another node ----------------------------------------------------------------------------------

    def prepare(self, move: int, keys: Collection[str], target: Node, tell: Tell) -> None:
        self._moving = frozenset(self._node.world.keys[key] for key in keys)
        super().prepare(move, keys, target, tell)

    def freeze(self, move: int, tell: Tell) -> None:
        sending, member = self._sending, self._node.member
        if sending is None:
            return
        sending.is_frozen = True

        def sent(result: object) -> None:
            if result == RELEASED:
                if self._sending is not sending:
                    return
                self.holding.give(self._moving)
                if not self.write_note() or not member.released(move):
                    return
            tell(result)

        sending.send(sent, RELEASED)

    # --- from another node to here ----------------------------------------------------------------------------------

    def receive(self, said: Copy) -> str | None:
        member, world = self._node.member, self._node.world
        if self.holding.receive(said, member.map, member.key):
            return None
        self._node.schedule.count("copies that arrive")
        if said.number == 0:
            self.staged = {}
            if not self.write_note():
                return None
        records: Any = said.records
        self.holding.comes(frozenset(world.keys[key] for key in records))
        for key, value in records.items():
            if world.keys[key] in member.map.slots_of(self._node.node_name):
                raise Wrong(f"{self._node.name} has its own {key} overwritten")
            self.staged.pop(key, None)
            self.memory.pop(key, None)
            if value is not None:
                self.staged[key] = self.memory[key] = value
        if self._dies():
            return None
        is_right = len(self.staged) == said.total and digest_of(self.staged) == said.digest
        self.holding.received(said, is_right=is_right)
        if not is_right:
            raise Wrong(f"what has come to {self._node.name} is not what was sent")
        if said.is_last and not self.write_note():
            return None
        return TAKEN

    def take_staged(self) -> dict[str, str]:
        return {}  # they are in the file

    def forget(self, keys: Collection[str]) -> None:
        """Memory has nothing that the file has not."""


def rows_of_others(node: Secondary, file: File) -> list[str]:
    """The keys of rows that are left when nothing goes on any more."""
    return [key for key in file.rows if node.world.keys[key] not in node.member.owned]
