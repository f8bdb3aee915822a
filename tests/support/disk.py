"""A disk that can be filled."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

DISK_BYTES: Final = 80 << 20


@contextmanager
def small_disk() -> Iterator[Path]:
    """A folder on a disk of its own, in memory; skips where nobody may mount one."""
    with tempfile.TemporaryDirectory(prefix="ckv-disk-") as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "ckv-test", folder]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode != 0:
            pytest.skip("a disk to fill cannot be mounted here; that takes root")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all the room that is left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)):
                pass
        except OSError:
            pass
    return ballast
