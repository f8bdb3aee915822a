"""Whoever a request is passed on to: the owner of its key, or somebody who keeps it until there is one."""

from __future__ import annotations

from ckv.protocol.handler import Caller


class Callee:
    """Takes calls. Compiled, and a class, for that is what makes a call of either kind quick."""

    def call(self, method: str, params: tuple[object, ...], caller: Caller, msgid: int, *, large: bool = False) -> None:
        """Takes a request for a caller, who is told the answer, or the error, under its own ``msgid``.

        ``large``: the request has more than :data:`~ckv.protocol.limits.BULKY_BYTES`. Raises a
        :class:`~ckv.errors.Refused`, and nothing was sent.
        """
        raise NotImplementedError
