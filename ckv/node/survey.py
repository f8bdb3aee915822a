"""What a primary asks of itself and of all secondaries that it passes requests to, for who looks after a whole cluster:
NODES, CLIENTS, HOT and BIG.

A node that does not answer soon keeps nobody from seeing the others.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Final, Protocol

from ckv import errors
from ckv.commands import COMMANDS
from ckv.node.figures import Info
from ckv.node.hotkeys import number_of_keys
from ckv.protocol.handler import LATER, Caller, Handler

WITHIN: Final = 1.0
"""Seconds in which a node has to answer."""

AWAY: Final = "not connected"
"""How it begins why a node has not even been asked."""

WITHIN_OF_BIG: Final = 4.0
"""The same where it goes through all of its memory first."""

Row = list[Any]
"""An address, empty for the node itself; why it says nothing, empty where it does; and what it says, a list. Figures
are pairs of name and value there: nodes tell each other no maps."""


def row_of(info: Info) -> Row:
    """That of the node itself, without what it says of its secondaries, which have rows of their own."""
    return ["", "", [[name, value] for name, value in info.items() if not name.startswith("peer_")]]


class Surveyed(Protocol):
    """A node that can be asked: :class:`ckv.net.peer.Peer`."""

    @property
    def address(self) -> object: ...
    @property
    def reason(self) -> str: ...
    def call(self, method: str, params: tuple[object, ...], caller: Caller, msgid: int, /) -> None:
        """Asks it; the answer goes to the caller. Raises a Refused, and nothing was sent."""


class Survey:
    """The method, at a primary."""

    def __init__(
        self,
        name: str,
        own: Callable[..., list[Row]],
        nodes: Callable[[], Iterable[Surveyed]],
        later: Callable[[float, Callable[[], None]], object],
        within: float = WITHIN,
        may_say: Callable[[object], bool] = lambda _: True,
    ) -> None:
        """``name``: of the method. ``own`` has the rows of this node itself, given the arguments; it raises
        BadArguments for wrong ones. ``later`` has something done after so many seconds. ``may_say``: whether that may
        be in the list of what a node says."""
        self._name = name
        self._own = own
        self._nodes = nodes
        self._later = later
        self._within = within
        self._may_say = may_say

    def survey(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        """The handler of the method."""
        command = COMMANDS[self._name]
        if len(params) != len(command.arguments):
            raise command.wrong_count(params)
        rows = self._own(*params)
        nodes = list(self._nodes())
        if not nodes:
            return rows
        first = len(rows)
        rows += [[str(node.address), f"no answer within {self._within:g} s", []] for node in nodes]
        answers = _Answers(caller, msgid, rows, len(nodes), self._may_say)
        for number, node in enumerate(nodes, first):
            try:
                node.call(self._name, params, answers, number)
            except errors.NodeDown:
                answers.respond(number, f"{AWAY}: {node.reason or 'it was there a moment ago'}", None)
            except errors.Refused as error:
                answers.respond(number, errors.to_wire(error), None)
        self._later(self._within, answers.end)
        return LATER


def surveys(
    figures: Callable[[], Info],
    clients: Callable[[object], list[Row]],
    nodes: Callable[[], Iterable[Surveyed]],
    later: Callable[[float, Callable[[], None]], object],
) -> dict[str, Handler]:
    """All that a primary asks in this way, by the names of the methods. ``clients``: what it answers to CLIENTS itself;
    it raises BadArguments."""

    def nothing(count: object) -> list[Row]:
        number_of_keys(count)
        return []  # a primary keeps no records

    return {
        "NODES": Survey("NODES", lambda: [row_of(figures())], nodes, later, may_say=_is_figure).survey,
        "CLIENTS": Survey("CLIENTS", clients, nodes, later).survey,
        "HOT": Survey("HOT", nothing, nodes, later).survey,
        "BIG": Survey("BIG", nothing, nodes, later, WITHIN_OF_BIG).survey,
    }


def _is_figure(said: object) -> bool:
    match said:
        case [str(), int() | float() | str()]:
            return True
    return False


class _Answers:
    """The caller at each node."""

    def __init__(
        self, caller: Caller, msgid: int, rows: list[Row], count: int, may_say: Callable[[object], bool]
    ) -> None:
        self._caller = caller
        self._msgid = msgid
        self._rows = rows
        self._left = count
        self._may_say = may_say
        self._is_over = False

    @property
    def is_open(self) -> bool:
        return self._caller.is_open and not self._is_over

    def respond(self, msgid: int, error: object, result: object) -> None:
        if self._is_over:
            return
        self._rows[msgid][1:] = [str(error), []] if error is not None else self._read(result)
        self.settle()

    def _read(self, result: object) -> Row:
        """What a node has said of itself."""
        match result:
            case [[str(), str() as trouble, [*said]]] if all(map(self._may_say, said)):
                return [trouble, said]
        return ["the node says something else", []]

    def settle(self) -> None:
        self._left -= 1
        if not self._left:
            self.end()

    def end(self) -> None:
        """Answers with what there is, unless that was done."""
        if not self._is_over:
            self._is_over = True
            self._caller.respond(self._msgid, None, self._rows)

    def hold(self, reason: Hashable) -> None:
        self._caller.hold(reason)

    def release(self, reason: Hashable) -> None:
        self._caller.release(reason)
