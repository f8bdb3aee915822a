"""What a primary without a list asks of all nodes that own slots: SCAN and FLUSH of one after the other, and DBSIZE;
and SAVE of all nodes, as one that has just joined may have something to save before it is given slots.

A slot that moves may go from a node that was not asked yet to one that was. So a cursor is good under one map alone:
within a node its own scan knows that (:mod:`ckv.node.scanning`), and from one node to the next the cursor says it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ckv import errors
from ckv.cluster.map import MAX_NODES, NOBODY
from ckv.commands import COMMANDS
from ckv.net.peer import Peer
from ckv.node.everywhere import NODES, Asked, Everywhere, Gathered
from ckv.node.routing import Routing
from ckv.protocol.handler import LATER, Caller

FIRST_OF: Final = NODES // 2
"""A number of a node plus this: its scan begins, by the map whose number stands before it in the cursor."""

assert MAX_NODES <= FIRST_OF


class AllOwners(Everywhere):
    """The handlers, over the nodes of the map."""

    def __init__(self, routing: Routing, *, allow_flush: bool) -> None:
        super().__init__([], allow_flush=allow_flush)
        self._routing = routing

    def _by_number(self) -> Mapping[int, Asked]:
        self._owners()
        return dict(sorted(self._routing.peers.items()))

    def _owners(self) -> dict[int, Peer]:
        """The nodes that own slots, by number, in order. Raises Moving where a slot has no owner."""
        numbers = sorted(set(self._routing.router.map.owners))
        if not self._routing.router.knows or numbers[-1] == NOBODY:
            raise errors.Moving("not all slots have an owner now")
        return {number: self._routing.peers[number] for number in numbers}

    def _one_after_the_other(
        self, method: str, cursor: int, rest: tuple[object, ...], caller: Caller, msgid: int
    ) -> object:
        owners = self._owners()
        _, epoch = self._routing.router.version
        inner, number = divmod(cursor, NODES)
        if cursor == 0:
            number = next(iter(owners))
        elif number >= FIRST_OF:
            if inner != epoch:
                raise errors.Refused(f"slots have moved since the cursor {cursor} was given: begin again with 0")
            inner, number = 0, number - FIRST_OF
        if number not in owners:
            raise errors.Refused(f"there is no scan with the cursor {cursor}: begin again with 0")
        following = next((other for other in owners if other > number), None)

        def answer(results: list[Any]) -> object:
            ((inner, found),) = results
            if inner:
                return [inner * NODES + number, found]
            return [epoch * NODES + FIRST_OF + following if following is not None else 0, found]

        Gathered(caller, msgid, answer, 1).ask(owners[number], method, (inner, *rest))
        return LATER

    def size(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        """The handler of DBSIZE: what the owners say, together."""
        if params:
            raise COMMANDS["DBSIZE"].wrong_count(params)
        owners = self._owners()
        gathered = Gathered(caller, msgid, sum, len(owners))
        for node in owners.values():
            gathered.ask(node, "DBSIZE", ())
        return LATER
