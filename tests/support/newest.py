"""Programs of the folder that `.ci/newest-servers` makes."""

from __future__ import annotations

from pathlib import Path


def path_in(folder: Path, program: str) -> Path:
    """Where the folder has a program, whether or not it is there: ``path_in(folder, "usr/sbin/mysqld")``."""
    return folder.absolute() / program


def command_in(folder: Path, program: str) -> list[str]:
    """How a program of the folder is started, without its arguments.

    The folder is another system, newer than this one. With its own loader and libraries its programs run here, and see
    the same files: in a chroot they would ask for root and for data below the folder.
    """
    path = path_in(folder, program)
    (loader,) = path_in(folder, "lib64").glob("ld-linux-*.so.*")
    libraries = ":".join(str(found) for found in sorted(path_in(folder, "usr/lib").glob("*-linux-gnu")))
    return [str(loader), "--library-path", libraries, str(path)]
