"""What ``--version`` tells: version, commit, Python, and whether the program is compiled."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

import ckv
from ckv import core
from ckv.tools import about
from tests.support.nodes import ROOT, ckv_environment

IDENTITY = {
    **{f"GIT_{who}_{what}": "ckv" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


def git(folder: Path, *words: str) -> str:
    environment = {**os.environ, **IDENTITY}
    done = subprocess.run(["git", *words], cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The program in a folder that is no checkout."""
    shutil.copytree(ROOT / "ckv", tmp_path / "ckv", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "ckv.py", tmp_path)
    return tmp_path


def told(folder: Path, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "ckv.py", "--version"],
        cwd=folder, env=ckv_environment({"PYTHONDONTWRITEBYTECODE": "1", **environ}), capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def line(commit: str) -> str:
    return (
        f"ckv {ckv.__version__} (commit {commit}, Python {platform.python_version()}, core {core.KIND}, interpreted)\n"
    )


def test_a_checkout_has_the_commit_from_git(copy: Path) -> None:
    assert told(copy) == line("unknown")
    git(copy, "init", "--quiet")
    assert told(copy) == line("unknown")
    git(copy, "add", ".")
    git(copy, "commit", "--quiet", "--message=first")
    git(copy, "tag", "v1")
    commit = git(copy, "rev-parse", "--short=12", "HEAD")
    assert told(copy) == line(commit)
    with (copy / "ckv.py").open("a") as program:
        program.write("# changed\n")
    assert told(copy) == line(f"{commit}-dirty")
    assert told(copy, PATH="/nonexistent") == line("unknown")


def test_a_baked_commit_beats_that_of_the_checkout(copy: Path) -> None:
    module = copy / "ckv" / "tools" / "about.py"
    git(copy, "init", "--quiet")
    module.write_text(module.read_text().replace('BAKED_COMMIT: Final = ""', 'BAKED_COMMIT: Final = "abc"'))
    assert told(copy) == line("abc")


def test_a_compiled_program_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not about.compiled()
    assert about.line().endswith(", interpreted)")
    monkeypatch.setattr(sys.modules["__main__"], "__compiled__", types.SimpleNamespace(), raising=False)
    assert about.compiled()
    assert about.line().endswith(", compiled)")
    assert about.commit() == "unknown", "whatever checkout it may lie in"
