"""The root folder of the image: what is in it, what is not, and how big it is."""

from __future__ import annotations

import fnmatch
import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.conftest import ASSEMBLE
from tests.image.container import read_dockerfile
from tests.support.nodes import ROOT

MOST_BYTES = 60_000_000
MOST_BYTES_PACKED = 25_000_000

LIBRARY = r"(usr/)?lib(64)?/([\w.-]+/)?[\w+-]+\.so(\.\d+)*"
LOCALE = r"usr/lib/locale/C\.utf8/[\w/]+"
SETTINGS = r"etc/(passwd|group|hosts|nsswitch\.conf)"


def files(root: Path) -> Iterator[tuple[str, Path]]:
    """Path from the root, and place, of everything that is no folder."""
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            yield str(path.relative_to(root)), path


def digest(root: Path) -> str:
    """One number for names, rights, dates and contents of a folder."""
    found = hashlib.sha256()
    for path in [root, *sorted(root.rglob("*"))]:
        stat = path.lstat()
        found.update(f"{path.relative_to(root)} {stat.st_mode:o} {stat.st_mtime_ns}\n".encode())
        if path.is_file():
            found.update(path.read_bytes())
    return found.hexdigest()


def test_it_is_small(root: Path) -> None:
    assert sum(path.stat().st_size for _, path in files(root)) < MOST_BYTES
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=6) as archive:
        archive.add(root, arcname=".")
    assert len(packed.getvalue()) < MOST_BYTES_PACKED


def test_it_has_the_program_its_libraries_a_locale_and_four_settings(root: Path) -> None:
    beside = [name for name, _ in files(root) if not name.startswith("ckv/")]
    foreign = [name for name in beside if not re.fullmatch(f"{LIBRARY}|{LOCALE}|{SETTINGS}", name)]
    assert foreign == []
    assert {path.name for path in root.iterdir() if not any(path.iterdir())} == {"data", "dev", "proc", "sys", "tmp"}


def test_the_program_is_whole(root: Path, program: Path) -> None:
    names = {str(path.relative_to(program.parent)) for path in program.parent.rglob("*") if path.is_file()}
    assert {name.removeprefix("ckv/") for name, _ in files(root) if name.startswith("ckv/")} == names
    assert (root / "ckv/ckv").read_bytes() == program.read_bytes()


def test_nothing_of_this_machine_is_in_it(root: Path) -> None:
    for name, path in files(root):
        assert path.is_file(), name
        assert not path.is_symlink(), name
        assert str(ROOT).encode() not in path.read_bytes(), name


def test_nobody_can_change_it_or_become_somebody_else(root: Path) -> None:
    modes = {str(path.relative_to(root)): path.stat().st_mode & 0o7777 for path in [root, *root.rglob("*")]}
    assert {name for name, mode in modes.items() if mode & 0o7022} == {"tmp", "data"}
    assert {modes["tmp"], modes["data"]} == {0o1777}


def test_every_library_that_something_needs_is_there(root: Path) -> None:
    # Where the loader of a system without a list of libraries looks: beside the program, and in the usual folders.
    present = {path.name for name, path in files(root) if name.startswith(("lib", "usr/lib"))}
    present |= {path.name for path in (root / "ckv").iterdir()}
    checked = 0
    for name, path in files(root):
        if path.read_bytes()[:4] != b"\x7fELF":
            continue
        told = subprocess.run(["readelf", "--dynamic", "--wide", path], capture_output=True, text=True, check=True)
        needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", told.stdout))
        assert needed <= present, name
        checked += 1
    assert checked > len(present) / 2


def test_stripping_took_away_nothing_that_is_called(root: Path, program: Path) -> None:
    def unresolved(folder: Path, name: str) -> list[str]:
        told = subprocess.run(["ldd", "-r", folder / name], capture_output=True, text=True)
        return sorted(re.findall(r"undefined symbol: (\S+)", told.stdout + told.stderr))

    names = [str(path.relative_to(program.parent)) for path in program.parent.glob("*/**/*.so")]
    smaller = 0
    for name in names:
        assert unresolved(root / "ckv", name) == unresolved(program.parent, name), name
        smaller += (root / "ckv" / name).stat().st_size < (program.parent / name).stat().st_size
    assert smaller > 0


def test_two_runs_make_the_same(root: Path, program: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    subprocess.run([sys.executable, ASSEMBLE, program.parent, again], check=True, umask=0o077)
    assert digest(again) == digest(root)


def test_a_library_that_nobody_has_is_told(program: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(shutil.which("true") or "", folder / "ckv")
    subprocess.run(["patchelf", "--add-needed", "libnobody.so.1", folder / "ckv"], check=True)
    done = subprocess.run([sys.executable, ASSEMBLE, folder, tmp_path / "root"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "libnobody.so.1 => not found" in done.stderr


def test_the_folder_and_the_target_are_checked(program: Path, root: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, ASSEMBLE, tmp_path, tmp_path / "x"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, f"{tmp_path} has no program in it: make build\n")
    done = subprocess.run([sys.executable, ASSEMBLE, program.parent, root], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("root.py: [Errno 17] File exists:")


def test_the_dockerfile_and_the_root_agree(root: Path) -> None:
    image = read_dockerfile()
    assert (root / image.entrypoint[0].lstrip("/")).is_file()
    assert image.health[0] == image.entrypoint[0]
    assert (root / image.folder.lstrip("/")).is_dir()
    assert image.environment["PATH"] == str(Path(image.entrypoint[0]).parent)
    locale = image.environment["LANG"].replace("UTF-8", "utf8")
    assert (root / "usr/lib/locale" / locale / "LC_CTYPE").is_file()
    accounts = [line.split(":") for line in (root / "etc/passwd").read_text().splitlines()]
    assert [str(image.user), str(image.group)] in [account[2:4] for account in accounts]


@pytest.mark.parametrize("path", [".gitignore", "deploy/.gitignore"])
def test_what_git_ignores_does_not_go_to_the_engine(path: str) -> None:
    text = (ROOT / ".dockerignore").read_text()
    ignored = {line for line in text.splitlines() if line and not line.startswith("#")}
    folder = Path(path).parent
    for line in (ROOT / path).read_text().splitlines():
        if line and not line.startswith("#"):
            word = line.strip("/")
            assert {str(folder / word), f"**/{word}"} & ignored, line


def test_what_git_tracks_does_go_to_the_engine() -> None:
    told = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if told.returncode != 0:
        pytest.skip("not a checkout")
    # Every file by its path, and every folder on the way to it.
    tracked = {str(path) for name in told.stdout.splitlines() for path in [Path(name), *Path(name).parents]}
    for pattern in (ROOT / ".dockerignore").read_text().splitlines():
        anywhere = pattern.removeprefix("**/")
        names = {Path(path).name for path in tracked} if anywhere != pattern else tracked
        assert pattern.startswith("#") or not fnmatch.filter(names, anywhere), pattern
