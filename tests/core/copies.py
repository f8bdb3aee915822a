"""Copies of the source, whose core is compiled in another way or from other source."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

LAWS: Final = ("tests/core/test_records.py", "tests/store/test_memory.py")
"""The tests that say what a table of records does."""

WAYS: Final = ("tests/core/test_serve.py", "tests/core/test_arriving.py", "tests/core/test_route.py")
"""Those that say what becomes of a request."""

_COMPILE: Final = """
import sys
from pathlib import Path
sys.path.insert(0, "build")
import extension
extension.compile_core(extension.ROOT / extension.CORE, flags=sys.argv[1:])
"""


def copy_source(folder: Path) -> None:
    """Copies what the tests of the core need, but nothing that is compiled."""
    for part in ("build", "ckv", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", ".venv", "cache", "out", "*.so")
        shutil.copytree(ROOT / part, folder / part, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)


def compile_core(folder: Path, *flags: str) -> None:
    """Compiles the core of a copy in place; raises CalledProcessError."""
    subprocess.run([sys.executable, "-c", _COMPILE, *flags], cwd=folder, check=True)
