"""Any bytes of somebody who has not logged in: the target that hypothesis (in the tests) and atheris drive.

make fuzz FUZZ_TARGET=login FUZZ_SECONDS=600     # coverage-guided, as tests.fuzz.wire

No method of the node is called, and nobody is anybody, unless the bytes hold a secret.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import gevent
import msgpack

from ckv.commands import COMMANDS
from ckv.errors import Draining
from ckv.net.logins import Logins
from ckv.net.rooms import Rooms
from ckv.protocol.handler import NO_CORES, Caller
from ckv.protocol.limits import Limits
from ckv.redis.table import for_node
from ckv.security import secrets
from ckv.security.rights import Rights
from ckv.security.users import User, UsersFile
from tests.fuzz.resp import Unexpected
from tests.fuzz.search import search
from tests.protocol.resp.test_parsing import packed
from tests.support.line import Nowhere

LIMITS: Final = Limits()
CHUNK: Final = 512
SECRET: Final = b"a-secret"
TURNS: Final = 1000
"""More than anything takes."""

SEEDS: Final = (
    msgpack.packb([0, 1, "AUTH", ["bob", "a-wrong-one"]]) + msgpack.packb([0, 2, "GET", ["key"]]),
    packed([b"AUTH", b"bob", b"a-wrong-one"]) + packed([b"GET", b"key"]),
    packed([b"HELLO", b"3", b"AUTH", b"bob", SECRET]) + packed([b"RESET"]) + packed([b"GET", b"key"]),
    packed([b"HELLO", b"3", b"AUTH", b"bob", SECRET]) + packed([b"GET", b"key"]),
)
"""Well-formed logins."""


class Line(Nowhere):
    """As a connection, from another address whenever somebody looks, so that nobody is slowed down."""

    def __init__(self) -> None:
        super().__init__()
        self.attempts = 0
        self.receiver: Any = None

    @property
    def peer(self) -> str:  # type: ignore[override]
        self.attempts += 1
        return f"192.0.{self.attempts >> 8 & 255}.{self.attempts & 255}:1"

    def hand_over_to(self, receiver: Any) -> None:
        self.receiver = receiver

    def read_by(self, read: Callable[[int, int], bytes] | None) -> None:
        """The bytes do not come from a descriptor."""

    meter = read_through = read_by


class Door:
    """A node whose only user is bob, without the node."""

    def __init__(self, file: UsersFile) -> None:
        self.called: list[str] = []
        handlers = {name: self._noting(name) for name in COMMANDS}
        resp = for_node(LIMITS, lambda: 0.0, keys_max=3, next_turn=lambda later: later())
        rooms = Rooms(handlers, None, LIMITS, NO_CORES, {}, resp)
        self.logins = Logins(
            file,
            lambda logins, rights, looks, meter: rooms.for_users(logins, rights, looks=looks, meter=meter),
            lambda connection, _level: self.logins.inbox_of(connection, looks=False).adopt(connection),
        )
        self.line = Line()

    def _noting(self, name: str) -> Callable[[Caller, int, tuple[object, ...]], object]:
        def note(_caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
            self.called.append(name)
            raise Draining("nobody is behind this door")  # which every method may answer, as no one result is

        return note

    def receive(self, data: bytes) -> None:
        """Serves it, as a connection would."""
        line = self.line
        session = line.session
        if session is None:
            nowhere: Any = line
            session = line.session = self.logins.strangers.new_session(nowhere, data[0])
        session.feed(data)
        for _ in range(TURNS):
            line.paused = False
            gevent.sleep(0)  # who looks at a secret
            if session.failed or line.closed or (not line.holds and not session.attention):
                return
            if not line.holds:
                session.more()
        raise AssertionError(f"{session.in_flight} requests were never answered")


def one_input(data: bytes) -> bool:
    """Feeds the bytes in pieces; raises when somebody comes in by them who has no secret. Returns whether one did."""
    door = Door(FILE)
    unexpected = Unexpected()
    logger = logging.getLogger("ckv")
    logger.addHandler(unexpected)
    try:
        for start in range(0, len(data), CHUNK):
            door.receive(data[start : start + CHUNK])
            session = door.line.session
            if session is None or session.failed or door.line.closed:
                break
    finally:
        logger.removeHandler(unexpected)
    assert not unexpected.found, unexpected.found
    if SECRET not in data:
        assert not door.logins.logins
        assert not door.logins.members
        assert not door.called, door.called
    return door.logins.logins > 0


def _file() -> UsersFile:
    with tempfile.NamedTemporaryFile("w") as file:  # for its owner alone
        file.write(str(User("bob", Rights("write"), (secrets.kept(SECRET, "sha256"),))))
        file.flush()
        return UsersFile(Path(file.name))


FILE: Final = _file()


if __name__ == "__main__":
    search(one_input, SEEDS)
