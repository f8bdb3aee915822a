"""What may import what: the floors of the house, no circle, and a core that knows nothing of the outside."""

from __future__ import annotations

import ast
import runpy
from collections.abc import Iterator
from importlib import import_module
from inspect import isclass
from pathlib import Path
from typing import Final

import pytest

from tests.support.nodes import ROOT

FLOORS: Final = (
    {
        *("address", "commands", "core", "errors", "event", "events", "exits", "glob", "logs", "masking", "outage"),
        *("roles", "spelling", "stderr", "streams", "tls", "units", "values"),
    },
    {"client", "cluster", "persistent", "protocol", "security", "store"},
    {"net", "redis", "settings"},
    {"node"},
    {"tools"},
    {"cli"},
    {"__main__"},
)
"""The rooms of ``ckv``, from the ground up. A room may know those below it. Of those on its own floor it knows none,
but for the ground floor, whose modules are words that all share."""

SHARED: Final = {"ckv.protocol.packing", "ckv.cluster.slots", "ckv.cluster.directory"}
"""What the floor above the ground shares all the same: the Python client and the nodes speak the same msgpack, and find
the owner of a key in the same way."""

MAX_LINES: Final = 400
"""Lines of a file, from which on it has more than one subject."""

OUTSIDE: Final = ("gevent", "socket", "time", "random", "threading")
"""What the store, the cluster and the protocol do not import: sockets, greenlets, a clock or chance of their own."""


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES: Final = {module(path): path for path in sorted((ROOT / "ckv").rglob("*.py"))}


def imported(path: Path) -> set[str]:
    """The modules that a file imports, wherever and whatever for, and the names that it imports from them."""
    names: set[str] = set()
    nodes: list[ast.AST] = [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        else:
            nodes += ast.iter_child_nodes(node)
    return names


def known(name: str) -> set[str]:
    """The modules of ckv that a module imports, but for the package itself, which tells the version."""
    found = (of if of in MODULES else of.rpartition(".")[0] for of in imported(MODULES[name]))
    return {of for of in found if of in MODULES and of not in ("ckv", name)}


def room(name: str) -> str:
    return name.split(".")[1]


def floor(name: str) -> int:
    (number,) = [number for number, rooms in enumerate(FLOORS) if room(name) in rooms]
    return number


def circles() -> Iterator[frozenset[str]]:
    """The largest sets of modules in which each one imports, in the end, itself."""
    reached = {name: set(known(name)) for name in MODULES}
    for between in MODULES:
        for of in reached.values():
            if between in of:
                of |= reached[between]
    for name, of in reached.items():
        if name in of:
            yield frozenset(other for other in of if name in reached[other])


@pytest.mark.parametrize("name", sorted(MODULES.keys() - {"ckv"}))
def test_nobody_knows_who_lives_above_or_next_door(name: str) -> None:
    def fine(other: str) -> bool:
        if floor(name) == floor(other):
            return floor(name) == 0 or room(name) == room(other) or other in SHARED
        return floor(other) < floor(name)

    assert not [other for other in known(name) if not fine(other)]


def test_every_room_has_somebody_in_it() -> None:
    assert set().union(*FLOORS) == {room(name) for name in MODULES if name != "ckv"}


def test_no_circle() -> None:
    assert not set(circles())


@pytest.mark.parametrize(
    "name", [name for name in MODULES if name.startswith(("ckv.cluster", "ckv.protocol", "ckv.store"))]
)
def test_the_core_imports_nothing_of_the_outside(name: str) -> None:
    assert not [of for of in imported(MODULES[name]) if of.partition(".")[0] in OUTSIDE]


def test_no_file_is_long() -> None:
    sources = (path for path in (ROOT / "ckv").rglob("*") if path.suffix in (".py", ".pyx", ".pxd", ".pxi", ".h"))
    assert not [path.name for path in sources if len(lines(path)) > MAX_LINES]


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith(("ckv.net", "ckv.protocol"))])
def test_no_file_writes_the_fields_of_another(name: str) -> None:
    own: set[str] = set()
    written: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            own.add(node.target.id)  # of a dataclass
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            (own if ast.unparse(node.value) == "self" else written).add(node.attr)
    assert not written - own


def test_whoever_inherits_from_a_compiled_class_is_compiled() -> None:
    """mypyc lets nobody else, which only the native program would find out, when it makes one."""
    compiled = runpy.run_path(str(ROOT / "build" / "modules.py"))["COMPILED"]
    others = [import_module(name) for name in MODULES if name not in compiled and name != "ckv.__main__"]
    made = {of for other in others for of in vars(other).values() if isclass(of) and of.__module__ == other.__name__}
    assert not {of for of in made if {base.__module__ for base in of.__mro__[1:]} & {*compiled}}


def test_ckv_py_only_calls() -> None:
    assert imported(ROOT / "ckv.py") <= {"__future__.annotations", "sys", "ckv.__main__.main"}
