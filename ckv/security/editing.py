"""Changes of a file of users: a new file takes the place of the old one as a whole, remarks and order stay."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ckv.errors import BadSetting
from ckv.security.secrets import Kept
from ckv.security.users import MAX_SECRETS, User, Users, parse, read


def load(path: Path) -> Users:
    """The users of the file. Raises BadSetting."""
    return parse(read(path), str(path))


def add(path: Path, user: User) -> None:
    """Puts a user at the end of the file, which is made if there is none. Raises BadSetting."""
    text = read(path) if path.exists() else ""
    if text.strip() and user.name in parse(text, str(path)).by_name:
        raise BadSetting(f"{path}: there is a user {user.name}")
    if text and not text.endswith("\n"):
        text += "\n"
    _replace(path, f"{text}{user}\n")


def remove(path: Path, name: str) -> None:
    """Takes a user out. Raises BadSetting: also for the last one, without whom the file would be none."""
    users = load(path)
    _find(users, path, name)
    if len(users) == 1:
        raise BadSetting(f"{path}: {name} is the last user: allowed is a file with one at least")
    _edit(path, name, None)


def rotate(path: Path, name: str, kept: Kept) -> None:
    """Gives a user another secret. The one before it goes on being good, until there is a further one. Raises
    BadSetting."""
    old = _find(load(path), path, name)
    _edit(path, name, replace(old, kept=(kept, *old.kept)[:MAX_SECRETS]))


def _find(users: Users, path: Path, name: str) -> User:
    user = users.by_name.get(name)
    if user is None:
        raise BadSetting(f"{path}: there is no user {name}: there are {', '.join(users.by_name)}")
    return user


def _edit(path: Path, name: str, user: User | None) -> None:
    """Writes this in the place of the user's line, or nothing."""
    lines = []
    for line in read(path).splitlines(keepends=True):
        if line.split()[:1] == [name]:
            line = f"{user}\n" if user is not None else ""
        lines.append(line)
    _replace(path, "".join(lines))


def _replace(path: Path, text: str) -> None:
    """Writes the file anew, for its owner alone, and for its group if that may read the old one. Whoever reads it has
    the old one or the new one. Raises BadSetting."""
    parse(text, str(path))
    target = path.resolve()
    try:
        # mkstemp() makes it with mode 0600.
        number, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(number, "w") as file:
                if target.exists() and (status := target.stat()).st_mode & stat.S_IRGRP:
                    os.fchown(number, -1, status.st_gid)
                    os.fchmod(number, stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
    except OSError as error:
        raise BadSetting(f"{path}: {error.strerror}") from None
