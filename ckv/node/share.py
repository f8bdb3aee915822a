"""The share of the keys that a secondary has, where primaries have lists of their nodes: all have to say the same one.

What a node keeps of keys that are another one's gets old, and would come back when they are its own again. So it stays
with the first share that it was told for as long as it has records, or loads or writes some, or whoever told it is
connected. When it takes another one it forgets which keys have no record, and serves nothing by it until nobody is
known who speaks against it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from ckv import errors
from ckv.address import parse_address
from ckv.cluster.view import View, of_list, of_nothing, of_own_part
from ckv.node.guard import turn_out
from ckv.protocol.greeting import ANSWER, Share, nodes_in, refused_in, share_in
from ckv.protocol.handler import LATER, Caller

WHAT_TO_DO: Final = "Stop all secondaries before a list changes"

FEW_CLIENTS: Final = 64
"""As many are looked through without a thought."""


class Others(NamedTuple):
    """What a primary says of the whole list."""

    nodes: tuple[str, ...] = ()
    """The addresses of all nodes, this one among them; none where clients are told of none."""
    refused: frozenset[int] = frozenset()
    """The places, from 1 on, of those that have refused the primary."""


def view_of(share: Share, others: Others, before: View | None, *, is_agreed: bool) -> View | None:
    """What the node tells clients in cluster mode once it is told this; ``before``: what it has told them until now.
    None as long as no primary has said that there are such clients. Afterwards it stays in this mode, for some may know
    it by an earlier list: what is not its own it does not serve, and nothing before its share is agreed."""
    own = share.number - 1
    addresses = list(map(parse_address, others.nodes))
    if is_agreed and addresses:
        return of_list(addresses, own)
    address = next(iter(addresses[own : share.number]), None)
    if address is None and before is not None and before.own is not None:
        address = before.places[before.own].address
    if address is None:
        return None
    return of_own_part(address, own, share.of) if is_agreed else of_nothing(address)


class Kept(Protocol):
    """What the node has of its keys: :class:`ckv.store.Records`."""

    @property
    def holds(self) -> bool: ...
    def forget_absent(self) -> None: ...


class OwnShare:
    """That of this node, once a primary has told it."""

    def __init__(
        self,
        kept: Kept,
        agree: Callable[[Share, Callable[[str], None]], None] | None,
        told: Callable[[Share, Others], object] = lambda _share, _others: None,
        begins: Callable[[Share, Others], object] = lambda _share, _others: None,
    ) -> None:
        """``agree``: says in the database that nodes have in common that this one has a share, and tells what speaks
        against it, or nothing; None without such a database. ``begins`` is told a share that is a new one, and what the
        primary says of all nodes: by it no key is to be served until ``told`` has it, which is told it when it is
        agreed, and again when something else is said of the nodes."""
        self._kept = kept
        self._agree = agree
        self._told = told
        self._begins = begins
        self.share: Share | None = None
        self._former: Share | None = None
        """The one that was agreed before, while another one is not agreed yet: what the node has is of that."""
        self._is_agreed = agree is None
        self._primaries: dict[Caller, Others] = {}
        """Whoever has told it, and is connected, with what each says of the list; who has spoken last is last."""
        self._believed = Others()
        """What was told last of that."""
        self._clients: set[Caller] = set()
        """Those that come by this share, and some that are gone."""
        self._looked_at = FEW_CLIENTS
        """How many of them there may be until it is looked which are gone."""

    @property
    def is_agreed(self) -> bool:
        """Whether the node has one, and nobody is known who speaks against it."""
        return self.share is not None and self._is_agreed

    def hello(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        """The handler of HELLO."""
        share = share_in(params)
        if share is None:
            return ANSWER
        self._forget_closed()
        others = Others(nodes_in(params), refused_in(params))
        is_new = share != self.share
        if is_new:
            if self.share is not None and (self._primaries or self._kept.holds):
                raise errors.WrongNode(f"this node is {self.share} by another list, not {share}. {WHAT_TO_DO}")
            self._turn_out_clients()
            self._kept.forget_absent()
            if self._is_agreed:
                self._former = self.share
            self.share, self._is_agreed, self._believed = share, self._agree is None, Others()
            self._begins(share, others)
        self._primaries.pop(caller, None)
        self._primaries[caller] = others
        if self._is_agreed or self._agree is None:
            if is_new or others.nodes:
                self._tell(share)
            return ANSWER
        self._agree(share, lambda why: self._answer(caller, msgid, share, why))
        return LATER

    def admit(self, client: Caller, share: Share) -> None:
        """A client comes by the list of a primary that says that the node has this share, and from now on is served as
        long as that is so. Raises WrongNode."""
        if share != self.share or not self._is_agreed:
            raise errors.WrongNode(f"this node is not {share} of a list, or not yet")
        self._clients.add(client)
        if len(self._clients) > self._looked_at:
            self._clients = {other for other in self._clients if other.is_open}
            self._looked_at = max(FEW_CLIENTS, 2 * len(self._clients))

    def look(self) -> None:
        """To be called now and then: what a primary has said that is gone counts no more than what another one says
        that is there. Less it does not: nodes have their keys by a list that none of them has refused, and clients
        find them by it while its primary is started anew."""
        if self.share is None or not self._is_agreed or all(primary.is_open for primary in self._primaries):
            return
        self._forget_closed()
        said = self._said()
        if said.nodes and said != self._believed and len(said.refused) <= len(self._believed.refused):
            self._tell(self.share)

    def _forget_closed(self) -> None:
        self._primaries = {primary: said for primary, said in self._primaries.items() if primary.is_open}

    def _said(self) -> Others:
        """What that primary says which fewest nodes have refused: a list that others have is not made unknown by a
        wrong one in which this node has the same place."""
        said = [others for others in reversed(self._primaries.values()) if others.nodes]
        return min(said, key=lambda others: len(others.refused), default=Others())

    def _tell(self, share: Share) -> None:
        self._believed = self._said()
        self._told(share, self._believed)

    def _turn_out_clients(self) -> None:
        """What they ask for may be another node's now."""
        for client in self._clients:
            turn_out(client)
        self._clients.clear()

    def _answer(self, caller: Caller, msgid: int, share: Share, why: str) -> None:
        if not why and share == self.share and self._former not in (None, share) and self._kept.holds:
            why = f"this node is {self._former} by another list, not {share}"  # it was asked something meanwhile
        if not why and share == self.share:
            if not self._is_agreed:
                self._is_agreed, self._former = True, None
                self._kept.forget_absent()  # somebody may have written these keys until now
            self._tell(share)
            caller.respond(msgid, None, ANSWER)
            return
        self._primaries.pop(caller, None)
        if share == self.share:
            self._go_back()
        error = errors.WrongNode(f"{why or 'another primary says otherwise'}. {WHAT_TO_DO}")
        caller.respond(msgid, errors.to_wire(error), None)

    def _go_back(self) -> None:
        """The share is not the node's: it has the one of before, if it has anything of that, and serves nothing."""
        self.share = self._former = self._former if self._kept.holds else None
        self._is_agreed = False
        self._turn_out_clients()
        if self.share is not None and self._agree is not None:
            # The others have to know of it, whether it can be agreed now or not.
            self._agree(self.share, lambda _why: None)
