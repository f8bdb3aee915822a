"""The status page of a node: one HTML document, which asks the node for what it shows.

The parts lie beside this file as what they are, HTML, CSS and JavaScript, and are put together when somebody asks
first. A browser carries out nothing but these: see `Content Security Policy <https://www.w3.org/TR/CSP3/>`_.
"""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

FRAME: Final = "page.html"
STYLE: Final = "page.css"

SCRIPTS: Final = ("words.js", "drawing.js", "cluster.js", "tiers.js", "charts.js", "page.js")
"""In the order in which they need each other. Together they are one script."""


BAKED: Final[dict[str, str]] = {}
"""The parts of a compiled program, by their names: ``build/baked.py`` writes them here, in the copy of the source."""


class Document(NamedTuple):
    """What a browser gets."""

    text: str
    policy: str
    """Its Content-Security-Policy: no host but the node is asked, and no script or style of anybody else counts."""


@cache
def document() -> Document:
    """The page. It is the same for every node."""
    style = _part(STYLE)
    script = '"use strict";\n' + "\n".join(map(_part, SCRIPTS))
    text = _part(FRAME)
    text = text.replace("/* style */", style).replace("/* script */", script)
    allowed = {
        "default-src": "'none'",
        "style-src": _hash(style),
        "script-src": _hash(script),
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return Document(text, "; ".join(f"{name} {value}" for name, value in allowed.items()))


def _part(name: str) -> str:
    return BAKED.get(name) or Path(__file__).with_name(name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
