"""Who has subscribed to which channel at one node, by its name or by a pattern, and messages to them, at most once.

Nothing of it is kept, and no other node hears of it. A subscriber that does not read its messages is cut off
(:data:`ckv.protocol.resp.ordering.MAX_UNREAD_PUSHES`), so that it costs the others nothing. Each message is held
against each pattern of the node, which is why these are bounded together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ckv.glob import glob
from ckv.protocol.resp.client import CHANGED
from ckv.protocol.resp.methods import shown
from ckv.protocol.resp.parsing import Request
from ckv.protocol.resp.replies import PONG, RESP2, ReplyError, array, bulk, push
from ckv.protocol.resp.session import RespSession

MAX_CHANNELS: Final = 65_536
"""Channels that one client may subscribe to."""

MAX_NAME_BYTES: Final = 1024
"""The longest name of one, as of a key; and the longest pattern."""

MAX_PATTERNS_BYTES: Final = 16 * 1024
"""What the patterns of one client may come to, each with :data:`PATTERN_BYTES` more: to make one ready takes time,
up to 20 us for each of its bytes, and one request may have all of them."""

MAX_PATTERNS_BYTES_OF_ALL: Final = 256 * 1024
"""What the different patterns of all clients of a node may come to, counted so: a message takes time in proportion to
that, at worst times the length of the name of its channel."""

PATTERN_BYTES: Final = 64
"""What a pattern costs beside its bytes, in bytes."""

WHILE_SUBSCRIBED: Final = frozenset({"subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ping", "quit", "reset"})
"""What a client of version 2 of the protocol may ask, which cannot tell answers from messages."""

Sessions = dict[RespSession, None]
"""Those that have subscribed, in that order."""


@dataclass(eq=False, slots=True)
class Pattern:
    """One that somebody has subscribed to."""

    matches: Callable[[bytes], object]
    sessions: Sessions = field(default_factory=dict)


class Channels:
    """Who has subscribed to what, at one node."""

    def __init__(self) -> None:
        self._sessions: dict[bytes, Sessions] = {}
        self._patterns: dict[bytes, Pattern] = {}
        self._patterns_bytes = 0
        self.clients = 0
        """Those that have subscribed to any."""
        self.delivered = 0
        """Messages that were sent to subscribers, each counted."""
        self.cut_off = 0
        """Subscribers that did not read them."""

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def patterns(self) -> int:
        """Different patterns that anybody has subscribed to."""
        return len(self._patterns)

    # --- by name -----------------------------------------------------------------------------------------------------

    def check_names(self, session: RespSession, names: Sequence[bytes]) -> None:
        """Raises ReplyError if the client may not subscribe to all of these channels."""
        _check_lengths(names, "the name of a channel")
        own = session.channels
        if len(own) + len({name for name in names if name not in own}) > MAX_CHANNELS:
            raise ReplyError(f"ERR a client subscribes to at most {MAX_CHANNELS} channels")

    def subscribe(self, session: RespSession, name: bytes) -> None:
        """Sends it what is published there."""
        if name not in session.channels:
            self._begin(session)
            session.channels[name] = None
            self._sessions.setdefault(name, {})[session] = None

    def unsubscribe(self, session: RespSession, name: bytes) -> None:
        """Ends that."""
        if name in session.channels:
            del session.channels[name]
            of_name = self._sessions[name]
            del of_name[session]
            if not of_name:
                del self._sessions[name]
            self._end(session)

    # --- by pattern --------------------------------------------------------------------------------------------------

    def check_patterns(self, session: RespSession, patterns: Sequence[bytes]) -> None:
        """Raises ReplyError if the client may not subscribe to all of these patterns."""
        _check_lengths(patterns, "a pattern of channels")
        each = f"each with {PATTERN_BYTES} bytes more, come to at most"
        if _size({*session.patterns, *patterns}) > MAX_PATTERNS_BYTES:
            raise ReplyError(f"ERR the patterns of one client, {each} {MAX_PATTERNS_BYTES} bytes")
        more = _size({pattern for pattern in patterns if pattern not in self._patterns})
        if self._patterns_bytes + more > MAX_PATTERNS_BYTES_OF_ALL:
            raise ReplyError(f"ERR the patterns of all clients of a node, {each} {MAX_PATTERNS_BYTES_OF_ALL} bytes")

    def subscribe_pattern(self, session: RespSession, pattern: bytes) -> None:
        """Sends it what is published in the channels whose names match."""
        if pattern not in session.patterns:
            self._begin(session)
            session.patterns[pattern] = None
            known = self._patterns.get(pattern)
            if known is None:
                known = self._patterns[pattern] = Pattern(glob(pattern).matches)
                self._patterns_bytes += len(pattern) + PATTERN_BYTES
            known.sessions[session] = None

    def unsubscribe_pattern(self, session: RespSession, pattern: bytes) -> None:
        """Ends that."""
        if pattern in session.patterns:
            del session.patterns[pattern]
            known = self._patterns[pattern]
            del known.sessions[session]
            if not known.sessions:
                del self._patterns[pattern]
                self._patterns_bytes -= len(pattern) + PATTERN_BYTES
            self._end(session)

    # --- both --------------------------------------------------------------------------------------------------------

    def _begin(self, session: RespSession) -> None:
        """The client is about to subscribe to something, perhaps for the first time."""
        if session.is_subscribed:
            return
        self.clients += 1
        session.leave = lambda: self.leave(session)
        restrict(session)

    def _end(self, session: RespSession) -> None:
        """It has ended something, perhaps the last."""
        if session.is_subscribed:
            return
        self.clients -= 1
        session.leave = None
        if session.taker is _while_subscribed:
            session.taker = None

    def leave(self, session: RespSession) -> None:
        """Ends all that it has subscribed to."""
        for name in list(session.channels):
            self.unsubscribe(session, name)
        for pattern in list(session.patterns):
            self.unsubscribe_pattern(session, pattern)

    def publish(self, name: bytes, message: bytes) -> int:
        """Sends it to all who have subscribed to the channel, and then to those whose patterns match, once for each of
        these; returns how many messages that were. Raises ReplyError."""
        _check_lengths((name,), "the name of a channel")
        shared = bulk(name) + bulk(message)
        count = self._send(self._sessions.get(name, {}), 3, bulk(b"message") + shared)
        if self._patterns:
            for pattern, known in list(self._patterns.items()):
                if known.matches(name):
                    count += self._send(known.sessions, 4, bulk(b"pmessage") + bulk(pattern) + shared)
        self.delivered += count
        return count

    def _send(self, sessions: Sessions, parts: int, encoded: bytes) -> int:
        count = 0
        for session in list(sessions):
            if session.push(push(session.protocol, parts) + encoded):
                count += 1
            else:
                self.cut_off += 1
                self.leave(session)
        return count

    # --- for those who ask -------------------------------------------------------------------------------------------

    def names(self) -> Iterable[bytes]:
        """The channels that anybody has subscribed to by their names."""
        return self._sessions

    def count(self, name: bytes) -> int:
        """How many have subscribed to it by its name."""
        return len(self._sessions.get(name, ()))


def restrict(session: RespSession) -> None:
    """To be called when the client is about to subscribe to something, or has chosen another version of the protocol
    meanwhile. In version 2 it may ask little until that has ended."""
    if session.protocol == RESP2:
        session.taker = _while_subscribed
        # Nobody compares what it reads from now on, so that EXEC could miss what it has seen.
        session.watched = dict.fromkeys(session.watched, CHANGED)


def _size(patterns: Collection[bytes]) -> int:
    """What they come to."""
    return sum(map(len, patterns)) + PATTERN_BYTES * len(patterns)


def _check_lengths(names: Iterable[bytes], what: str) -> None:
    if any(len(name) > MAX_NAME_BYTES for name in names):
        raise ReplyError(f"ERR {what} has at most {MAX_NAME_BYTES} bytes")


def _while_subscribed(session: RespSession, request: Request) -> Any:
    """Takes the requests of a client of version 2 that has subscribed."""
    name = shown(request[0]).lower()
    if name not in WHILE_SUBSCRIBED:
        raise ReplyError(
            f"ERR Can't execute '{name}': only (P)SUBSCRIBE / (P)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this "
            "context"
        )
    answer = session.carry_out(request)
    if name == "ping" and session.protocol == RESP2:
        return array([bulk(b"pong"), bulk(b"") if answer == PONG else answer])
    return answer
