"""Assembles the root folder of the image from the folder of the native program.

    python build/root.py build/out/ckv-VERSION-linux-MACHINE TARGET

TARGET must not exist. It gets the folder as ``/ckv``, the libraries that the folder takes from the system, at their own
paths, and the few files that every program expects. Two runs make the same bytes. The Dockerfile copies the result into
an empty image; ``tests/image`` runs it without an engine.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

USER: Final = 65532
"""The account of the program; the Dockerfile has the same number, for it cannot read this one."""

LOCALE: Final = "/usr/lib/locale/C.utf8"
"""The only locale; in any other one ckv works as well, but it has to be there."""

FILES: Final = {
    "etc/passwd": f"root:x:0:0:root:/:/\nckv:x:{USER}:{USER}:ckv:/tmp:/\n",
    "etc/group": f"root:x:0:\nckv:x:{USER}:\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
"""Who we are, and how names are looked up. Engines put their own ``/etc/hosts`` in the place of this one."""

MOUNTS: Final = ("dev", "etc", "proc", "sys")
"""Folders for what every engine mounts: it could not make them in a root that is read-only."""

WRITABLE: Final = ("data", "tmp")
"""For volumes. Whoever the program runs as may write there, as the account may be changed by who starts it."""

IN_FOLDER: Final = "ckv"
"""Where the folder of the program lies in the root."""


def main(arguments: Sequence[str]) -> int:
    """Assembles; the exit code."""
    parser = argparse.ArgumentParser(description="Assemble the root folder of the image.")
    parser.add_argument("folder", type=Path, help="the folder of the native program")
    parser.add_argument("target", type=Path, help="where to; it must not exist")
    chosen = parser.parse_args(arguments)
    if not (chosen.folder / "ckv").is_file():
        raise SystemExit(f"{chosen.folder} has no program in it: make build")
    assemble(chosen.folder.resolve(), chosen.target)
    return 0


def assemble(folder: Path, target: Path) -> None:
    """Makes the root. Raises FileExistsError, CalledProcessError, and MissingLibrary."""
    target.mkdir(parents=True)
    shutil.copytree(folder, target / IN_FOLDER)
    strip(target / IN_FOLDER)
    for library in sorted(system_libraries(folder)):
        put(library, target)
    for file in sorted(Path(LOCALE).rglob("*")):
        if file.is_file():
            put(str(file), target)
    for name in (*MOUNTS, *WRITABLE):
        (target / name).mkdir(exist_ok=True)
    for name, text in FILES.items():
        (target / name).write_text(text)
    settle(target)


class MissingLibrary(Exception):
    """A library is neither in the folder nor on this machine."""


def strip(folder: Path) -> None:
    """Removes what only a debugger reads from the modules of packages: a tenth of the image. Raises CalledProcessError.

    The program and the libraries beside it stay as they are: their names of libraries were edited by the build, and
    ``strip`` ruins such files.
    """
    for module in sorted(folder.glob("*/**/*.so")):
        subprocess.run(["strip", "--strip-unneeded", module], check=True)


def system_libraries(folder: Path) -> set[str]:
    """The paths of all libraries that something in the folder loads and that are not in it. Raises MissingLibrary."""
    # What lies in the folder finds its neighbours there when it runs in the program; ldd looks at it alone.
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder)}
    found = set()
    for file in [folder / "ckv", *sorted(folder.rglob("*.so*"))]:
        done = subprocess.run(["ldd", file], env=environment, capture_output=True, text=True, check=True)
        if "=> not found" in done.stdout:
            raise MissingLibrary(f"{file}:\n{done.stdout}")
        # "libz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x...)", and the loader by its path alone.
        found.update(re.findall(r"^\s(?:\S+ => )?(/\S+) \(0x", done.stdout, re.MULTILINE))
    return {path for path in found if not Path(path).is_relative_to(folder)}


def put(path: str, target: Path) -> None:
    """Copies a file of this machine to the same path in the root; a link becomes what it leads to."""
    place = target / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, place)


def settle(target: Path) -> None:
    """Gives everything the rights that it needs, whatever this account's umask is, and one date for all."""
    for path in [*target.rglob("*"), target]:
        runs = path.is_dir() or os.access(path, os.X_OK)
        path.chmod(0o755 if runs else 0o644)
    for name in WRITABLE:
        (target / name).chmod(0o1777)
    for path in [*target.rglob("*"), target]:
        os.utime(path, (0, 0))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (FileExistsError, MissingLibrary) as error:
        sys.exit(f"root.py: {error}")
