"""A primary that tells who owns what, and owners, that note what they are asked."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from ckv import Client
from ckv.cluster.directory import Basis, Directory, Place
from ckv.cluster.slots import SLOTS, slot_of
from ckv.errors import CkvError, Refused, to_wire
from tests.support.fakenode import Connection, FakeNode

Answer = Callable[[str, list[Any]], object]


class Fake:
    """A node that notes what it is asked, in which connection, and answers with what it is told, or raises it."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[tuple[int, str, list[Any]]] = []
        self.connections = 0
        self.node = FakeNode(self._serve)

    @property
    def port(self) -> int:
        return self.node.port

    @property
    def methods(self) -> list[str]:
        return [method for _, method, _ in self.asked]

    def _serve(self, connection: Connection) -> None:
        self.connections += 1
        number = self.connections
        while True:
            _, msgid, method, params = connection.request()
            self.asked.append((number, method, params))
            try:
                connection.respond(msgid, self.answer(method, params))
            except CkvError as error:
                connection.respond(msgid, None, to_wire(error))


class World:
    """A primary, and two owners that hold what they are put."""

    def __init__(self, stack: ExitStack) -> None:
        self.records: dict[str, Any] = {}
        self.owners = [Fake(self.store), Fake(self.store)]
        self.primary = Fake(self.of_primary)
        for fake in (*self.owners, self.primary):
            stack.enter_context(fake.node)
        self.tell((1, 1), lambda slot: slot % 2)

    def tell(
        self,
        version: tuple[int, int],
        owner: Callable[[int], int],
        basis: Basis = "map",
        places: Sequence[Place | None] | None = None,
    ) -> None:
        """What the primary says from now on."""
        if places is None:
            places = self.places(basis)
        self.directory: object = Directory(basis, version, places, array("H", map(owner, range(SLOTS)))).pack()

    def places(self, basis: Basis = "map") -> list[Place]:
        """Where the owners are."""
        return [
            Place("127.0.0.1", fake.port, f"p{number}", f"n{number}" if basis == "map" else "")
            for number, fake in enumerate(self.owners)
        ]

    def store(self, method: str, params: list[Any]) -> object:
        match method, params:
            case "DIRECT", _:
                return 0
            case "PUT", [key, value]:
                self.records[key] = value
                return True
            case "ECHO", [value]:
                return value
            case "INCRBY", [key, count]:
                self.records[key] = self.records.get(key, 0) + count
                return self.records[key]
            case "GET", [key]:
                return [key in self.records, self.records.get(key, "")]
        raise Refused(method)

    def of_primary(self, method: str, params: list[Any]) -> object:
        return self.directory if method == "OWNERS" else self.store(method, params)

    def client(self, **options: Any) -> Client:
        return Client("127.0.0.1", self.primary.port, direct=True, **{"timeout": 5, **options})


def key_of(owner: int, other_than: str = "") -> str:
    """A key whose slot is even, or odd."""
    return next(key for key in map(str, range(100)) if slot_of(key) % 2 == owner and key != other_than)
