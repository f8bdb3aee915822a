"""Files with a secret in them that others may read or change: each is told at start in a line, and read all the same.

A file of users and the key of a node, which are made for ckv, are refused then (:mod:`ckv.security.files`). Passwords
come from elsewhere: Docker mounts them with the mode 0444, Kubernetes with 0644, where there may be nobody else.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ckv.masking import masked
from ckv.settings import file
from ckv.settings.roles import NodeSettings, VerifySettings

_OTHERS: Final = stat.S_IROTH | stat.S_IWOTH


def exposed(settings: Any, environ: Mapping[str, str]) -> list[tuple[Path, str]]:
    """Those of the files with a secret that a role reads, by its settings, and the permissions of each, in octal. A
    group may read them, as that of a pod does."""
    found = []
    for path in dict.fromkeys(_files(settings, environ)):
        try:
            mode = path.stat().st_mode
        except OSError:
            continue  # whoever reads it says so
        if stat.S_ISREG(mode) and mode & _OTHERS:
            found.append((path, f"{stat.S_IMODE(mode):04o}"))
    return found


def _files(settings: Any, environ: Mapping[str, str]) -> Iterator[Path]:
    account = getattr(settings, "account", None)
    if account is not None and account.file is not None:
        yield account.file
    if isinstance(settings, (NodeSettings, VerifySettings)):
        from ckv.persistent.mysql.address import PASSWORD_FILE

        if environ.get(PASSWORD_FILE):
            yield Path(environ[PASSWORD_FILE])
    tls = getattr(settings, "tls", None)  # of a tool: a node looks at its key itself
    if tls is not None and tls.cert is not None:
        yield tls.key or tls.cert
    if isinstance(settings, NodeSettings) and settings.config is not None:
        values = [value for options in file.read(settings.config).values() for value in options.values()]
        if any(isinstance(value, str) and masked(value) != value for value in values):
            yield settings.config
