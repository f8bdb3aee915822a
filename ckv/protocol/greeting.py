"""What a node says first to another one, and what the answers tell of it."""

from __future__ import annotations

from collections.abc import Iterable
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


def features(received: Iterable[bytes], limits: Limits) -> frozenset[str]:
    """What a node knows of :data:`FEATURES`, by what was ``received`` of it after :data:`CALLS`, piece by piece.

    Raises ProtocolError when it is no node, Draining, Starting or another CkvError when it is not fit, NodeLost when
    answers are missing at the end, and what msgpack raises.
    """
    unpacker = new_requests_unpacker(limits)
    answers: dict[object, tuple[object, object]] = {}
    for data in received:
        unpacker.feed(data)
        for kind, msgid, error, result in unpacker:
            if kind != RESPONSE or msgid not in range(len(_METHODS)):
                raise errors.ProtocolError("not a msgpack-RPC response to the greeting")
            known = errors.from_wire(error) if error is not None else None
            # Whoever drains, or does not serve yet, says so to HELLO; to PING too, if it is older than that.
            if known is not None and (msgid == 0 or isinstance(known, (errors.Draining, errors.Starting))):
                raise known
            answers[msgid] = (error, result)
            if len(answers) == len(_METHODS):
                said, (refused, _) = answers[1], answers[2]
                match said:
                    case [None, [str(), tuple() as names]]:
                        return frozenset(name for name in names if isinstance(name, str))
                return frozenset() if refused is not None else frozenset([BATCH])
    raise errors.NodeLost("closed by the peer")
