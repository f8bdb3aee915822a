"""Compiles the core of a copy of the source (:func:`tests.support.mutations.copy_source`) in another way than usual."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.support.nodes import ROOT

CORE: Final = Path("ckv", "core")

LAWS: Final = (
    *("tests/core/test_records.py", "tests/store/test_memory.py", "tests/store/test_memory_expiry.py"),
    "tests/store/test_policies.py",
    *("tests/store/test_noting.py", "tests/store/test_walk.py", "tests/store/test_sweeping.py"),
    *("-k", "not plain"),
)
"""The tests that say what a table of records does; those of the twin alone prove nothing about it."""

WAYS: Final = (
    *("tests/core/test_serve.py", "tests/core/test_expiring.py", "tests/core/test_arriving.py"),
    *("tests/core/test_resp.py", "tests/core/test_resp_mget.py", "tests/core/test_resp_cut.py"),
    *("tests/core/test_resp_large.py", "tests/core/test_hot_keys.py", "tests/core/test_times.py"),
    *("tests/core/test_route.py", "tests/core/test_route_mget.py", "tests/core/test_literals.py"),
    *("tests/core/test_route_no_memory.py", "tests/core/test_route_resp_failing.py", "tests/core/test_route_resp.py"),
)
"""Those that say what becomes of a request."""

_COMPILE: Final = """
import sys
sys.path.insert(0, "build")
import extension
leave, *flags = sys.argv[1:]
extension.compile_core(extension.ROOT / extension.CORE, flags=flags, leave=leave.split())
"""


def compile_core(folder: Path, *flags: str, changed: str | None = None) -> None:
    """Compiles the core of a copy in place; raises CalledProcessError.

    Where one file of it is ``changed``, those of the checkout that know nothing of this file are taken as they are.
    """
    leave = []
    if changed is not None:
        for module in unaffected(Path(changed)):
            shutil.copy(module, folder / CORE)
            leave.append(module.name.partition(".")[0])
    subprocess.run([sys.executable, "-c", _COMPILE, " ".join(leave), *flags], cwd=folder, check=True)


def unaffected(changed: Path) -> list[Path]:
    """The compiled modules of the checkout that stay the same when this file of the core is another one."""
    sources = [path for path in (ROOT / CORE).iterdir() if path.suffix in (".pyx", ".pxd", ".pxi", ".h")]
    newest = max(path.stat().st_mtime for path in sources)
    found: list[Path] = []
    for source in sources:
        names_it = changed.suffix != ".pyx" and changed.stem in source.read_text()
        if source.suffix == ".pyx" and source.stem != changed.stem and not names_it:
            found += (ROOT / CORE).glob(f"{source.stem}.*.so")
    return [module for module in found if module.stat().st_mtime >= newest]
