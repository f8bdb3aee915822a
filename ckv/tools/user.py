"""``ckv user``: keeps the file of users, and prints each new secret once."""

from __future__ import annotations

import sys
from getpass import getpass
from typing import Final

from ckv.errors import BadSetting
from ckv.exits import Exit
from ckv.security import editing, secrets
from ckv.security.account import MAX_SECRET_BYTES
from ckv.security.quota import Quota
from ckv.security.rights import Rights
from ckv.security.secrets import Kept
from ckv.security.users import User
from ckv.settings.roles import UserSettings
from ckv.values import to_bytes

LEAST_CHARACTERS: Final = 12
"""Of a password that somebody has chosen: nothing else keeps him from "secret"."""


def run(settings: UserSettings) -> int:
    """Does what is asked; the exit code. Raises BadSetting."""
    path, name = settings.file, settings.user
    match settings.action:
        case "list":
            for user in editing.load(path).by_name.values():
                count = f"{len(user.kept)} secret{'s' if len(user.kept) > 1 else ''}"
                prefixes = (f"~{prefix}*" for prefix in user.rights.prefixes)
                print(*(user.name, user.rights.level, count, *prefixes, *user.quota.words()))
        case "remove":
            editing.remove(path, name)
        case "add":
            secret, kept = _secret(settings)
            quota = Quota(settings.rate, settings.bytes_in_flight, settings.connections)
            editing.add(path, User(name, Rights(settings.level, settings.keys), (kept,), quota))
            _tell(secret)
        case "rotate":
            secret, kept = _secret(settings)
            editing.rotate(path, name, kept)
            _tell(secret)
    return Exit.FINE


def _secret(settings: UserSettings) -> tuple[str, Kept]:
    """The secret to be told, empty for one that is known already, and what is kept of it. Raises BadSetting."""
    if not settings.chosen:
        secret = secrets.made()
        return secret, secrets.kept(secret.encode(), "sha256")
    chosen = getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().removesuffix("\n")
    data = to_bytes(chosen)
    if len(chosen) < LEAST_CHARACTERS or len(data) > MAX_SECRET_BYTES:
        raise BadSetting(f"--chosen: allowed are {LEAST_CHARACTERS} characters to {MAX_SECRET_BYTES} bytes")
    return "", secrets.kept(data, "scrypt")


def _tell(secret: str) -> None:
    if secret:
        print(secret)
