"""Who a client of Redis is: the version of the protocol that it speaks, its number, and what it says of itself."""

from __future__ import annotations

from ckv.protocol.handler import Line
from ckv.protocol.resp.methods import Connected, Transaction
from ckv.protocol.resp.replies import NILS, RESP2
from ckv.protocol.session import Session


class RespClient(Session):
    """The session of one, as far as commands about connections see it."""

    __slots__ = ("_connected", "library", "name", "nil", "number", "protocol", "transaction")

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
        self.number = connected.add(self)
        """Which client of this node it is."""

    def speak(self, protocol: int) -> None:
        """Answers in this version of the protocol from now on."""
        self.protocol = protocol
        self.nil = NILS[protocol]

    def call_itself(self, name: str) -> None:
        """Takes note of the name that the client gives itself."""
        self.name = name

    def is_made_with(self, name: str, version: str) -> None:
        """Takes note of the library that the client is made with."""
        self.library = (name, version)

    def close(self) -> None:
        super().close()
        self.transaction = None
        self._connected.drop(self.number)
