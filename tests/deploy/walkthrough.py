"""The commands of docs/kubernetes.md."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

from tests.support.nodes import ROOT

PAGE = ROOT / "docs" / "kubernetes.md"


@cache
def commands() -> list[str]:
    """Every command of the page's blocks, on one line, without its prompt."""
    blocks = re.findall(r"^ *```console\n(.*?)```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    lines = [line.strip() for line in "".join(blocks).replace("\\\n", " ").splitlines()]
    return [" ".join(line[2:].split()) for line in lines if line.startswith("$ ")]


def yaml_block(page: Path, word: str) -> str:
    """The one block of YAML of a page that has this word in it."""
    (found,) = [block for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL) if word in block]
    return str(found)


def words(command: str) -> list[str]:
    """A command as a shell reads it, without its comment."""
    return shlex.split(command, comments=True)


def secrets_made() -> dict[str, set[str]]:
    """The Secrets that the page has made by hand, with their keys."""
    found: dict[str, set[str]] = {}
    for command in commands():
        match = re.search(r"kubectl .*create secret generic (\S+)", command)
        if match is not None:
            found.setdefault(match[1], set()).update(re.findall(r"--from-(?:file|literal)=([\w.-]+)=", command))
    return found
