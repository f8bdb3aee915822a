"""By what a secondary takes clients that come to it directly, and what a primary tells them of its nodes."""

from __future__ import annotations

from array import array
from typing import Any

import pytest

from ckv import errors
from ckv.address import Address
from ckv.cluster.directory import Directory, Place
from ckv.cluster.identity import Identity
from ckv.cluster.map import Map, Node
from ckv.cluster.slots import SLOTS
from ckv.node import direct
from ckv.node.direct import DirectClients, of_list, of_map
from ckv.protocol.greeting import PROCESS


class Known:
    """A node, as its primary knows it."""

    def __init__(self, port: int, process: str = "p", *, connected: bool = True) -> None:
        self.address, self.process, self.connected = Address("host", port), process, connected


class Node7:
    """A node of the name n7; who asked by which version, and who was turned out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken: list[object] = []
        self.turned_out: list[object] = []
        monkeypatch.setattr(direct, "turn_out", self.turned_out.append)
        share: Any = None
        guard: Any = self
        self.clients = DirectClients(Identity("n7", 1, "host", 1), guard, share)

    def epoch(self, _caller: object, _msgid: int, params: tuple[object, ...]) -> object:
        self.taken.append(params)
        return 0

    def told(self, *params: object) -> object:
        caller: Any = "the client"
        return self.clients.direct(caller, 1, params)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node7:
    return Node7(monkeypatch)


def test_who_means_this_node_is_taken(node: Node7) -> None:
    assert node.told(PROCESS, "map", 3, 4, "n7") == 0
    assert (node.taken, node.turned_out) == ([((3, 4),)], [])


@pytest.mark.parametrize(
    ("process", "name"),
    [(PROCESS, "n8"), (PROCESS, ""), ("another", "n7")],
    ids=["another name", "no name", "another process"],  # PROCESS is another text in each worker
)
def test_who_means_another_one_is_served_nothing(node: Node7, process: str, name: str) -> None:
    """Its primary has asked this process who it is, and takes it for the node that was at the address before."""
    with pytest.raises(errors.WrongNode):
        node.told(process, "map", 3, 4, name)
    assert (node.taken, node.turned_out) == ([], ["the client"])


@pytest.mark.parametrize(
    "params", [(), (PROCESS, "map", 3, 4), (PROCESS, "map", 3, 4, None), (PROCESS, "no", 3, 4, "n7")]
)
def test_what_is_no_introduction_is_refused(node: Node7, params: tuple[object, ...]) -> None:
    with pytest.raises(errors.BadArguments, match="DIRECT takes what OWNERS has told"):
        node.told(*params)


def test_a_client_is_told_the_names_of_the_nodes_that_are_meant() -> None:
    nodes = (Node("a", 1, "host", 1, 100, "up"), None, Node("c", 2, "host", 3, 100, "up"))
    world = Map((1, 2), nodes, array("H", [2]) * SLOTS)
    told = of_map(world, {0: Known(1), 1: Known(2), 2: Known(3, connected=False)})
    assert told.places == (Place("host", 1, "p", "a"), None, Place("host", 3, "", "c"))
    assert Directory.unpack(told.pack(), SLOTS) == told
    assert told.introduction(0) == ("p", "map", 1, 2, "a")
    listed = of_list([Known(1), Known(2)], array("H", [1]) * SLOTS)
    assert listed.introduction(1) == ("p", "list", 2, 2, "")
