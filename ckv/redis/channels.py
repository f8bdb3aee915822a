"""SUBSCRIBE, UNSUBSCRIBE, PUBLISH and PUBSUB: messages to whoever is connected to this node and has subscribed."""

from __future__ import annotations

from typing import Final

from ckv.protocol.resp.parsing import Request
from ckv.protocol.resp.replies import NILS, bulk, encode, integer, push
from ckv.protocol.resp.session import RespSession
from ckv.redis.connection import NONE, Sub, simply, subcommands
from ckv.redis.row import FREE, Facts, Row


def _told(session: RespSession, what: bytes, name: bytes | None) -> bytes:
    """The answer to one channel of SUBSCRIBE or UNSUBSCRIBE, which is a push."""
    shown_name = NILS[session.protocol] if name is None else bulk(name)
    return b"".join((push(session.protocol, 3), bulk(what), shown_name, integer(len(session.channels))))


def _subscribe(facts: Facts, session: RespSession, request: Request) -> bytes:
    answers = []
    for name in request[1:]:
        facts.channels.subscribe(session, name)
        answers.append(_told(session, b"subscribe", name))
    return b"".join(answers)


def _unsubscribe(facts: Facts, session: RespSession, request: Request) -> bytes:
    answers = []
    for name in request[1:] or list(session.channels):
        facts.channels.unsubscribe(session, name)
        answers.append(_told(session, b"unsubscribe", name))
    return b"".join(answers) or _told(session, b"unsubscribe", None)


def _publish(facts: Facts, _session: RespSession, request: Request) -> bytes:
    return integer(facts.channels.publish(request[1], request[2]))


def _names(facts: Facts, session: RespSession, _request: Request) -> bytes:
    return encode(list(facts.channels.names()), session.protocol)


def _counts(facts: Facts, session: RespSession, request: Request) -> bytes:
    return encode({name: facts.channels.count(name) for name in request[2:]}, session.protocol)


def _patterns(_facts: Facts, _session: RespSession, _request: Request) -> bytes:
    return integer(0)


_PUBSUB: Final[dict[str, tuple[int, Sub]]] = {
    "channels": (2, _names),
    "numsub": (-2, _counts),
    "numpat": (2, _patterns),
}


ROWS: Final[tuple[Row, ...]] = (
    Row("SUBSCRIBE channel [channel ...]", -2, FREE, NONE, "reader", "pubsub",
        "Have messages sent that are published at this node.", simply(_subscribe)),
    Row("UNSUBSCRIBE [channel ...]", -1, FREE, NONE, "reader", "pubsub", "End that, of all channels without a name.",
        simply(_unsubscribe)),
    Row("PUBLISH channel message", 3, FREE, NONE, "writer", "pubsub",
        "Send a message to those who have subscribed at this node, and answer how many there are.", simply(_publish)),
    Row("PUBSUB subcommand", -2, FREE, NONE, "reader", "pubsub",
        "CHANNELS, without a pattern, and NUMSUB; NUMPAT is 0.", subcommands("pubsub", _PUBSUB)),
)  # fmt: skip
"""What is about channels."""
