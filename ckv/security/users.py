"""The file of users: who there is, by which secrets they are known, and what they may do.

A line for each user, ``name class secrets [~prefix ...] [rate=N] [bytes=N] [connections=N]``, words with spaces
between them; what begins with ``#`` is a remark. Secrets are what :mod:`ckv.security.secrets` keeps of them, two at
most with a comma between them, so that one can be changed while the other is in use. The limits are those of
:mod:`ckv.security.quota`.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from ckv.errors import BadSetting
from ckv.security import quota, secrets
from ckv.security.account import MAX_SECRET_BYTES
from ckv.security.files import read_private
from ckv.security.quota import NONE, Quota
from ckv.security.rights import Rights, checked_level, checked_name, rights_of
from ckv.security.secrets import Kept
from ckv.values import to_bytes

MAX_BYTES: Final = 2**20
"""The longest file."""

MAX_SECRETS: Final = 2
"""Of one user: a new one, and the one before it."""


@dataclass(frozen=True, slots=True)
class User:
    """One line of the file."""

    name: str
    rights: Rights
    kept: tuple[Kept, ...]
    """Of its secrets, the newest first."""
    quota: Quota = NONE

    def __str__(self) -> str:
        prefixes = (f"~{prefix}*" for prefix in self.rights.prefixes)
        return " ".join((self.name, self.rights.level, ",".join(map(str, self.kept)), *prefixes, *self.quota.words()))

    @property
    def is_slow(self) -> bool:
        """Whether it takes long to look at a secret of it."""
        return any(kept.kind == "scrypt" for kept in self.kept)

    def matching(self, secret: bytes) -> Kept | None:
        """Which of its secrets this is; all are looked at."""
        if len(secret) > MAX_SECRET_BYTES:
            return None
        found = [kept for kept in self.kept if kept.is_of(secret)]
        return found[0] if found else None


class Users:
    """All users, by their names."""

    def __init__(self, users: Iterable[User]) -> None:
        self.by_name: Final[Mapping[str, User]] = {user.name: user for user in users}
        self._names: Final = tuple(self.by_name)
        self._key: Final = sha256("\n".join(map(str, self.by_name.values())).encode()).digest()

    def __len__(self) -> int:
        return len(self.by_name)

    def find(self, name: str) -> tuple[User, bool]:
        """Who has to be asked for the secret, and whether it is the user of this name. There always is one: where there
        is no such user, it is one in whose place nobody comes in. It is always the same one for a name, so that the
        time that it takes tells nothing of who there is."""
        number = int.from_bytes(hmac.digest(self._key, to_bytes(name), "sha256")[:8])
        other = self.by_name[self._names[number % len(self._names)]]
        user = self.by_name.get(name)
        return (user, True) if user is not None else (other, False)


def parse(text: str, where: str) -> Users:
    """The users of a file that ``where`` names. Raises BadSetting with the number of the line, of which it quotes only
    the name of the user: any other word may have a piece of a hash in it, where lines were cut, or became one."""
    users: dict[str, User] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            user = _user(words)
            if user.name in users:
                raise ValueError(f"a second user {user.name}")
        except ValueError as error:
            raise BadSetting(f"{where}:{number}: {error}") from None
        users[user.name] = user
    if not users:
        raise BadSetting(f"{where}: no users in it: allowed is one in a line, as ckv user add writes it")
    return Users(users.values())


def _user(words: list[str]) -> User:
    """The user of a line. Raises ValueError, which has the name once it is known for one: behind it stand a class and
    hashes. The end of a hash in its place would look like one, too."""
    if len(words) < 3:
        raise ValueError("not a user: allowed is name class secret, and ~prefix* for each prefix of its keys")
    name, level, hashes, *rest = words
    kept = tuple(map(secrets.parse, hashes.split(",")))
    if len(kept) > MAX_SECRETS:
        raise ValueError(f"{len(kept)} secrets of one user: allowed are {MAX_SECRETS}")
    checked_level(level)
    checked_name(name)
    try:
        limits = quota.parse([word for word in rest if "=" in word and not word.startswith("~")])
        prefixes = [word for word in rest if "=" not in word or word.startswith("~")]
        user = User(name, rights_of(level, prefixes), kept, limits)
        if limits and level == "node":
            raise ValueError("node with limits: allowed with read, write and admin")
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return user


def read(path: Path) -> str:
    """The text of a file of users. Raises BadSetting: also for one that others may read or change."""
    try:
        return read_private(path, MAX_BYTES).decode()
    except UnicodeDecodeError:
        raise BadSetting(f"{path}: not UTF-8") from None


class UsersFile:
    """A file of users that was read, and can be read again."""

    def __init__(self, path: Path) -> None:
        """Raises BadSetting."""
        self.path: Final = path
        self.users = parse(read(path), str(path))

    def __repr__(self) -> str:
        return f"<UsersFile {self.path}: {len(self.users)} users>"

    def reload(self) -> None:
        """Reads it again. Raises BadSetting, and the users are those of before."""
        self.users = parse(read(self.path), str(self.path))
