"""The manual pages: all roles, all settings, and nothing that troff stumbles over."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ckv.roles import ROLES
from ckv.settings.table import settings_of
from tests.support.nodes import ROOT


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, as the build makes them."""
    folder = tmp_path_factory.mktemp("man")
    subprocess.run([sys.executable, ROOT / "build/manpages.py", folder], check=True)
    return folder


def test_each_role_has_one(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"ckv.1", *(f"ckv-{role}.1" for role in ROLES)}


def test_text_is_text_to_troff(folder: Path) -> None:
    # Some systems show a - that is not escaped as a hyphen, which nobody can paste.
    assert "\n.B \\-\\-bind=ADDRESS\n" in (folder / "ckv-primary.1").read_text()
    # What is typed keeps its lines.
    assert '.nf\n    eval "$(ckv completion bash)" ' in (folder / "ckv-completion.1").read_text()
    sample = "import manpages; print(manpages.escaped('.SH'), manpages.escaped(\"'x\"))"
    run = subprocess.run([sys.executable, "-c", sample], cwd=ROOT / "build", capture_output=True, text=True, check=True)
    assert run.stdout == "\\&.SH \\&'x\n"


def test_they_say_what_help_says(folder: Path) -> None:
    if shutil.which("man") is None:
        pytest.skip("man is not installed")
    environ = {"MANWIDTH": "1000", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}
    for name, role in [("ckv", None), *((f"ckv-{role.name}", role) for role in ROLES.values())]:
        run = subprocess.run(
            ["man", "--warnings=w", "--no-justification", "--no-hyphenation", "--local-file", folder / f"{name}.1"],
            capture_output=True, text=True, check=True, env=environ,
        )  # fmt: skip
        assert run.stderr == ""
        shown = " ".join(run.stdout.split())
        if role is None:
            assert all(f"ckv-{other}(1)" in shown for other in ROLES)
            continue
        for text in (role.usage, role.summary.rstrip("."), *role.about.splitlines()):
            assert " ".join(text.split()) in shown, name
        for setting in settings_of(role.name):
            assert setting.title in shown
            assert " ".join(setting.help.split()) in shown
