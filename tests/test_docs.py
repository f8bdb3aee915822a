"""The documentation: made pages are up to date, and links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.nodes import ROOT

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_made_pages_are_up_to_date() -> None:
    run = subprocess.run(
        [sys.executable, ROOT / "docs/generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    broken = [
        target
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
        if not target.startswith("http") and not (page.parent / target).exists()
    ]
    assert not broken


def test_the_readme_leads_to_every_page() -> None:
    linked = re.findall(r"\]\((docs/[^)#\s]+\.md)", (ROOT / "README.md").read_text())
    assert {page.relative_to(ROOT) for page in (ROOT / "docs").glob("*.md")} == set(map(Path, linked))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_tests_that_a_page_names_exist(page: Path) -> None:
    # Not where a path begins at the root of a machine, as the program's in an image does, and not what `make` makes.
    folders = r"ckv|tests|docs|bench|build(?!/out|/cache|/\.venv)|deploy"
    named = re.findall(rf"(?<![\w/])((?:{folders})/[\w./-]+)(?:::(\w+))?", page.read_text())
    missing = [
        f"{name}::{test}"
        for name, test in named
        if not (ROOT / name.rstrip(".")).exists() or (test and f"def {test}(" not in (ROOT / name).read_text())
    ]
    assert not missing


def test_the_tour_names_every_module() -> None:
    """By its name, in a step that is about its folder: there are several of some names."""
    tour = (ROOT / "docs/architecture.md").read_text()
    steps = re.split(
        r"^\d+\. ", tour[tour.index("## A tour") : tour.index("## Where a change goes")], flags=re.MULTILINE
    )
    modules = [path for path in (ROOT / "ckv").rglob("*.p[yx]*") if path.suffix in (".py", ".pyx", ".pxd", ".pxi")]
    assert len(modules) > 150
    is_named = re.compile(r"[\w/]*?(\w+\.(?:py|pyx|pxd|pxi))\b")
    missing = set()
    for path in modules:
        room = path.relative_to(ROOT).parts[:-1][:2]
        about = [step for step in steps if f"{'/'.join(room)}/" in step]
        named = {name for step in about for name in is_named.findall(step)}
        if path.name != "__init__.py" and not named & {path.name, path.with_suffix(".pyx").name}:
            missing.add(str(path.relative_to(ROOT)))
    assert not missing
