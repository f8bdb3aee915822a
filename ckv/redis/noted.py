"""What a command would ask of the node: so that EXEC can have all that its commands ask carried out as one step.

A command is made a second time over methods that carry nothing out (:class:`Noting`), and returns :class:`Noted`.
"""

from __future__ import annotations

from ckv.protocol.handler import Caller
from ckv.protocol.resp.ordering import Reply
from ckv.protocol.steps import Asked


class Noted:
    """The requests, and what makes the answer of their results."""

    __slots__ = ("are_several", "reply", "requests")

    def __init__(self, requests: list[Asked]) -> None:
        self.requests = requests
        self.reply: Reply = _no_reply
        self.are_several = False

    def answered_by(self, reply: Reply) -> Noted:
        """With this for the one result."""
        self.reply = reply
        return self

    def all_answered_by(self, reply: Reply) -> Noted:
        """With this for the list of results, which is a list also if there is one."""
        self.reply = reply
        self.are_several = True
        return self


class Noting:
    """In the place of a handler: notes what it is asked."""

    __slots__ = ("method",)

    def __init__(self, method: str) -> None:
        self.method = method

    def __call__(self, _caller: Caller, _ticket: int, params: tuple[object, ...]) -> object:
        return Noted([(self.method, params)])


def _no_reply(_session: object, _result: object) -> bytes:
    raise AssertionError("a command did not say how it answers")
