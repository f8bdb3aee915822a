"""Packs the native program for release, into ``dist/``.

    python build/dist.py

For each machine, and for its folder and its single file: an archive with the manual pages, and the licences of all that
is bundled. Beside them a package for Debian, where there is dpkg-deb, a bill of materials (CycloneDX) and
``SHA256SUMS``. It builds first, unless ``--no-build`` says that it is done.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import shutil
import sys
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import binary
import bundled
import deb
import manpages
import sbom

DIST: Final = binary.ROOT / "dist"


def main(arguments: Sequence[str]) -> int:
    """Packs; the exit code."""
    parser = argparse.ArgumentParser(description="Pack the native program for release.")
    parser.add_argument("--no-build", action="store_true", help="pack what was built last")
    parser.add_argument("--to", type=Path, default=DIST, help="the folder of the archives")
    chosen = parser.parse_args(arguments)
    target: Path = chosen.to
    if not chosen.no_build:
        binary.main([])
    name = binary.release_name()
    folder, single = binary.OUT / name, binary.OUT / "bin" / name
    date = int(binary.source_date())
    parts = bundled.parts(binary.OUT / "source" / "report.xml")
    bill = sbom.bill(name, binary.version(), binary.commit(), digest(single), parts, date)
    legal = {
        "LICENSE": (binary.ROOT / "LICENSE").read_bytes(),
        **{f"licences/{path}": text for path, text in licences(parts).items()},
    }
    notices = {
        **legal,
        f"{name}.cdx.json": bill.encode(),
        **{f"man1/{path}": text.encode() for path, text in manpages.pages().items()},
    }

    target.mkdir(exist_ok=True)
    for old in target.glob(f"{name}*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    pack(target / f"{name}-folder.tar.gz", name, files, notices, date)
    pack(target / f"{name}.tar.gz", name, {"ckv": single}, notices, date)
    (target / f"{name}.cdx.json").write_text(bill)
    if shutil.which("dpkg-deb") is None:
        print("no package for Debian: there is no dpkg-deb", file=sys.stderr)
    else:
        deb.pack(target, folder, legal, date)
    released = (path for pattern in ("ckv-*-linux-*", "ckv_*.deb") for path in target.glob(pattern))
    sums = sorted(path for path in released if path.is_file())
    (target / "SHA256SUMS").write_text("".join(f"{digest(path)}  {path.name}\n" for path in sums))
    for path in [*sums, target / "SHA256SUMS"]:
        print(f"{path}: {binary.megabytes(path)}")
    return 0


def licences(parts: Iterable[bundled.Part]) -> dict[str, bytes]:
    """The licence files of all parts, and a list of them, by name."""
    listed = "".join(f"{part.name} {part.version}: {part.licence or 'see the text'}\n" for part in parts)
    files = {"LIST.txt": listed.encode()}
    for part in parts:
        for name, text in part.texts:
            path = f"{part.name}/{name}"
            if path in files:
                raise bundled.NoLicence(f"{part.name} has two licence files called {name}")
            files[path] = text.encode()
    return files


def pack(target: Path, top: str, files: dict[str, Path], more: dict[str, bytes], date: int) -> None:
    """An archive of one folder; of the same contents it always makes the same bytes."""
    contents = {name: (path.read_bytes(), path.stat().st_mode & 0o111 != 0) for name, path in files.items()}
    contents |= {name: (data, False) for name, data in more.items()}
    unpacked = io.BytesIO()
    with tarfile.open(fileobj=unpacked, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, (data, runs) in sorted(contents.items()):
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size, entry.mode, entry.mtime = len(data), 0o755 if runs else 0o644, date
            entry.uname = entry.gname = "root"
            archive.addfile(entry, io.BytesIO(data))
    target.write_bytes(gzip.compress(unpacked.getvalue(), mtime=date))


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
