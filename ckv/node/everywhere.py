"""What a primary asks of all nodes: SCAN and FLUSH of one after the other, DBSIZE and SAVE of all at once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final, Protocol

from ckv import errors
from ckv.commands import COMMANDS
from ckv.node.emptying import ALL, NOT_ALLOWED
from ckv.node.saving import BEGIN, checked_ticket
from ckv.node.scanning import scan_arguments
from ckv.protocol.handler import LATER, Caller, Handler

NODES: Final = 2**14
"""A cursor of ours is that of a node times this, plus the number of the node: there are no more, as there are no more
slots."""


class Asked(Protocol):
    """A node that can be asked: :class:`ckv.net.peer.Peer`."""

    def call(self, method: str, params: tuple[object, ...], caller: Caller, msgid: int, /) -> None:
        """Asks it; the answer goes to the caller. Raises a Refused, and nothing was sent."""


class Everywhere:
    """The handlers, over the nodes in the order of their list."""

    def __init__(self, nodes: Sequence[Asked], *, allow_flush: bool = False) -> None:
        self._nodes = nodes
        self._allow_flush = allow_flush

    @property
    def handlers(self) -> dict[str, Handler]:
        """The methods, by their names."""
        return {"SCAN": self.scan, "DBSIZE": self.size, "FLUSH": self.flush, "SAVE": self.save}

    def scan(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        """The handler of SCAN: each cursor says which node it is one of."""
        cursor, pattern, count = scan_arguments(params)
        return self._one_after_the_other("SCAN", cursor, (pattern, count), caller, msgid)

    def flush(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        """The handler of FLUSH, whose cursors are of the same kind."""
        if not self._allow_flush:
            raise errors.Refused(NOT_ALLOWED)
        if len(params) != 1:
            raise COMMANDS["FLUSH"].wrong_count(params)
        cursor, *_ = scan_arguments((*params, ALL, 1))
        return self._one_after_the_other("FLUSH", cursor, (), caller, msgid)

    def _one_after_the_other(
        self, method: str, cursor: int, rest: tuple[object, ...], caller: Caller, msgid: int
    ) -> object:
        """Asks the node of the cursor; the next one begins where it ends."""
        inner, number = divmod(cursor, NODES)
        if number >= len(self._nodes):
            raise errors.Refused(f"there is no scan with the cursor {cursor}: begin again with 0")

        def answer(results: list[Any]) -> object:
            ((inner, found),) = results
            if inner:
                return [inner * NODES + number, found]
            return [number + 1 if number + 1 < len(self._nodes) else 0, found]

        Gathered(caller, msgid, answer, 1).ask(self._nodes[number], method, (inner, *rest))
        return LATER

    def size(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        """The handler of DBSIZE: what the nodes say, together."""
        if params:
            raise COMMANDS["DBSIZE"].wrong_count(params)
        gathered = Gathered(caller, msgid, sum, len(self._nodes))
        for node in self._nodes:
            gathered.ask(node, "DBSIZE", ())
        return LATER

    def save(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        """The handler of SAVE. A ticket of ours has that of each node: ``1:77,2:31``. So it is noticed when one was
        started anew since, or is none of ours any more."""
        if len(params) != 1:
            raise COMMANDS["SAVE"].wrong_count(params)
        ticket = checked_ticket(params[0])
        nodes = self._by_number()
        tickets = dict.fromkeys(nodes, BEGIN) if ticket == BEGIN else _tickets(ticket)
        if not tickets.keys() <= nodes.keys():
            raise errors.Refused(f"a node of the ticket {ticket} is gone: begin again with {BEGIN}")

        def answer(results: list[Any]) -> object:
            theirs, *sums = zip(*results, strict=True)
            ticket = ",".join(f"{number}:{of}" for number, of in zip(tickets, theirs, strict=True))
            return [ticket, *map(sum, sums)]

        gathered = Gathered(caller, msgid, answer, len(tickets))
        for number, of in tickets.items():
            gathered.ask(nodes[number], "SAVE", (of,))
        return LATER

    def _by_number(self) -> Mapping[int, Asked]:
        """All nodes, by numbers that each of them keeps."""
        return dict(enumerate(self._nodes))


def _tickets(text: str) -> dict[int, str]:
    """The tickets of nodes in one of ours. Raises Refused."""
    try:
        pairs = [part.split(":") for part in text.split(",")]
        return {int(number): of for number, of in pairs}
    except ValueError:
        raise errors.Refused(f"there is no save with the ticket {text}: begin again with {BEGIN}") from None


class Gathered:
    """The caller of one request at each of some nodes, whose results are one for whoever has asked us."""

    def __init__(self, caller: Caller, msgid: int, made: Callable[[list[Any]], object], count: int) -> None:
        """``made`` makes it of the results, in the order in which they were asked. One error is enough for all."""
        self._caller = caller
        self._msgid = msgid
        self._made = made
        self._results: list[Any] = [None] * count
        self._asked = 0
        self._waiting = count
        self._error: object = None
        self._is_over = False

    def ask(self, node: Asked, method: str, params: tuple[object, ...]) -> None:
        """Asks one of them. Raises the Refused of a node that cannot be asked; whoever has asked us is to be told that,
        and nothing else."""
        number = self._asked
        self._asked += 1
        try:
            node.call(method, params, self, number)
        except errors.Refused:
            self._is_over = True
            raise

    @property
    def is_open(self) -> bool:
        return self._caller.is_open and not self._is_over

    def respond(self, msgid: int, error: object, result: object) -> None:
        if self._is_over:
            return
        self._results[msgid] = result
        self._error = self._error or error
        self._waiting -= 1
        if self._waiting:
            return
        if self._error is not None:
            self._caller.respond(self._msgid, self._error, None)
            return
        try:
            made = self._made(self._results)
        except (TypeError, ValueError):  # a node of another version
            wrong = errors.ServerError("a node answered with something else")
            self._caller.respond(self._msgid, errors.to_wire(wrong), None)
            return
        self._caller.respond(self._msgid, None, made)

    def settle(self) -> None:
        self._waiting -= 1
        if not self._waiting and not self._is_over:
            self._caller.settle()

    def hold(self, reason: Hashable) -> None:
        self._caller.hold(reason)

    def release(self, reason: Hashable) -> None:
        self._caller.release(reason)
