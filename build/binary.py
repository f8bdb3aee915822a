"""Makes the native program: a folder with everything in it, and the same as a single file.

    python build/binary.py [--folder-only | --where | --package]

It writes ``build/out/ckv-<version>-linux-<machine>/``, whose program is ``ckv``, and the executable file
``build/out/bin/ckv-<version>-linux-<machine>``. Call it through ``make build``, which sees to what it needs.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import baked
import compiled
import modules
import single

ROOT: Final = Path(__file__).resolve().parents[1]
OUT: Final = ROOT / "build" / "out"
CACHE: Final = ROOT / "build" / "cache"

WORK: Final = "work"
"""Where modules are compiled, below the folder that is written to."""

OLD: Final = f"ckv-*-linux-{os.uname().machine}"
"""The names of builds for this machine; those for another one stay."""


def main(arguments: Sequence[str]) -> int:
    """Builds; the exit code."""
    parser = argparse.ArgumentParser(description="Make the native program.")
    parser.add_argument("--folder-only", action="store_true", help="no single file")
    parser.add_argument("--where", action="store_true", help="print the path of the program in the folder, only")
    parser.add_argument("--package", action="store_true", help="print where the package with compiled modules is, only")
    parser.add_argument("--compile", default=",".join(modules.COMPILED), help="modules to compile, for measuring")
    parser.add_argument("--out", type=Path, default=OUT, help="where to write to")
    chosen = parser.parse_args(arguments)
    began = time.monotonic()
    name = release_name()
    if chosen.where:
        print(chosen.out / name / "ckv")
        return 0
    if chosen.package:
        print(compiled.package(chosen.out / WORK))
        return 0
    folder = compile_folder(chosen.out, name, [word for word in chosen.compile.split(",") if word])
    print(f"{folder}: {megabytes(folder)}, {time.monotonic() - began:.0f} s")
    if not chosen.folder_only:
        file = chosen.out / "bin" / name
        file.parent.mkdir(exist_ok=True)
        for old in file.parent.glob(OLD):
            old.unlink()
        single.pack(folder, file, f"ckv-{version()}")
        print(f"{file}: {megabytes(file)}, {time.monotonic() - began:.0f} s")
    return 0


def version() -> str:
    """The version that stands in the package."""
    found = re.search(r'^__version__ = "(.+)"$', (ROOT / "ckv" / "__init__.py").read_text(), re.MULTILINE)
    assert found
    return found[1]


def release_name() -> str:
    """What the folder and the file are called: version, system and machine."""
    return f"ckv-{version()}-linux-{os.uname().machine}"


def compile_folder(out: Path, name: str, hot: Sequence[str]) -> Path:
    """Compiles the program into ``out/name``; raises CalledProcessError. Older builds there go."""
    unknown = set(hot) - set(own_modules())
    if unknown:
        raise SystemExit(f"no such modules: {', '.join(sorted(unknown))}")
    source = out / "source"
    copy_source(source)
    imported = compiled.compile_modules(source, hot, out / WORK)
    for old in [*out.glob(OLD), source / "ckv.dist"]:
        shutil.rmtree(old, ignore_errors=True)
    # The work folder of the compiler has to keep its place: its cache goes by the names of files.
    subprocess.run(nuitka(hot, imported), cwd=source, env=environment(out), check=True)
    folder = out / name
    (source / "ckv.dist").rename(folder)
    compiled.put_into(folder, out / WORK)
    return folder


def nuitka(hot: Sequence[str], imported: Sequence[str]) -> list[str]:
    """The command line of Nuitka, which runs in the folder of the source.

    The ``hot`` modules are not there, nor is anything that tells what they ``imported``.
    """
    bytecode = [*modules.THIRD_PARTY, *(module for module in own_modules() if module not in hot)]
    return [
        sys.executable, "-m", "nuitka", "--mode=standalone", "--output-filename=ckv", "--quiet",
        "--report=report.xml", "--report-diffable",
        f"--static-libpython={'yes' if links_debian_python() else 'auto'}",
        *(f"--noinclude-custom-mode={name}:bytecode" for name in bytecode),
        "--include-package=ckv",
        *(f"--include-module={name}" for name in (*modules.EXTRA, *imported)),
        *(f"--include-distribution-metadata={name}" for name in modules.METADATA),
        *(f"--nofollow-import-to={name}" for name in modules.LEFT_OUT),
        "ckv.py",
    ]  # fmt: skip


def links_debian_python() -> bool:
    """Whether this is Debian's own Python, whose library can be linked in."""
    return os.path.exists("/etc/debian_version") and sys.base_prefix == "/usr"


def own_modules() -> list[str]:
    """The full names of ckv's own modules."""
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / "ckv").rglob("*.py"))
    ]


def environment(out: Path) -> dict[str, str]:
    """The environment of the compiler: caches inside of the checkout, and nothing that varies from build to build."""
    c_flags, link_flags = [], ["-Wl,--wrap=newlocale", str(compile_locale(out))]
    if links_debian_python():
        # Nuitka would take the library that is meant for shared objects. The interpreter of Debian is made of the other
        # one, which is up to 5 % faster, and can only be linked at a fixed address.
        library = os.path.join(sysconfig.get_config_var("LIBPL"), sysconfig.get_config_var("LIBRARY"))
        c_flags += ["-fno-pie"]
        link_flags += ["-no-pie", "-Wl,--whole-archive", library, "-Wl,--no-whole-archive"]
    return {
        **os.environ,
        "CFLAGS": " ".join(c_flags),
        "LDFLAGS": " ".join(link_flags),
        "NUITKA_CACHE_DIR": str(CACHE),
        "NUITKA_UPDATE_CHECK": "never",
        "PYTHONHASHSEED": "0",
        "SOURCE_DATE_EPOCH": source_date(),
    }


def compile_locale(out: Path) -> Path:
    """What stands in for a function of the system, as an object file; see ``build/locale.c``."""
    target = out / "locale.o"
    subprocess.run(["gcc", "-O2", "-c", "-o", str(target), str(ROOT / "build" / "locale.c")], check=True)
    return target


def copy_source(target: Path) -> None:
    """Copies what is compiled, and writes the commit and the status page into it."""
    for old in ("ckv", "ckv.py"):
        path = target / old
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
    shutil.copytree(ROOT / "ckv", target / "ckv", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    shutil.copy2(ROOT / "ckv.py", target)
    baked.bake(target / "ckv", commit())


def commit() -> str:
    """The commit of the checkout, as ``ckv --version`` tells it from there."""
    code = "from ckv.tools import about; print(about.commit())"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return told.stdout.strip()


def source_date() -> str:
    """The time of the commit in seconds since 1970: the date of everything in a release."""
    git = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    done = subprocess.run(git, capture_output=True, text=True)
    return done.stdout.strip() or "0"


def megabytes(path: Path) -> str:
    """The size of a file, or of all files of a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return f"{sum(file.stat().st_size for file in files) / 1e6:.1f} MB"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except subprocess.CalledProcessError as error:
        sys.exit(f"{Path(error.cmd[0]).name} failed with exit code {error.returncode}; its last lines say why")
