"""The package for Debian: dpkg takes it, what it installs is right, and it is always the same."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ckv
from ckv.roles import ROLES
from tests.support.nodes import ROOT, run_ckv

pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="this is no Debian: there is no dpkg-deb")


def packed(work: Path) -> Path:
    """The package, of a program that only says what it is given."""
    folder, target = work / "program", work / "target"
    (folder / "compiled").mkdir(parents=True)
    target.mkdir()
    (folder / "ckv").write_text('#!/bin/sh\necho "ckv $*"\n')
    (folder / "ckv").chmod(0o755)
    (folder / "compiled" / "part.so").touch(0o600)
    pack: list[str | Path] = [sys.executable, ROOT / "build/deb.py", folder, target]
    subprocess.run(pack, env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}, check=True, stdout=subprocess.DEVNULL)
    (made,) = target.iterdir()
    return made


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(tmp_path_factory.mktemp("deb"))


def field(package: Path, name: str) -> str:
    done = subprocess.run(["dpkg-deb", "--field", package, name], check=True, capture_output=True, text=True)
    return done.stdout.strip()


class Root:
    """A folder in which dpkg keeps packages as in the root of a system."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "var/lib/dpkg/info").mkdir(parents=True)
        (path / "var/lib/dpkg/updates").mkdir()
        (path / "var/lib/dpkg/status").touch()

    def dpkg(self, *words: str | Path) -> None:
        # Nothing else is installed there, not even a shell for the scripts of the package.
        forced = ("--force-depends", "--force-script-chrootless", "--force-confold", "--force-not-root")
        done = subprocess.run(
            ["dpkg", f"--root={self.path}", *forced, "--log=/dev/null", *words],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path / "root")


def test_it_is_made_the_same_again(package: Path, tmp_path: Path) -> None:
    assert packed(tmp_path).read_bytes() == package.read_bytes()


def test_what_it_says(package: Path) -> None:
    assert field(package, "Version") == ckv.__version__
    assert package.name == f"ckv_{ckv.__version__}_{field(package, 'Architecture')}.deb"
    assert "libc6 (>= 2." in field(package, "Depends")


def test_what_is_installed(package: Path, root: Root) -> None:
    root.dpkg("--install", package)
    program = root.path / "usr/bin/ckv"
    assert subprocess.run([program, "a"], check=True, capture_output=True, text=True).stdout == "ckv a\n"
    assert (root.path / "usr/lib/ckv/compiled/part.so").stat().st_mode & 0o777 == 0o644
    pages = {path.name for path in (root.path / "usr/share/man/man1").iterdir()}
    assert pages == {"ckv.1.gz", *(f"ckv-{role}.1.gz" for role in ROLES)}
    page = gzip.decompress((root.path / "usr/share/man/man1/ckv-secondary.1.gz").read_bytes()).decode()
    assert "write\\-mode" in page
    completion = root.path / "usr/share/bash-completion/completions/ckv"
    asked = f"source {completion}; COMP_WORDS=(ckv sec); COMP_CWORD=1; _ckv; echo $COMPREPLY"
    done = subprocess.run(["bash", "-c", asked], check=True, capture_output=True, text=True)
    assert done.stdout == "secondary\n"
    assert run_ckv("config", "check", str(root.path / "etc/ckv/ckv.toml")).returncode == 0
    assert (root.path / "usr/share/doc/ckv/copyright").read_text().startswith("MIT License")


def test_the_units_start_what_is_installed(package: Path, root: Root) -> None:
    root.dpkg("--install", package)
    units = sorted((root.path / "usr/lib/systemd/system").iterdir())
    assert [unit.name for unit in units] == ["ckv-primary.service", "ckv-secondary@.service"]
    for unit in units:
        (started,) = [line for line in unit.read_text().splitlines() if line.startswith("ExecStart=")]
        program = started.removeprefix("ExecStart=").split()[0]
        assert (root.path / program.removeprefix("/")).exists()
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not here")
    for unit in units:
        # It wants to see the program.
        unit.write_text(unit.read_text().replace("ExecStart=/usr/bin/ckv", f"ExecStart={root.path}/usr/bin/ckv"))
    names = [str(unit).replace("@.", "@8081.") for unit in units]
    done = subprocess.run(["systemd-analyze", "verify", *names], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_edited_configuration_outlives_updates(package: Path, root: Root) -> None:
    root.dpkg("--install", package)
    edited = root.path / "etc/ckv/ckv.toml"
    edited.write_text('log-format = "json"\n')
    root.dpkg("--install", package)
    assert edited.read_text() == 'log-format = "json"\n'
    root.dpkg("--remove", "ckv")
    assert edited.exists()
    assert not (root.path / "usr/lib/ckv").exists()
    root.dpkg("--purge", "ckv")
    assert not edited.exists()
