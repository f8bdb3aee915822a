"""EXEC at a primary: the requests of each owner go to it as one step, and the answers come back in their places.

Each part is one step of its node. Across nodes there is none: another client may see one part without the other, and
where a node fails the others' parts stand. So what compares before it writes (``WATCHED``) has to be on one node.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Final

from ckv import errors
from ckv.cluster.slots import SlotMap
from ckv.commands import COMMANDS
from ckv.net.callee import Callee
from ckv.net.parking import Parking
from ckv.node.steps import asked_of, told
from ckv.protocol.handler import LATER, Caller, Handler
from ckv.protocol.limits import BULKY_BYTES, KIB
from ckv.protocol.session import Session
from ckv.protocol.steps import WATCHED, Asked, Told, answers_of, packed_requests
from ckv.values import checked_key

HEAD_BYTES: Final = KIB
"""What a message has beside the requests, at most."""


@dataclass(slots=True)
class Part:
    """What one node is asked."""

    requests: list[Asked] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    """Where its answers belong, but for those of what is watched."""


def exec_at_owners(owners: SlotMap[Callee], max_message_bytes: int) -> Handler:
    """The handler. Raises CrossNode, Moving, and BadArguments for requests to one node that fit into no message."""

    def exec_(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        is_packed, watched, requests = asked_of(params)
        answers: list[Told | None] = [None] * len(requests)
        parts: dict[Callee, Part] = {}
        for key, digest in watched:
            parts.setdefault(owners.owner(key), Part()).requests.append((WATCHED, (key, digest)))
        for number, (method, arguments) in enumerate(requests):
            try:
                if not arguments:
                    raise COMMANDS[method].wrong_count(arguments)
                part = parts.setdefault(owners.owner(checked_key(arguments[0])), Part())
            except errors.Refused as error:
                answers[number] = (errors.to_wire(error), None)
                continue
            part.requests.append((method, arguments))
            part.places.append(number)
        if watched and len(parts) > 1:
            if any(isinstance(node, Parking) for node in parts):
                raise errors.Moving("the slot of a key is on its way from one node to another one; nothing was done")
            raise errors.CrossNode("keys of the request, or that are watched, are on several nodes; use {tags} in them")
        if not parts:
            return told(answers, True, is_packed=is_packed)
        sent = [(node, part, packed_requests(part.requests)) for node, part in parts.items()]
        for node, _, data in sent:
            if len(data) > max_message_bytes - HEAD_BYTES:
                where, most = getattr(node, "address", "one node"), max_message_bytes - HEAD_BYTES
                raise errors.BadArguments(f"{len(data)} bytes of requests to {where}, {most} are allowed")
        gathering = Gathering(caller, msgid, [part for _, part, _ in sent], answers, is_packed=is_packed)
        for number, (node, _, data) in enumerate(sent):
            try:
                node.call("EXEC", (data,), gathering, number, large=len(data) > BULKY_BYTES)
            except errors.CkvError as error:
                gathering.respond(number, errors.to_wire(error), None)
        return gathering.begin()

    return exec_


class Gathering:
    """The answers of all parts of one EXEC: it is the caller of each."""

    is_open = True
    """Also when nobody waits for them any more: no part is left out that others have been sent with."""

    def __init__(
        self, caller: Caller, msgid: int, parts: list[Part], answers: list[Told | None], *, is_packed: bool
    ) -> None:
        self._caller = caller
        self._msgid = msgid
        self._parts = parts
        self._answers = answers
        self._is_packed = is_packed
        self._left = len(parts)
        self._errors: list[object] = []
        """Those of parts that were not carried out, or of which nobody knows."""
        self._is_done = True
        self._holds = False
        self._began = False

    def begin(self) -> object:
        """All parts are on their way: the result, if they are answered already. Raises a CkvError."""
        self._began = True
        if not self._left:
            error, result = self._outcome()
            if error is not None:
                raise errors.from_wire(error)
            return result
        if isinstance(self._caller, Session) and self._caller.in_order:
            # A node may have to load something first, and what comes behind must not overtake that.
            self._holds = True
            self._caller.hold(self)
        return LATER

    def respond(self, msgid: int, error: object, result: Any) -> None:
        part = self._parts[msgid]
        if error is None:
            try:
                is_done, data = result
                if is_done:
                    answers = answers_of(data, len(part.places))
                    for place, answer in zip(part.places, answers, strict=True):
                        self._answers[place] = answer
                else:
                    self._is_done = False  # Of one part alone: what is watched is on one node.
            except Exception:  # noqa: BLE001 - a node of another version
                error = errors.to_wire(errors.ServerError("the answer of a node is none to EXEC"))
        if error is not None:
            self._errors.append(error)
            for place in part.places:
                self._answers[place] = (error, None)
        self.settle()

    def settle(self) -> None:
        self._left -= 1
        if self._left or not self._began:
            return
        if self._holds:
            self._caller.release(self)
        self._caller.respond(self._msgid, *self._outcome())

    def _outcome(self) -> tuple[object, object]:
        """The error, if nothing was done or nobody knows of any part; and the result."""
        if len(self._errors) == len(self._parts):
            return _worst(self._errors), None
        answers = self._answers if self._is_done else []
        return None, told(answers, self._is_done, is_packed=self._is_packed)

    def hold(self, reason: Hashable) -> None:
        self._caller.hold(reason)

    def release(self, reason: Hashable) -> None:
        self._caller.release(reason)


def _worst(wires: list[object]) -> object:
    """The one after which least is known."""
    return next((wire for wire in wires if not isinstance(errors.from_wire(wire), errors.Refused)), wires[0])
