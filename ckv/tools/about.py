"""What this program is: its version, the commit it was made from, its Python, and what of it is compiled."""

from __future__ import annotations

import platform
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import ckv
from ckv import core

BAKED_COMMIT: Final = ""
"""The commit of a compiled program. ``build/baked.py`` writes it here, in the copy that it compiles."""


def line() -> str:
    """One line for ``--version``."""
    how = "compiled" if compiled() else "interpreted"
    return f"ckv {ckv.__version__} (commit {commit()}, Python {platform.python_version()}, core {core.KIND}, {how})"


def compiled() -> bool:
    """Whether this is the native binary."""
    return _nuitka() is not None


def executable() -> str:
    """The path of the native binary that is running; only where :func:`compiled`."""
    # There is no interpreter, and sys.executable names a file that does not exist.
    return getattr(_nuitka(), "process_exe", None) or sys.argv[0]


def commit() -> str:
    """The commit, with ``-dirty`` behind it when files differ from it; ``unknown`` if nobody can tell."""
    found, root = BAKED_COMMIT, Path(ckv.__file__).parents[1]
    if not found and not compiled() and (root / ".git").exists():
        git = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        with suppress(OSError, subprocess.TimeoutExpired):
            found = subprocess.run(git, capture_output=True, text=True, timeout=5).stdout.strip()
    return found or "unknown"


def _nuitka() -> Any:
    """What Nuitka says of the program. Only the main module has it for certain: some others stay bytecode."""
    return getattr(sys.modules["__main__"], "__compiled__", None)
