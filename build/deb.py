"""Packs the native program for Debian: with manual pages, completion, units of systemd and a configuration to edit.

    SOURCE_DATE_EPOCH=SECONDS python build/deb.py FOLDER TARGET

FOLDER has the program, TARGET gets the package. ``make dist`` calls :func:`pack`, where dpkg-deb is there.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Final

import manpages

import ckv
from ckv.settings import file
from ckv.tools.completion import SCRIPTS

ROOT: Final = Path(__file__).resolve().parents[1]

PROGRAM: Final = "usr/lib/ckv"

LIBRARIES: Final = ("libc6", "libgcc-s1", "libstdc++6", "zlib1g")
"""Packages with what the program takes from the system, as docs/releasing.md has it. It wants them as new as they are
where it was built."""

COMPLETION: Final = {
    "bash": "usr/share/bash-completion/completions/ckv",
    "fish": "usr/share/fish/vendor_completions.d/ckv.fish",
    "zsh": "usr/share/zsh/vendor-completions/_ckv",
}
"""Shell to where it looks for its script."""

CONFIGURATION: Final = "etc/ckv/ckv.toml"

CONTROL: Final = """\
Package: ckv
Version: {version}
Architecture: {architecture}
Maintainer: the ckv authors <maintainers@ckv.invalid>
Installed-Size: {kibibytes}
Depends: {depends}
Suggests: default-mysql-server | virtual-mysql-server
Section: database
Priority: optional
Description: distributed key-value store: hot records in memory, others in MySQL
 Secondaries keep the records that are used in memory and all others in MySQL
 or MariaDB, each its share of the keys; primaries pass the requests of clients
 on to them. Clients of Redis can talk to it.
 .
 There are units of systemd for both, none of which is started by itself:
 ckv-primary and ckv-secondary@PORT. They read /etc/ckv/ckv.toml.
"""

SCRIPTS_OF_DPKG: Final = {
    "postinst": "systemctl daemon-reload",
    # Secondaries first: they give their keys away, or save them.
    "prerm": '[ "$1" != remove ] || systemctl stop "ckv-secondary@*.service" ckv-primary.service',
    "postrm": "systemctl daemon-reload",
}
"""What is done where systemd runs. An update restarts nothing: that is done one secondary after the other."""

LINTIAN: Final = """\
# The program brings the libraries that it was tested with.
ckv: embedded-library *
"""


def main(arguments: Sequence[str]) -> int:
    """Packs; the exit code."""
    folder, target = map(Path, arguments)
    notices = {"LICENSE": (ROOT / "LICENSE").read_bytes()}
    print(pack(target, folder, notices, int(os.environ["SOURCE_DATE_EPOCH"])))
    return 0


def pack(target: Path, folder: Path, notices: Mapping[str, bytes], date: int) -> Path:
    """The package, in the folder ``target``; of the same contents it always makes the same bytes. ``notices``: licences
    by the names of their files, that of ckv as ``LICENSE``. ``date``: of all files, in seconds since 1970. Raises
    CalledProcessError."""
    architecture = _told("dpkg", "--print-architecture")
    made = target / f"ckv_{ckv.__version__}_{architecture}.deb"
    program = {f"{PROGRAM}/{path.relative_to(folder)}": path for path in folder.rglob("*") if path.is_file()}
    runs = {name for name, path in program.items() if path.stat().st_mode & 0o111}
    files = {name: path.read_bytes() for name, path in program.items()} | _beside(notices, date)
    with tempfile.TemporaryDirectory() as work:
        root = Path(work, "root")
        for name, contents in files.items():
            _write(root / name, contents, runs=name in runs)
        (root / "usr/bin").mkdir()
        (root / "usr/bin/ckv").symlink_to(f"../../{PROGRAM}/ckv")
        control = CONTROL.format(
            version=ckv.__version__,
            architecture=architecture,
            kibibytes=sum(len(contents) for contents in files.values()) // 1024,
            depends=", ".join(f"{name} (>= {_version(name, architecture)})" for name in LIBRARIES),
        )
        _write(root / "DEBIAN/control", control.encode())
        _write(root / "DEBIAN/conffiles", f"/{CONFIGURATION}\n".encode())
        for name, command in SCRIPTS_OF_DPKG.items():
            guarded = f'[ -n "$DPKG_ROOT" ] || [ ! -d /run/systemd/system ] || {{ {command}; }}'
            _write(root / "DEBIAN" / name, f"#!/bin/sh\nset -e\n{guarded}\n".encode(), runs=True)
        for inner in [root, *(path for path in root.rglob("*") if path.is_dir() and not path.is_symlink())]:
            inner.chmod(0o755)
        # Of the default level it would be a tenth smaller, and take five times as long.
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zxz", "-z1", "--build", root, made],
            env={**os.environ, "SOURCE_DATE_EPOCH": str(date)}, stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip
    return made


def _beside(notices: Mapping[str, bytes], date: int) -> dict[str, bytes]:
    """All files beside those of the program."""
    documents = "usr/share/doc/ckv"
    change = f"ckv ({ckv.__version__}) unstable; urgency=medium\n\n  * CHANGELOG.md of the source has the changes.\n\n"
    change += f" -- the ckv authors <maintainers@ckv.invalid>  {formatdate(date)}\n"
    found = {
        CONFIGURATION: file.sample().encode(),
        f"{documents}/changelog.gz": gzip.compress(change.encode(), mtime=0),
        f"{documents}/copyright": notices["LICENSE"],
        "usr/share/lintian/overrides/ckv": LINTIAN.encode(),
    }
    found |= {f"{documents}/{name}": text for name, text in notices.items() if name != "LICENSE"}
    for name, text in manpages.pages().items():
        found[f"usr/share/man/man1/{name}.gz"] = gzip.compress(text.encode(), mtime=0)
    for shell, path in COMPLETION.items():
        found[path] = SCRIPTS[shell]().encode()
    for unit in (ROOT / "deploy" / "systemd").iterdir():
        # Where somebody who installs it by hand puts it is not where a package may.
        text = unit.read_text().replace("ExecStart=/usr/local/bin/ckv ", "ExecStart=/usr/bin/ckv ")
        found[f"usr/lib/systemd/system/{unit.name}"] = text.encode()
    return found


def _write(path: Path, contents: bytes, *, runs: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents)
    path.chmod(0o755 if runs else 0o644)


def _version(package: str, architecture: str) -> str:
    """The version of a package that is installed, without that of its packaging."""
    return _told("dpkg-query", "--show", "--showformat=${Version}", f"{package}:{architecture}").rpartition("-")[0]


def _told(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
