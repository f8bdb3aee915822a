"""What an installed ckv consists of: the package alone, a client that needs msgpack only, and a console script."""

from __future__ import annotations

import email
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import ckv
from ckv import core
from tests.support.nodes import ROOT, Nodes, ckv_environment

pytestmark = pytest.mark.timeout(300)  # the wheel has the compiled core in it, which takes a minute on a busy machine

PAGE = (ROOT / "docs" / "python.md").read_text()
PACKAGES = Path(sysconfig.get_path("purelib"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    hatchling = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(hatchling, cwd=ROOT, check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the wheel and msgpack in it, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
    shutil.copytree(PACKAGES / "msgpack", packages / "msgpack")
    return folder


def run(environment: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A program of the environment, called from a folder that is no checkout."""
    program, *arguments = words
    return subprocess.run(
        [str(environment / "bin" / program), *arguments],
        cwd=environment, env=ckv_environment(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_a_wheel_holds_the_package_and_says_what_it_needs(wheel: Path) -> None:
    name, version, *_ = wheel.name.split("-")
    assert version == ckv.__version__
    # A wheel of one Python and one machine where the core could be compiled, which it could if it is here.
    assert wheel.name.endswith("-py3-none-any.whl") is not core.COMPILED
    # That is a stranger's on the public index: who has both would have one of them.
    assert name != "ckv"
    with zipfile.ZipFile(wheel) as archive:
        assert {file.split("/")[0] for file in archive.namelist()} == {"ckv", f"{name}-{version}.dist-info"}
        modules = [file for file in archive.namelist() if file.endswith(".so")]
        assert ("ckv/core/records" + sysconfig.get_config_var("EXT_SUFFIX") in modules) is core.COMPILED
        metadata = email.message_from_bytes(archive.read(f"{name}-{version}.dist-info/METADATA"))
    needs = metadata.get_all("Requires-Dist") or []
    assert [need for need in needs if "extra ==" not in need] == ["msgpack>=1.2.4"]
    assert metadata.get_all("Provides-Extra") == ["server"]
    server = {re.split(r"[^\w-]", need)[0] for need in needs if need.endswith("extra == 'server'")}
    assert server >= {"docopt-ng", "gevent", "kazoo", "prompt-toolkit", "pymysql", "tenacity"}


CLIENT = """
import sys
from ckv import Client, CkvError, NodeDown, Unreachable
with Client("127.0.0.1", int(sys.argv[1]), retries=3) as client:
    client.put("bob", "bob@gmail.com")
    with client.pipeline() as batch:
        batch.get("bob")
        batch.delete("bob")
        print(batch.execute(), client.get("bob"))
print(sorted(name for name in sys.modules if "site-packages" in (getattr(sys.modules[name], "__file__", None) or "")
    and "." not in name))
"""


def test_the_client_needs_msgpack_only(environment: Path, nodes: Nodes) -> None:
    node = nodes.start_secondary()
    done = run(environment, "python", "-c", CLIENT, str(node.port))
    assert (done.stdout, done.stderr) == ("['bob@gmail.com', True] None\n['ckv', 'msgpack']\n", "")


@pytest.mark.parametrize("words", [["--version"], ["shell", "localhost", "8080"], ["ping", "localhost", "8080"], []])
@pytest.mark.parametrize("program", [["ckv"], ["python", "-m", "ckv"]], ids=" ".join)
def test_the_command_without_its_packages_says_what_is_missing(
    environment: Path, program: list[str], words: list[str]
) -> None:
    done = run(environment, *program, *words)
    line = r"ckv: the package \w+ is missing: the command needs the extra \"server\": in a checkout, pip install .*\n"
    assert re.fullmatch(line, done.stderr)
    assert (done.returncode, done.stdout) == (4, "")


def test_the_command_with_some_of_its_packages(environment: Path, tmp_path: Path) -> None:
    # As in the environment of a program that needs gevent and docopt itself: what is missing shows when a role starts.
    half = tmp_path / "half"
    shutil.copytree(environment, half, symlinks=True)
    (packages,) = half.glob("lib/python*/site-packages")
    for name in ("gevent", "greenlet", "zope", "docopt", "pythonjsonlogger"):
        shutil.copytree(PACKAGES / name, packages / name)
    for extension in PACKAGES.glob("zope*"):
        if extension.is_file():
            shutil.copy(extension, packages)
    done = run(half, "python", "-m", "ckv", "--version")
    assert (done.returncode, done.stderr) == (0, "")
    done = run(half, "python", "-m", "ckv", "secondary", "localhost:1", "0")
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert done.stderr.startswith("ckv: the package tenacity is missing: ")


@pytest.mark.timeout(600)
def test_the_lines_of_the_page(tmp_path: Path) -> None:
    (block,) = re.findall(r"<!-- typed by tests/test_packaging.py -->\n```console\n(.*?)```", PAGE, re.DOTALL)
    create, *lines = [line.removeprefix("$ ") for line in block.splitlines()]
    assert create == "python3 -m venv /tmp/ckv-env && . /tmp/ckv-env/bin/activate"
    folder = tmp_path / "environment"
    venv.create(folder, with_pip=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    # What pip would fetch is found where it is, so that the test needs no network.
    (packages / "fetched.pth").write_text(f"{PACKAGES}\n")
    # Tracked files alone, as a fresh clone has them, with what is edited here.
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for file in filter(None, files.split("\0")):
        if (ROOT / file).exists():
            (tmp_path / "clone" / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, tmp_path / "clone" / file)
    # pip reads this one the other way round.
    offline = ckv_environment({"PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1", "PAGER": "cat"})
    shown = {}
    for line in lines:
        bash = ["bash", "-c", f". {folder}/bin/activate && {line}"]
        # It compiles the core, on a machine that may have much else to do.
        done = subprocess.run(bash, cwd=tmp_path / "clone", env=offline, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        shown[line] = done.stdout
    python = f"Python {platform.python_version()}, core {core.KIND}, interpreted"
    assert re.fullmatch(rf"ckv {ckv.__version__} \(commit \w+, {python}\)\n", shown["ckv --version"])
    assert "This docstring is its manual." in shown["python -m pydoc ckv.Client"]
    assert set(shown) >= {"pip install .", "pip install '.[server]'"}


def test_no_page_installs_the_package_of_a_stranger() -> None:
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("ckv/**/*.py"), ROOT / "CHANGELOG.md"]
    assert [page for page in pages if re.search(r"pip3? install (-\S+ )*['\"]?ckv\b", page.read_text())] == []
