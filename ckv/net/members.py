"""Over which connections somebody has logged in, and how many each user has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ckv import errors
from ckv.net.connection import Connection
from ckv.security.secrets import Kept
from ckv.security.users import User


class Login(NamedTuple):
    """By what a connection was let in."""

    user: User
    kept: Kept


class Members(Mapping[Connection, Login]):
    """The connections over which somebody has logged in."""

    def __init__(self) -> None:
        self._of: dict[Connection, Login] = {}
        self._counts: Counter[str] = Counter()

    def __getitem__(self, connection: Connection) -> Login:
        return self._of[connection]

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._of)

    def __len__(self) -> int:
        return len(self._of)

    def check_room(self, user: User, connection: Connection) -> None:
        """Raises Overloaded where the user has as many other connections as it may have."""
        most = user.quota.connections
        if most and self._counts[user.name] - self._is_of(user.name, connection) >= most:
            raise errors.Overloaded(f"the user has all of its {most} connections; close one first")

    def _is_of(self, name: str, connection: Connection) -> bool:
        login = self._of.get(connection)
        return login is not None and login.user.name == name

    def put(self, connection: Connection, login: Login) -> None:
        """It is of this login from now on."""
        self.drop(connection)
        self._of[connection] = login
        self._counts[login.user.name] += 1

    def drop(self, connection: Connection) -> Login | None:
        """It is nobody's any more; whose it was."""
        login = self._of.pop(connection, None)
        if login is not None:
            name = login.user.name
            self._counts[name] -= 1
            if not self._counts[name]:
                del self._counts[name]
        return login
