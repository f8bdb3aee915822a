"""SUBSCRIBE, PSUBSCRIBE, PUBLISH and PUBSUB: messages to whoever is connected to this node and has subscribed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ckv.glob import glob
from ckv.protocol.resp.parsing import Request
from ckv.protocol.resp.replies import NILS, bulk, encode, integer, push
from ckv.protocol.resp.session import RespSession
from ckv.redis.connection import NONE, Sub, simply, subcommands
from ckv.redis.keyspace import pattern_of
from ckv.redis.row import FREE, Facts, Row, wrong_count


def _told(
    session: RespSession, what: bytes, names: Iterable[bytes], change: Callable[[RespSession, bytes], None]
) -> bytes:
    """Carries out the change for each of the names; the answer to each is a push, and tells to how many channels and
    patterns the client has subscribed then. With no name there is one answer too."""
    answers = []
    for name in names:
        change(session, name)
        answers.append(_answer(session, what, bulk(name)))
    return b"".join(answers) or _answer(session, what, NILS[session.protocol])


def _answer(session: RespSession, what: bytes, name: bytes) -> bytes:
    count = integer(len(session.channels) + len(session.patterns))
    return b"".join((push(session.protocol, 3), bulk(what), name, count))


def _subscribe(facts: Facts, session: RespSession, request: Request) -> bytes:
    facts.channels.check_names(session, request[1:])
    return _told(session, b"subscribe", request[1:], facts.channels.subscribe)


def _unsubscribe(facts: Facts, session: RespSession, request: Request) -> bytes:
    return _told(session, b"unsubscribe", request[1:] or list(session.channels), facts.channels.unsubscribe)


def _subscribe_patterns(facts: Facts, session: RespSession, request: Request) -> bytes:
    facts.channels.check_patterns(session, request[1:])
    return _told(session, b"psubscribe", request[1:], facts.channels.subscribe_pattern)


def _unsubscribe_patterns(facts: Facts, session: RespSession, request: Request) -> bytes:
    patterns = request[1:] or list(session.patterns)
    return _told(session, b"punsubscribe", patterns, facts.channels.unsubscribe_pattern)


def _publish(facts: Facts, _session: RespSession, request: Request) -> bytes:
    return integer(facts.channels.publish(request[1], request[2]))


def _names(facts: Facts, session: RespSession, request: Request) -> bytes:
    names = facts.channels.names()
    if len(request) > 3:
        raise wrong_count("pubsub|channels")
    if len(request) == 3:
        matches = glob(pattern_of(request[2])).matches
        names = [name for name in names if matches(name)]
    return encode(list(names), session.protocol)


def _counts(facts: Facts, session: RespSession, request: Request) -> bytes:
    # In both versions of the protocol as an array, as Redis has it.
    told = [part for name in request[2:] for part in (name, facts.channels.count(name))]
    return encode(told, session.protocol)


def _patterns(facts: Facts, _session: RespSession, _request: Request) -> bytes:
    return integer(facts.channels.patterns)


_PUBSUB: Final[dict[str, tuple[int, Sub]]] = {
    "channels": (-2, _names),
    "numsub": (-2, _counts),
    "numpat": (2, _patterns),
}


ROWS: Final[tuple[Row, ...]] = (
    Row("SUBSCRIBE channel [channel ...]", -2, FREE, NONE, "reader", "pubsub",
        "Have messages sent that are published at this node.", simply(_subscribe), channels="all"),
    Row("UNSUBSCRIBE [channel ...]", -1, FREE, NONE, "reader", "pubsub", "End that, of all channels without a name.",
        simply(_unsubscribe)),
    Row("PSUBSCRIBE pattern [pattern ...]", -2, FREE, NONE, "reader", "pubsub",
        "The same as SUBSCRIBE for all channels whose names match.", simply(_subscribe_patterns), channels="patterns"),
    Row("PUNSUBSCRIBE [pattern ...]", -1, FREE, NONE, "reader", "pubsub", "End that, of all patterns without one.",
        simply(_unsubscribe_patterns)),
    Row("PUBLISH channel message", 3, FREE, NONE, "writer", "pubsub",
        "Send a message to those who have subscribed at this node, and answer how many were sent.", simply(_publish),
        channels="first"),
    Row("PUBSUB subcommand", -2, FREE, NONE, "reader", "pubsub",
        "CHANNELS, with a pattern or without, NUMSUB and NUMPAT, of this node.", subcommands("pubsub", _PUBSUB),
        channels="any"),
)  # fmt: skip
"""What is about channels."""
