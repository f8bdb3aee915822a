"""As whom a process logs in at nodes: a name, and a secret that comes from the environment or from a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ckv.errors import BadSetting

MAX_SECRET_BYTES: Final = 1024
"""The longest secret that is looked at."""

PASSWORD: Final = "CKV_PASSWORD"
NODE_PASSWORD: Final = "CKV_NODE_PASSWORD"
"""The variables with the secret of a tool, and with that of a node; another one, whose name goes on ``_FILE``, has the
path of a file."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one login is made with."""

    name: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Account:
    """A user, and its secret, which its ``repr`` does not show."""

    name: str
    _secret: bytes | Path = field(repr=False)

    @property
    def file(self) -> Path | None:
        """Where its secret is, which may be another one by now; None for one that stays."""
        return self._secret if isinstance(self._secret, Path) else None

    def secret(self) -> bytes:
        """The secret, read anew from its file each time, for secrets rotate. Raises OSError when that fails."""
        if isinstance(self._secret, Path):
            with self._secret.open("rb") as file:
                return file.read(MAX_SECRET_BYTES + 2).removesuffix(b"\n")
        return self._secret


def account(name: str, file: Path | None, environ: Mapping[str, str], variable: str) -> Account | None:
    """The account of this name, with the secret of the file or of the variable; None without a secret. Raises
    BadSetting."""
    if file is not None and variable in environ:
        raise BadSetting(f"{variable} and a file with the secret are both given; keep one")
    if file is None:
        return Account(name, os.fsencode(environ[variable])) if variable in environ else None
    known = Account(name, file)
    try:
        known.secret()
    except OSError as error:
        raise BadSetting(f"{variable}_FILE: {error.strerror}: {file}") from None
    return known
