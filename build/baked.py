"""What the native program has no files for, written into the copy of the source that is compiled."""

from __future__ import annotations

from pathlib import Path
from typing import Final

PARTS_OF_A_PAGE: Final = (".css", ".html", ".js")
"""What becomes text in the module beside it. As files they would lie in a folder ``ckv`` beside the program, which has
that name itself."""


def bake(package: Path, commit: str) -> None:
    """Writes the commit and the status page into this copy of the package ``ckv``."""
    _replace(package / "tools" / "about.py", 'BAKED_COMMIT: Final = ""', f'BAKED_COMMIT: Final = "{commit}"')
    page = package / "node" / "page"
    parts = {file.name: file.read_text("utf-8") for file in sorted(page.iterdir()) if file.suffix in PARTS_OF_A_PAGE}
    line = "BAKED: Final[dict[str, str]] = {}"
    _replace(page / "__init__.py", line, f"{line.removesuffix('{}')}{parts!r}")


def _replace(file: Path, line: str, baked: str) -> None:
    lines = file.read_text("utf-8").split("\n")
    if lines.count(line) != 1:
        raise SystemExit(f"{file.name} has no line {line}")
    lines[lines.index(line)] = baked
    file.write_text("\n".join(lines), "utf-8")
