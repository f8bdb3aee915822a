"""What a node says first to another one, and what the answers tell of it."""

from __future__ import annotations

from typing import Final

from ckv import errors
from ckv.protocol.limits import Limits
from ckv.protocol.messages import BATCH, new_requests_unpacker
from ckv.protocol.packing import REQUEST, RESPONSE, new_packer

HELLO: Final = "HELLO"
"""The method that tells another node what this one is and knows: ``[version, [feature, ...]]``."""

FEATURES: Final = (BATCH,)
"""What a node that connects cannot take for granted: there were others without it. What comes later has a name here."""

_METHODS: Final = ("PING", HELLO, BATCH)
"""PING, for every node has answered that. BATCH, for nodes that know it and not HELLO."""

CALLS: Final = b"".join(new_packer().pack((REQUEST, msgid, name, ())) for msgid, name in enumerate(_METHODS))
"""Calls them all, without arguments. A node that does not know one says so, and lives on."""


class Greeting:
    """The answers to it."""

    def __init__(self, limits: Limits) -> None:
        self._unpacker = new_requests_unpacker(limits)
        self._answers: dict[object, tuple[object, object]] = {}

    def received(self, data: bytes) -> frozenset[str] | None:
        """What the node knows of :data:`FEATURES`; None while answers are missing.

        Raises ProtocolError when it is no node, Draining or another CkvError when it is not fit, and what msgpack
        raises.
        """
        self._unpacker.feed(data)
        for kind, msgid, error, result in self._unpacker:
            if kind != RESPONSE or msgid not in range(len(_METHODS)):
                raise errors.ProtocolError("not a msgpack-RPC response to the greeting")
            known = errors.from_wire(error) if error is not None else None
            # Whoever drains says so to HELLO; to PING too, if it is older than that.
            if known is not None and (msgid == 0 or isinstance(known, errors.Draining)):
                raise known
            self._answers[msgid] = (error, result)
            if len(self._answers) == len(_METHODS):
                return self._features()
        return None

    def _features(self) -> frozenset[str]:
        said, (refused, _) = self._answers[1], self._answers[2]
        match said:
            case [None, [str(), tuple() as features]]:
                return frozenset(name for name in features if isinstance(name, str))
        return frozenset() if refused is not None else frozenset([BATCH])
