"""What the native program consists of that is not ckv's own, with its licences: from the compiler's report."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

LICENCE_FILES: Final = re.compile(r"(LICEN[CS]E|COPYING|NOTICE|AUTHORS|COPYRIGHT)", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """One thing that is bundled."""

    name: str
    version: str
    kind: str
    """``pypi``, ``deb``, or ``generic``."""
    licence: str
    """As the part itself calls it; "" where the texts alone say it."""
    texts: tuple[tuple[str, str], ...]
    """The names and the contents of its licence files."""


class NoLicence(Exception):
    """A part comes without a licence text, so it cannot be passed on."""


def parts(report: Path) -> list[Part]:
    """All that is bundled, by name. Raises :class:`NoLicence`."""
    root = ElementTree.parse(report).getroot()
    names = [element.attrib["name"] for element in root.iter("distribution")]
    libraries = [element.attrib["source_path"] for element in root.iter("included_dll")]
    found = [_distribution(name) for name in names]
    found += _packages(libraries)
    found.append(_python())
    found.append(_nuitka())
    found.append(_mypyc())
    found.append(_cython())
    for part in found:
        if not part.texts:
            raise NoLicence(f"{part.name} {part.version} has no licence text")
    return sorted(found, key=lambda part: (part.name.lower(), part.kind))


def _distribution(name: str) -> Part:
    """A package of Python, from what was installed of it."""
    distribution = importlib.metadata.distribution(name)
    fields = distribution.metadata
    (expression,) = fields.get_all("License-Expression") or [""]
    licence = expression or _from_classifiers(fields.get_all("Classifier") or [])
    texts = [
        (Path(str(file)).name, Path(str(file.locate())).read_text("utf-8", "replace"))
        for file in distribution.files or []
        if ".dist-info" in str(file) and LICENCE_FILES.match(file.name)
    ]
    return Part(distribution.name, distribution.version, "pypi", licence, tuple(texts))


def _from_classifiers(classifiers: Iterable[str]) -> str:
    named = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: OSI Approved :: ")]
    return ", ".join(named)


def _packages(libraries: Iterable[str]) -> list[Part]:
    """The Debian packages that the shared libraries are of, and those that are linked in."""
    owners = {_owner(path) for path in libraries}
    # The library of Python and Nuitka's copy of zlib are in the program, libzstd in the head of the single file.
    owners |= {_owner(str(path)) for path in (Path("/usr/include/zstd.h"),) if path.exists()}
    return [_debian(name) for name in sorted(owner for owner in owners if owner)]


def _owner(path: str) -> str:
    """The Debian package of a file; "" where there are no Debian packages."""
    for spelling in (path, os.path.realpath(path), path.removeprefix("/usr")):
        try:
            done = subprocess.run(["dpkg", "-S", spelling], capture_output=True, text=True)
        except FileNotFoundError:
            return ""
        if done.returncode == 0:
            return done.stdout.split(":")[0]
    raise NoLicence(f"{path} is of no Debian package")


def _debian(name: str) -> Part:
    query = ["dpkg-query", "--show", "--showformat=${Version}", name]
    # Several architectures of a package have one version each; they are the same.
    version = subprocess.run(query, check=True, capture_output=True, text=True).stdout
    text = Path(f"/usr/share/doc/{name}/copyright").read_text("utf-8", "replace")
    return Part(name, version, "deb", "", (("copyright", text),))


def _python() -> Part:
    """The interpreter itself, whose licence stands beside its standard library."""
    name = f"python{platform.python_version_tuple()[0]}.{platform.python_version_tuple()[1]}"
    if Path(f"/usr/share/doc/{name}/copyright").exists() and os.path.realpath("/usr/bin/python3").endswith(name):
        return _debian(name)
    text = (Path(os.__file__).parent / "LICENSE.txt").read_text("utf-8")
    return Part("python", platform.python_version(), "generic", "PSF-2.0", (("LICENSE.txt", text),))


def _nuitka() -> Part:
    """What the compiler adds to a program. The exception is what lets the program have any licence."""
    part = _distribution("Nuitka")
    runtime = tuple((name, text) for name, text in part.texts if "RUNTIME" in name) or part.texts
    licence = "AGPL-3.0-or-later with the Nuitka Runtime Library Exception"
    return Part("Nuitka-runtime", part.version, "generic", licence, runtime)


def _mypyc() -> Part:
    """What mypyc adds to the modules that it compiles."""
    part = _distribution("mypy")
    # Not that of the types of other packages, which stay where they are.
    texts = tuple((name, text) for name, text in part.texts if "mypyc" in text)
    return Part("mypyc-runtime", part.version, "generic", part.licence, texts)


def _cython() -> Part:
    """What Cython adds to the modules that it compiles. Its wheel lacks the text of its licence, which Debian has."""
    part = _distribution("Cython")
    licence = "Apache-2.0"
    common = Path("/usr/share/common-licenses", licence)
    texts = part.texts or tuple((path.name, path.read_text("utf-8")) for path in (common,) if path.is_file())
    return Part("Cython-runtime", part.version, "generic", licence, texts)
