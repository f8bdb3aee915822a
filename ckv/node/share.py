"""The share of the keys that a secondary has, where primaries have lists of their nodes: all have to say the same one.

What a node keeps of keys that are another one's gets old, and would come back when they are its own again. So it stays
with the first share that it was told for as long as it has records, or whoever told it is connected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ckv import errors
from ckv.protocol.greeting import ANSWER, Share, nodes_in, share_in
from ckv.protocol.handler import LATER, Caller

WHAT_TO_DO: Final = "Stop all secondaries before a list changes"


class OwnShare:
    """That of this node, once a primary has told it."""

    def __init__(
        self,
        holds: Callable[[], bool],
        agree: Callable[[Share, Callable[[str], None]], None] | None,
        told: Callable[[Share, tuple[str, ...]], object] = lambda _share, _nodes: None,
    ) -> None:
        """``holds``: whether the node has records, in memory or to be saved. ``agree``: asks in the database that nodes
        have in common what speaks against a share, and tells that, or nothing; None without such a database. ``told``:
        is told the share when it is a new one, and with it, once it is agreed, the addresses of all nodes when a
        primary has said these."""
        self._holds = holds
        self._agree = agree
        self._told = told
        self.share: Share | None = None
        self._is_agreed = agree is None
        self._primaries: set[Caller] = set()
        """Whoever has told it, and is connected."""

    def hello(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        """The handler of HELLO."""
        share = share_in(params)
        if share is None:
            return ANSWER
        self._primaries = {primary for primary in self._primaries if primary.is_open}
        nodes = nodes_in(params)
        is_new = share != self.share
        if is_new:
            if self.share is not None and (self._primaries or self._holds()):
                raise errors.WrongNode(f"this node is {self.share} by another list, not {share}. {WHAT_TO_DO}")
            self.share, self._is_agreed = share, self._agree is None
        self._primaries.add(caller)
        if self._is_agreed or self._agree is None:
            if is_new or nodes:
                self._told(share, nodes)
            return ANSWER
        if is_new:
            self._told(share, ())
        self._agree(share, lambda why: self._answer(caller, msgid, share, nodes, why))
        return LATER

    def _answer(self, caller: Caller, msgid: int, share: Share, nodes: tuple[str, ...], why: str) -> None:
        if not why and share == self.share:
            self._is_agreed = True
            if nodes:
                self._told(share, nodes)
            caller.respond(msgid, None, ANSWER)
            return
        self._primaries.discard(caller)
        if share == self.share:
            self.share = None
        error = errors.WrongNode(f"{why or 'another primary says otherwise'}. {WHAT_TO_DO}")
        caller.respond(msgid, errors.to_wire(error), None)
