"""Compiles modules of ckv to C, by mypyc and by Cython, and lets the native program find them.

mypyc (https://mypyc.readthedocs.io) makes extension modules of ordinary modules with type hints. Classes in them become
native ones: what they call of each other and what they keep in attributes needs no look-up, and types are checked at
run time. Nuitka would want the extension modules of the package ``ckv`` in a folder of that name, which is the name of
the program in the same place. So they lie in a folder of their own, and a few lines in the package find them there.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import extension

FOLDER: Final = "compiled"
"""The folder beside the program: one file for each module, by its full name."""

GROUP: Final = "ckv"
"""All modules are one piece of C, ``ckv__mypyc``, so that calls between them are C's too. Each is a head of it."""

FINDER: Final = f'''

def _find_compiled_modules() -> None:
    import os
    import sys
    from importlib.util import spec_from_file_location

    folder = os.path.join(os.path.dirname(os.path.dirname(__file__)), "{FOLDER}")
    files = {{name.removesuffix(".so"): os.path.join(folder, name) for name in os.listdir(folder)}}

    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            return spec_from_file_location(name, files[name]) if name in files else None

    sys.meta_path.insert(0, Finder)


_find_compiled_modules()
'''
"""What stands at the end of the package's first file in the program."""


def compile_modules(source: Path, names: Sequence[str], work: Path) -> list[str]:
    """Compiles the core, and the modules of these names, which it takes out of the copy of the source.

    :func:`put_into` has where they go. Returns the modules of others that they import, for whoever cannot read that
    there any more. In ``work`` stays what the next build can use. Raises CalledProcessError.
    """
    texts = [Path(*name.split(".")).with_suffix(".py") for name in names]
    ccache = shutil.which("ccache")
    environment = {**os.environ, "CC": f"{ccache} gcc" if ccache else "gcc"}
    shutil.rmtree(package(work), ignore_errors=True)
    if texts:
        command = [sys.executable, str(Path(__file__)), str(work), *map(str, texts)]
        subprocess.run(command, cwd=source, env=environment, check=True)
    shutil.copytree(source / "ckv", package(work) / "ckv", dirs_exist_ok=True)
    extension.compile_core(package(work) / extension.CORE, work / "core", source=source)
    with (source / "ckv" / "__init__.py").open("a") as file:
        file.write(FINDER)
    imported = {name for text in texts for name in imports(source / text)} - set(sys.builtin_module_names)
    for text in texts:
        (source / text).unlink()
    return sorted(name for name in imported if name.split(".")[0] != "ckv")


def package(work: Path) -> Path:
    """The folder with the whole package, extension modules beside the files that they were made of.

    On ``PYTHONPATH`` of the same Python it is ckv as the program has it.
    """
    return work / "package"


def put_into(folder: Path, work: Path) -> None:
    """Puts the extension modules into the folder of the program, as :data:`FINDER` looks for them."""
    target = folder / FOLDER
    target.mkdir()
    for made in package(work).rglob("*.so"):
        name = ".".join(made.relative_to(package(work)).parts).split(".cpython-")[0]
        shutil.copy2(made, target / f"{name}.so")


def imports(file: Path) -> set[str]:
    """The modules that a file imports, whatever for."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def main(arguments: Sequence[str]) -> None:
    """In a process of its own, for setuptools changes much of the one that it runs in."""
    from mypyc.build import mypycify
    from setuptools import setup

    work, *files = arguments
    # Types of other packages gain nothing: what they offer is called as any Python object is.
    extensions = mypycify(
        ["--config-file=", "--ignore-missing-imports", "--cache-dir", f"{work}/types", *files],
        opt_level="3",
        debug_level="0",
        group_name=GROUP,
        target_dir=f"{work}/c",
    )
    build = ["--quiet", "build_ext", f"--build-temp={work}/objects", f"--build-lib={package(Path(work))}"]
    setup(name=GROUP, packages=[], ext_modules=extensions, script_args=build)


if __name__ == "__main__":
    main(sys.argv[1:])
