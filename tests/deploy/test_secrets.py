"""No password is in the repository, nor can one get there by accident."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.deploy.hardening import tells_password
from tests.deploy.rendered import DEPLOY
from tests.support.nodes import ROOT

# What may stand behind the name of something secret: a path, a name, what a template has, or nothing, but no value.
SETS = re.compile(r"""["']?([\w-]*(?:pass|pwd|secret)[\w-]*)["']?\s*[:=]\s*([^\s#].*)""", re.IGNORECASE)
HARMLESS = re.compile(
    r"(/run/secrets/|\./secrets/|%d/|/etc/ckv/|\[|\{)"
    r"|(null|password|root-password|ckv-(mysql|users|tls|mysql-tls|authority))$"
)


def git(*arguments: str) -> list[str]:
    run = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    if "not a git repository" in run.stderr:
        pytest.skip("this is no checkout")
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def told(text: str) -> list[str]:
    """The lines that set something secret to a value. A line of systemd may set several things."""
    found = []
    for line in text.splitlines():
        match = SETS.search(line.rpartition(" ")[2] if line.startswith("Environment=") else line)
        if match is not None and not HARMLESS.match(match[2]):
            found.append(line)
    return found


def test_no_file_of_deploy_has_a_password() -> None:
    files = git("ls-files", "--cached", "--others", "--exclude-standard", "deploy")
    assert "deploy/base/mysql.yaml" in files
    assert {file: lines for file in files if (lines := told((ROOT / file).read_text()))} == {}


def test_no_file_of_deploy_makes_a_secret() -> None:
    for path in DEPLOY.rglob("*.yaml"):
        assert not re.search(r"secretGenerator|kind: Secret$|stringData", path.read_text(), re.MULTILINE), path


def test_the_files_that_compose_reads_are_ignored() -> None:
    assert git("check-ignore", "deploy/secrets/mysql-password") == ["deploy/secrets/mysql-password"]
    assert git("ls-files", "deploy/secrets") == []


@pytest.mark.parametrize(
    "line", ["  MYSQL_PASSWORD: letmein", "CKV_MYSQL_PASSWORD=letmein", "  password: bGV0bWVpbg==", '  "pwd": "x"']
)
def test_a_line_with_a_password_is_seen(line: str) -> None:
    assert told(line) == [line]


def test_a_variable_that_names_a_file_is_no_password() -> None:
    assert tells_password("CKV_MYSQL_PASSWORD")
    assert not tells_password("CKV_MYSQL_PASSWORD_FILE")
