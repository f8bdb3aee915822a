"""What is released: archives that run, with licences, a bill of materials and sums over all."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support.nodes import ROOT, run_ckv

BUILD_PYTHON = ROOT / "build" / ".venv" / "bin" / "python"


@pytest.fixture(scope="module")
def dist(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make dist` makes of the program that is there."""
    target = tmp_path_factory.mktemp("dist")
    pack = [str(BUILD_PYTHON), str(ROOT / "build" / "dist.py"), "--no-build", f"--to={target}"]
    done = subprocess.run(pack, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.parametrize("suffix", ["-folder.tar.gz", ".tar.gz"])
def test_an_archive_has_the_program_and_all_licences(program: Path, dist: Path, tmp_path: Path, suffix: str) -> None:
    name = program.parent.name
    with tarfile.open(dist / f"{name}{suffix}") as archive:
        archive.extractall(tmp_path, filter="data")
    root = tmp_path / name
    told = subprocess.run([root / "ckv", "--version"], env={"HOME": str(tmp_path)}, capture_output=True, text=True)
    assert told.stdout == run_ckv("--version").stdout
    assert "--write-mode" in (root / "man1" / "ckv-secondary.1").read_text().replace("\\-", "-")
    assert (root / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    listed = {line.split()[0] for line in (root / "licences" / "LIST.txt").read_text().splitlines()}
    assert listed == {path.name for path in (root / "licences").iterdir()} - {"LIST.txt"}
    assert {"gevent", "msgpack", "PyMySQL", "Nuitka-runtime", "mypyc-runtime", "Cython-runtime", "libssl3"} <= listed


def test_the_bill_of_materials_names_all_that_is_licensed(program: Path, dist: Path) -> None:
    bill = json.loads((dist / f"{program.parent.name}.cdx.json").read_text())
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "ckv")
    with tarfile.open(dist / f"{program.parent.name}.tar.gz") as archive:
        file = archive.extractfile(f"{program.parent.name}/licences/LIST.txt")
        assert file is not None
        listed = {line.split()[0] for line in file.read().decode().splitlines()}
    assert {part["name"] for part in bill["components"]} == listed


def test_the_sums_are_right_and_of_everything(dist: Path) -> None:
    sums = dict(line.split()[::-1] for line in (dist / "SHA256SUMS").read_text().splitlines())
    assert sums == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in dist.iterdir() if path.name != "SHA256SUMS"
    }
    assert len(sums) == (3 if shutil.which("dpkg-deb") is None else 4)


def test_the_package_for_debian_has_the_program_and_all_licences(program: Path, dist: Path, tmp_path: Path) -> None:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("this is no Debian: there is no dpkg-deb")
    (package,) = dist.glob("ckv_*.deb")
    subprocess.run(["dpkg-deb", "--extract", package, tmp_path], check=True)
    told = subprocess.run([tmp_path / "usr/bin/ckv", "--version"], env={}, capture_output=True, text=True)
    assert told.stdout == run_ckv("--version").stdout
    licences = tmp_path / "usr/share/doc/ckv/licences"
    listed = {line.split()[0] for line in (licences / "LIST.txt").read_text().splitlines()}
    assert listed == {path.name for path in licences.iterdir()} - {"LIST.txt"}
