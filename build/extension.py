"""Compiles the modules of ``ckv/core`` with Cython: in place for a checkout, or into another folder.

    python build/extension.py

Where there is no compiler, no ``Python.h`` or no Cython it makes nothing, and ckv runs on the twins in Python. That is
no failure; a module that does not compile is one.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
CORE: Final = Path("ckv", "core")
"""Where the modules are, below the root of a checkout or a package."""

WORK: Final = ROOT / "build" / "cache" / "core"

FLAGS: Final = ("-O3", "-g0", "-DNDEBUG", "-fwrapv", "-fno-strict-aliasing")
"""How they are compiled. The last two are Python's own: what Cython writes relies on them, as the interpreter does."""


def missing() -> str | None:
    """What is not there of what compiling takes; None when all is."""
    if shutil.which(compiler()[0]) is None:
        return f"the compiler {compiler()[0]}"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "Python.h"
    if importlib.util.find_spec("Cython") is None:
        return "Cython"
    return None


def compiler() -> list[str]:
    """The command of the C compiler: the variable ``CC``, or gcc."""
    return shlex.split(os.environ.get("CC", "")) or ["gcc"]


def compile_core(
    target: Path,
    work: Path = WORK,
    *,
    source: Path = ROOT,
    flags: Sequence[str] = FLAGS,
    leave: Collection[str] = (),
) -> dict[str, Path]:
    """Compiles the modules of the core below ``source`` into ``target``, but for those to ``leave``, which are named
    without package; the full names and files of the others.

    In ``work`` stays the C. Raises CalledProcessError.
    """
    work.mkdir(parents=True, exist_ok=True)
    target.mkdir(parents=True, exist_ok=True)
    paths = [path for path in sorted((source / CORE).glob("*.pyx")) if path.stem not in leave]
    # Not in the threads: of several that ask for the first time, all but one are told that there is none.
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    include = sysconfig.get_path("include")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        files = list(pool.map(lambda path: _compile(path, target, work, source, flags, suffix, include), paths))
    return {".".join((*CORE.parts, path.stem)): file for path, file in zip(paths, files, strict=True)}


def _compile(
    path: Path, target: Path, work: Path, source: Path, flags: Sequence[str], suffix: str, include: str
) -> Path:
    """Compiles one module. ``suffix`` is that of extension modules; ``include`` has ``Python.h``."""
    c_file = work / f"{path.stem}.c"
    file = target / f"{path.stem}{suffix}"
    fresh = work / file.name
    # From the root on, for the path stands in tracebacks.
    cython = [sys.executable, "-m", "cython", "-3", "--output-file", str(c_file), str(path.relative_to(source))]
    subprocess.run(cython, cwd=source, check=True)
    headers = [f"-I{include}", f"-I{source / CORE}"]
    subprocess.run(
        [*compiler(), *flags, "-fPIC", "-shared", *headers, str(c_file), "-o", str(fresh)], cwd=source, check=True
    )
    # At once, for another process may have the old one open.
    arriving = file.with_suffix(".new")
    shutil.copy2(fresh, arriving)
    arriving.replace(file)
    return file


def main() -> int:
    """Compiles them in place; the exit code."""
    lacking = missing()
    if lacking is not None:
        print(f"core: not compiled, for {lacking} is missing: ckv runs on Python alone, slower")
        for old in (ROOT / CORE).glob(f"*{sysconfig.get_config_var('EXT_SUFFIX')}"):
            old.unlink()  # it is of other sources
        return 0
    compile_core(ROOT / CORE)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"{Path(error.cmd[0]).name} failed with exit code {error.returncode}; its last lines say why")
