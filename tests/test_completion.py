"""``ckv completion``: what shells make of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ckv.roles import ROLES
from ckv.settings.table import SETTINGS
from ckv.tools.completion import SCRIPTS
from tests.support.nodes import run_ckv


def completed(*words: str) -> list[str]:
    """What bash makes of a line whose last word is not complete."""
    line = " ".join(f"'{word}'" for word in words)
    script = f"""{SCRIPTS["bash"]()}
COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}
_ckv ckv '{words[-1]}' '{words[-2]}' && printf '%s\\n' "${{COMPREPLY[@]}}\""""
    run = subprocess.run(["bash", "-uc", script], capture_output=True, text=True, check=True)
    assert run.stderr == ""
    return run.stdout.split()


def test_bash_completes_roles() -> None:
    assert completed("ckv", "") == [*ROLES, "--help", "--version"]
    assert completed("ckv", "se") == ["secondary"]
    assert completed("ckv", "x") == []


def test_bash_completes_options_of_the_role() -> None:
    assert completed("ckv", "secondary", "--write-") == ["--write-mode=", "--write-delay=", "--write-batch="]
    assert completed("ckv", "primary", "--write-") == []
    assert completed("ckv", "secondary", "localhost:8080", "8081", "--allow") == ["--allow-flush"]


def test_bash_completes_files(tmp_path: Path) -> None:
    (tmp_path / "some file").touch()
    (tmp_path / "other").touch()
    assert completed("ckv", "config", "check", f"{tmp_path}/o") == [f"{tmp_path}/other"]


@pytest.mark.parametrize("shell", SCRIPTS)
def test_each_script_has_all_roles_and_options(shell: str) -> None:
    script = run_ckv("completion", shell).stdout
    assert script == SCRIPTS[shell]()
    prefix = "-l " if shell == "fish" else "--"
    assert not [role for role in ROLES if role not in script]
    assert not [each.name for each in SETTINGS if each.is_option and prefix + each.name[2:] not in script]


@pytest.mark.parametrize("shell", SCRIPTS)
def test_each_shell_can_read_its_own(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    path = tmp_path / "script"
    path.write_text(SCRIPTS[shell]())
    run = subprocess.run([shell, "-n", path], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_fish_completes_roles_and_options() -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    assert " -l write-mode -r -d 'When a PUT or DEL is answered'\n" in SCRIPTS["fish"]()
    script = SCRIPTS["fish"]() + 'complete -C "ckv se"\ncomplete -C "ckv secondary --write-m"\n'
    run = subprocess.run(["fish", "--no-config"], input=script, capture_output=True, text=True, check=True)
    assert [line.split("\t")[0] for line in run.stdout.splitlines()] == ["secondary", "--write-mode"]
