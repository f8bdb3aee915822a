"""What may import what: the store and the cluster know no sockets, no greenlets and no roles."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support.nodes import ROOT

CORE = sorted(path for part in ("store", "cluster") for path in (ROOT / "ckv" / part).glob("*.py"))
FORBIDDEN = (
    "gevent",
    "socket",
    "time",
    "random",
    "threading",
    "ckv.roles",
    "ckv.client",
    "ckv.net",
    "ckv.protocol",
    "ckv.persistent",
    "ckv.settings",
)


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("path", CORE, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_core_imports_nothing_of_the_outside(path: Path) -> None:
    guilty = [
        name for name in imported(path) for banned in FORBIDDEN if name == banned or name.startswith(banned + ".")
    ]
    assert not guilty


def test_ckv_py_only_calls() -> None:
    assert imported(ROOT / "ckv.py") <= {
        "__future__",
        "__future__.annotations",
        "sys",
        "ckv.__main__",
        "ckv.__main__.main",
    }
