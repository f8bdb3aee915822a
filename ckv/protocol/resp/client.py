"""Who a client of Redis is: the version of the protocol that it speaks, its number, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ckv.protocol.handler import Line
from ckv.protocol.resp.methods import CarryOut, Connected, Transaction
from ckv.protocol.resp.replies import NILS, RESP2
from ckv.protocol.session import Session

CHANGED: Final = b"changed"
"""In the place of a digest: no record has this one."""


class RespClient(Session):
    """The session of one, as far as commands about connections see it."""

    __slots__ = (
        "_connected",
        "channels",
        "leave",
        "library",
        "name",
        "nil",
        "number",
        "patterns",
        "protocol",
        "taker",
        "transaction",
        "watched",
    )

    def __init__(self, line: Line, max_in_flight: int, connected: Connected) -> None:
        super().__init__(line, max_in_flight)
        self._connected = connected
        self.protocol = RESP2
        """The version, which HELLO changes."""
        self.nil = NILS[RESP2]
        """What stands for no value in that version."""
        self.name = ""
        self.library = ("", "")
        """What the client says of itself: its name, and that and the version of its library."""
        self.transaction: Transaction | None = None
        """What it has sent since MULTI, until it sends EXEC."""
        self.watched: dict[str, bytes] = {}
        """The keys that it watches, and the digests of their records."""
        self.taker: CarryOut | None = None
        """Carries out its requests in the place of the commands, while it is there."""
        self.channels: dict[bytes, None] = {}
        """Those that it has subscribed to, in that order."""
        self.patterns: dict[bytes, None] = {}
        """The same by patterns."""
        self.leave: Callable[[], None] | None = None
        """Ends all of that."""
        self.number = connected.add(self)
        """Which client of this node it is."""

    @property
    def is_subscribed(self) -> bool:
        """Whether it has subscribed to anything."""
        return bool(self.channels or self.patterns)

    def speak(self, protocol: int) -> None:
        """Answers in this version of the protocol from now on."""
        self.protocol = protocol
        self.nil = NILS[protocol]

    @property
    def nil_array(self) -> bytes:
        """What stands for no array in the version of the protocol."""
        return b"*-1\r\n" if self.protocol == RESP2 else self.nil

    def no_transaction(self) -> None:
        """Ends that in which it is, drops what it has sent, and watches nothing any more."""
        self.transaction = None
        self.watched = {}
        self.taker = None

    def call_itself(self, name: str) -> None:
        """Takes note of the name that the client gives itself."""
        self.name = name

    def is_made_with(self, name: str, version: str) -> None:
        """Takes note of the library that the client is made with."""
        self.library = (name, version)

    def close(self) -> None:
        super().close()
        self.no_transaction()
        if self.leave is not None:
            self.leave()
        self._connected.drop(self.number)
