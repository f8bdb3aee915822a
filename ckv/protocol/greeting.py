"""What a node says first to another one, what that other one answers, and what the answers tell of it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from ckv import __version__, errors
from ckv.protocol.limits import Limits
from ckv.protocol.messages import BATCH, new_requests_unpacker
from ckv.protocol.packing import REQUEST, RESPONSE, new_packer

HELLO: Final = "HELLO"
"""The method that tells what a node is and knows, :data:`ANSWER`; whoever asks may say the same of itself."""

AUTH: Final = "AUTH"
"""The method with which a user logs in, before anything else: its name and its secret."""

FEATURES: Final = (BATCH,)
"""What a node that connects cannot take for granted: there were others without it. What comes later has a name here."""

PROCESS: Final = secrets.token_hex(8)
"""Tells this process from all others: an address, and a name too, may be another one's by the next time."""

_OWN: Final = (__version__, FEATURES)

ANSWER: Final = (*_OWN, PROCESS)
"""The result of :data:`HELLO`."""

NOT_LET_IN: Final = (errors.LoginNeeded, errors.LoginFailed, errors.NotAllowed)
"""What a node with users answers to whoever is none of its nodes."""

_UNFIT: Final = (errors.Draining, errors.Starting, errors.WrongNode, *NOT_LET_IN)
"""What a node answers to it that is as good as not connected."""

_METHODS: Final = ("PING", HELLO, BATCH)
"""PING, for every node has answered that. BATCH, for nodes that know it and not HELLO."""


_LOGIN: Final = len(_METHODS)
"""The number of AUTH, which is sent before these."""


class Share(NamedTuple):
    """Which part of the keys a node has, where a primary has a list of them: nothing but these two decides it."""

    number: int
    """Its place in the list, from 1 on."""
    of: int
    """How many nodes the list has."""

    @property
    def short(self) -> str:
        return f"{self.number}/{self.of}"

    def __str__(self) -> str:
        return f"number {self.number} of {self.of}"


def said(share: Share, nodes: Sequence[str] = (), refused: Sequence[int] = ()) -> tuple[object, ...]:
    """The arguments of a primary's HELLO. ``share``: what the node is taken for. ``nodes``: the addresses of all nodes
    of the list, if clients are to go to the owners of keys by themselves; ``refused``: the places in the list, from 1
    on, of those nodes that have refused the primary."""
    return (*_OWN, share, nodes, refused)


def calls(share: Share | None = None, nodes: Sequence[str] = (), refused: Sequence[int] = ()) -> bytes:
    """What is sent to a node: it calls all methods of the greeting, of which one that it does not know does no harm.
    See :func:`said`."""
    arguments = said(share, nodes, refused) if share is not None else ()
    pack = new_packer().pack
    return b"".join(
        pack((REQUEST, msgid, name, arguments if name == HELLO else ())) for msgid, name in enumerate(_METHODS)
    )


def auth(name: str, secret: bytes) -> bytes:
    """What is sent before :func:`calls` to log in. A node without users does not know it, which does no harm."""
    message: bytes = new_packer().pack((REQUEST, _LOGIN, AUTH, (name, secret)))
    return message


def share_in(params: tuple[object, ...]) -> Share | None:
    """What the arguments of a HELLO take this node for; None if they say nothing about it."""
    match params:
        case (_, _, (int() as number, int() as of), *_):
            return Share(number, of)
    return None


def nodes_in(params: tuple[object, ...]) -> tuple[str, ...]:
    """The addresses of all nodes that the arguments of a HELLO tell; none if it tells none."""
    match params:
        case (_, _, (int(), int() as of), (*nodes,), *_):
            told = tuple(node for node in nodes if isinstance(node, str))
            return told if len(told) == len(nodes) == of else ()
    return ()


def refused_in(params: tuple[object, ...]) -> frozenset[int]:
    """The places of the nodes that have refused whoever sends this HELLO."""
    match params:
        case (_, _, (int(), int() as of), _, (*places,), *_):
            return frozenset(place for place in places if isinstance(place, int) and 0 < place <= of)
    return frozenset()


class Known(NamedTuple):
    """What a node has said of itself."""

    features: frozenset[str]
    """What it knows of :data:`FEATURES`."""
    process: str
    """Its :data:`PROCESS`; empty if it is older than that."""


def known(received: Iterable[bytes], limits: Limits) -> Known:
    """What a node has said of itself, by what was ``received`` of it after :func:`calls`, piece by piece.

    Raises ProtocolError when it is no node, Draining, Starting, WrongNode or another CkvError when it is not fit,
    NodeLost when answers are missing at the end, and what msgpack raises.
    """
    unpacker = new_requests_unpacker(limits)
    answers: dict[object, tuple[object, object]] = {}
    for data in received:
        unpacker.feed(data)
        for kind, msgid, error, result in unpacker:
            if kind != RESPONSE or msgid not in range(len(_METHODS) + 1):
                raise errors.ProtocolError("not a msgpack-RPC response to the greeting")
            failed = errors.from_wire(error) if error is not None else None
            if msgid == _LOGIN:
                if failed is not None and not isinstance(failed, errors.UnknownMethod):
                    raise failed
                continue
            # Whoever drains, or does not serve yet, says so to HELLO; to PING too, if it is older than that.
            if failed is not None and (msgid == 0 or isinstance(failed, _UNFIT)):
                raise failed
            answers[msgid] = (error, result)
            if len(answers) == len(_METHODS):
                said, (refused, _) = answers[1], answers[2]
                match said:
                    case [None, [str(), tuple() as names, *more]]:
                        process = more[0] if more and isinstance(more[0], str) else ""
                        return Known(frozenset(name for name in names if isinstance(name, str)), process)
                return Known(frozenset() if refused is not None else frozenset([BATCH]), "")
    raise errors.NodeLost("closed by the peer")
