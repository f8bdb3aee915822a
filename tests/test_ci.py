"""What `.ci/run` says in the end is what its exit code says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.nodes import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in which each command passes at once, but for what BROKEN names."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    commands = {
        ".ci/helm": "exit 0",
        ".ci/newest-servers": "exit 0",
        ".ci/promtool": "exit 0",
        "bin/make": """for target; do [ "$target" != "$BROKEN" ] || exit 2; done
            [ "$target" != fuzz-all ] || echo "$FUZZ_SECONDS s each" """,
    }
    for name, does in commands.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/usr/bin/env bash\n{does}\n")
        path.chmod(0o755)
    return tmp_path


def run(checkout: Path, *, broken: str = "") -> subprocess.CompletedProcess[str]:
    path = f"{checkout / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        [str(checkout / ".ci" / "run")],
        env={**os.environ, "PATH": path, "BROKEN": broken, "TMPDIR": str(checkout / "bin")},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_all_passed(checkout: Path) -> None:
    done = run(checkout)
    assert "=== all passed" in done.stdout
    assert done.returncode == 0
    assert sorted(path.name for path in (checkout / "bin").iterdir()) == ["make"]


@pytest.mark.parametrize("broken", ["ready", "test", "core-check", "fuzz-all", "image-test"])
def test_one_failed_and_the_others_ran(checkout: Path, broken: str) -> None:
    done = run(checkout, broken=broken)
    assert done.stdout.splitlines()[-1] == f"=== failed: {broken}"
    assert done.returncode == 1
    assert "=== make image-test" in done.stdout


def test_each_fuzzer_searches_for_half_a_minute(checkout: Path) -> None:
    assert "\n30 s each\n" in run(checkout).stdout
    would = subprocess.run(
        ["make", "--dry-run", "fuzz-all", "FUZZ_SECONDS=30"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    fuzzers = {path.stem for path in (ROOT / "tests/fuzz").glob("*.py") if "    search(one_input, " in path.read_text()}
    assert set(re.findall(r"-m tests\.fuzz\.(\w+) .*-max_total_time=30 ", would)) == fuzzers


def test_where_there_is_no_atheris_the_fuzzers_are_left_out(checkout: Path) -> None:
    done = run(checkout, broken=".venv/.fuzz")
    assert "=== make fuzz-all: left out" in done.stdout
    assert done.returncode == 0
