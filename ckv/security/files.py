"""Files with secrets: for whoever runs this, and for nobody else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ckv.errors import BadSetting


def read_private(path: Path, max_bytes: int) -> bytes:
    """What is in the file. Raises BadSetting: also for one that others may read or change, or that is longer.

    It belongs to whoever runs this, and is for nobody else; or to root, and a group may read it, as Kubernetes mounts
    Secrets.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise BadSetting(f"{path}: not a file")
            mode = stat.S_IMODE(status.st_mode)
            if status.st_uid not in (0, os.geteuid()):
                raise BadSetting(f"{path}: it belongs to another user: allowed is who runs this, or root")
            others = 0o037 if status.st_uid == 0 else 0o077
            if mode & others:
                raise BadSetting(f"{path}: others may read or change it, mode {mode:04o}: allowed is 0600")
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise BadSetting(f"{path}: {error.strerror}") from None
    if len(data) > max_bytes:
        raise BadSetting(f"{path}: more than {max_bytes} bytes")
    return data
