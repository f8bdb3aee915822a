"""What an installed ckv consists of: the package alone, and a console script that works."""

from __future__ import annotations

import platform
import subprocess
import sys
import zipfile
from pathlib import Path

import ckv
from tests.support.nodes import ROOT, ckv_environment


def test_a_wheel_holds_the_package_and_a_console_script_that_works(tmp_path: Path) -> None:
    hatchling = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(hatchling, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"ckv-{ckv.__version__}-py3-none-any.whl"
    top = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert top == {"ckv", f"ckv-{ckv.__version__}.dist-info"}

    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    # From another folder, so that it is the installed package that answers and not the checkout.
    answer = subprocess.run(
        [str(target / "bin" / "ckv"), "--version"],
        cwd=tmp_path,
        env=ckv_environment({"PYTHONPATH": str(target)}),
        capture_output=True,
        text=True,
    )
    python = platform.python_version()
    told = f"ckv {ckv.__version__} (commit unknown, Python {python}, interpreted)\n"
    assert (answer.returncode, answer.stdout) == (0, told), answer.stderr
