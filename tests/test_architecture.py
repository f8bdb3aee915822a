"""What may import what: the floors of the house, and that nothing goes in circles."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support.nodes import ROOT

WORDS = (
    "ckv",
    "ckv.address",
    "ckv.commands",
    "ckv.errors",
    "ckv.logs",
    "ckv.protocol.packing",  # shared by nodes and the Python client
    "ckv.spelling",
    "ckv.stderr",
    "ckv.streams",
    "ckv.values",
)
"""What all share. They know nothing of the floors above."""

SIDE_BY_SIDE = ("client", "cluster", "persistent", "protocol", "store")
"""The parts of one floor, which know nothing of each other."""

ALLOWED = {
    # Their places are on another floor.
    "ckv.persistent.flushing": ("ckv.store",),
    "ckv.persistent.workers": ("ckv.store",),
    "ckv.persistent.mysql_address": ("ckv.settings",),
    "ckv.persistent": ("ckv.settings",),
}

OUTSIDE = ("gevent", "socket", "select", "selectors", "threading")
"""Sockets, the loop and greenlets."""

NO_OUTSIDE = {
    "store": (*OUTSIDE, "time", "random"),
    "cluster": (*OUTSIDE, "time", "random"),
    "protocol": (*OUTSIDE, "time", "random", "os"),
}

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "ckv").rglob("*.py"))
}


def imported(path: Path, in_functions: bool = True) -> set[str]:
    """The modules that a file imports, by their full names, those for types alone included."""
    names: set[str] = set()
    nodes: list[ast.AST] = [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            modules = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in MODULES else node.module for name in modules}
        elif isinstance(node, ast.FunctionDef) and not in_functions:
            continue
        nodes.extend(ast.iter_child_nodes(node))
    return names


def within(name: str, part: str) -> bool:
    return name == part or name.startswith(part + ".")


def part_of(module: str) -> str:
    """The package below ckv that a module is in; empty for one that is in none."""
    return module.split(".")[1] if MODULES[module].parent != ROOT / "ckv" else ""


def below(module: str) -> list[str]:
    """What the module imports of the package, and may not."""
    names = {name for name in imported(MODULES[module]) if within(name, "ckv") and name not in WORDS}
    allowed = {part_of(module)} if module not in WORDS else set()
    if part_of(module) == "net":
        allowed.add("protocol")
    ours = tuple(f"ckv.{part}" for part in allowed if part)
    return sorted(name for name in names if not any(within(name, own) for own in ours + ALLOWED.get(module, ())))


FLOORED = [module for module in MODULES if module in WORDS[1:] or part_of(module) in (*SIDE_BY_SIDE, "net")]


@pytest.mark.parametrize("module", FLOORED)
def test_a_module_knows_nothing_beside_it_or_above_it(module: str) -> None:
    assert not below(module)


@pytest.mark.parametrize("module", [module for module in MODULES if part_of(module) in NO_OUTSIDE])
def test_what_decides_knows_no_sockets_and_no_loop(module: str) -> None:
    banned = NO_OUTSIDE[part_of(module)]
    assert not [name for name in imported(MODULES[module]) if any(within(name, outside) for outside in banned)]


@pytest.mark.parametrize("module", [module for module in MODULES if part_of(module) == "net"])
def test_what_carries_bytes_knows_no_message(module: str) -> None:
    assert not [name for name in imported(MODULES[module]) if within(name, "msgpack")]


def test_no_imports_go_in_circles() -> None:
    """Those for types alone count too, but not those that wait for a call."""
    graph = {module: imported(path, in_functions=False) & MODULES.keys() - {"ckv"} for module, path in MODULES.items()}
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " imports ".join((*way, module))
        if module not in done:
            for name in sorted(graph[module]):
                visit(name, (*way, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_ckv_py_only_calls() -> None:
    assert imported(ROOT / "ckv.py") <= {"__future__", "sys", "ckv.__main__"}
