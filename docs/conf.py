"""For Sphinx: the site that `make docs` makes of the README and the pages of docs/. They link to each other as files; a
link that leads nowhere is an error."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

FRONT: Final = "README"

project = "ckv"
copyright = "the ckv authors"  # noqa: A001 - so Sphinx names it
root_doc = FRONT
include_patterns = ["*.md", "docs/*.md"]
extensions = ["myst_parser"]
myst_heading_anchors = 4
"""The levels of headings that links may lead to, by the names that GitHub gives them."""
html_theme = "furo"
html_title = "ckv"
html_show_copyright = html_show_sphinx = html_copy_source = html_show_sourcelink = False
pygments_style = "friendly"
pygments_dark_style = "monokai"


def contents(readme: str) -> Iterator[str]:
    """What stands beside each page: what the tables of the README name, under the heading of the table."""
    for section in re.split(r"^## ", readme, flags=re.MULTILINE)[1:]:
        heading = section.partition("\n")[0]
        rows = "\n".join(re.findall(r"^\| (\[.*?) \|", section, re.MULTILINE))
        if pages := re.findall(r"\]\(([^)#]+)\.md\)", rows):
            yield "\n".join(["", "```{toctree}", ":hidden:", f":caption: {heading}", "", *pages, "```", ""])


def _add_contents(_app: Any, page: str, source: list[str]) -> None:
    if page == FRONT:
        source[0] += "".join(contents(source[0]))


def _copy_front(app: Any, error: Exception | None) -> None:
    """A server looks for index.html."""
    if error is None:
        shutil.copyfile(Path(app.outdir, f"{FRONT}.html"), Path(app.outdir, "index.html"))


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _add_contents)
    app.connect("build-finished", _copy_front)
