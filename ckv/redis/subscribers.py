"""Who has subscribed to which channel at one node, and messages to them, at most once.

Nothing of it is kept, and no other node hears of it. A subscriber that does not read its messages is cut off
(:data:`ckv.protocol.resp.ordering.MAX_UNREAD_PUSHES`), so that it costs the others nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ckv.protocol.resp.client import CHANGED
from ckv.protocol.resp.methods import shown
from ckv.protocol.resp.parsing import Request
from ckv.protocol.resp.replies import PONG, RESP2, ReplyError, array, bulk, push
from ckv.protocol.resp.session import RespSession

MAX_CHANNELS: Final = 65_536
"""Channels that one client may subscribe to."""

MAX_NAME_BYTES: Final = 1024
"""The longest name of one, as of a key."""

WHILE_SUBSCRIBED: Final = frozenset({"subscribe", "unsubscribe", "ping", "quit", "reset"})
"""What a client of version 2 of the protocol may ask, which cannot tell answers from messages."""


class Channels:
    """Who has subscribed to what, at one node."""

    def __init__(self) -> None:
        self._sessions: dict[bytes, dict[RespSession, None]] = {}
        self.clients = 0
        """Those that have subscribed to any."""
        self.delivered = 0
        """Messages that were sent to subscribers, each counted."""
        self.cut_off = 0
        """Subscribers that did not read them."""

    def __len__(self) -> int:
        return len(self._sessions)

    def subscribe(self, session: RespSession, name: bytes) -> None:
        """Sends it what is published there. Raises ReplyError."""
        own = session.channels
        if name in own:
            return
        if len(name) > MAX_NAME_BYTES:
            raise ReplyError(f"ERR the name of a channel has at most {MAX_NAME_BYTES} bytes")
        if len(own) == MAX_CHANNELS:
            raise ReplyError(f"ERR a client subscribes to at most {MAX_CHANNELS} channels")
        if not own:
            self.clients += 1
            session.leave = lambda: self.leave(session)
            if session.protocol == RESP2:
                session.taker = _while_subscribed
                # Nobody compares what it reads from now on, so that EXEC could miss what it has seen.
                session.watched = dict.fromkeys(session.watched, CHANGED)
        own[name] = None
        self._sessions.setdefault(name, {})[session] = None

    def unsubscribe(self, session: RespSession, name: bytes) -> None:
        """Ends that."""
        own = session.channels
        if name not in own:
            return
        del own[name]
        of_name = self._sessions[name]
        del of_name[session]
        if not of_name:
            del self._sessions[name]
        if not own:
            self.clients -= 1
            session.leave = None
            if session.taker is _while_subscribed:
                session.taker = None

    def leave(self, session: RespSession) -> None:
        """Ends all that it has subscribed to."""
        for name in list(session.channels):
            self.unsubscribe(session, name)

    def publish(self, name: bytes, message: bytes) -> int:
        """Sends it to all who have subscribed; returns to how many."""
        count = 0
        parts = b"".join((bulk(b"message"), bulk(name), bulk(message)))
        for session in list(self._sessions.get(name, ())):
            if session.push(push(session.protocol, 3) + parts):
                count += 1
            else:
                self.cut_off += 1
                self.leave(session)
        self.delivered += count
        return count

    def names(self) -> Iterable[bytes]:
        """The channels that anybody has subscribed to."""
        return self._sessions

    def count(self, name: bytes) -> int:
        """How many have subscribed to it."""
        return len(self._sessions.get(name, ()))


def _while_subscribed(session: RespSession, request: Request) -> Any:
    """Takes the requests of a client of version 2 that has subscribed."""
    name = shown(request[0]).lower()
    if name not in WHILE_SUBSCRIBED:
        raise ReplyError(
            f"ERR Can't execute '{name}': only SUBSCRIBE / UNSUBSCRIBE / PING / QUIT / RESET are allowed in this "
            "context"
        )
    answer = session.carry_out(request)
    if name == "ping" and session.protocol == RESP2:
        return array([bulk(b"pong"), bulk(b"") if answer == PONG else answer])
    return answer
