"""The status page as a text: what a browser is told to load and to carry out, and what people can read of it."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ckv.node import page
from tests.support.nodes import ROOT

FOLDER = ROOT / "ckv" / "node" / "page"
STYLE = (FOLDER / page.STYLE).read_text()
SCRIPT = "\n".join((FOLDER / name).read_text() for name in page.SCRIPTS)

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Parsed(HTMLParser):
    """The elements of a document, by what they are told apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, str] = {}
        """What stands in the ``script`` and the ``style``."""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{tag} is closed where it is not open"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            self.texts[self.open[-1]] = self.texts.get(self.open[-1], "") + data

    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]


PARSED = Parsed(page.document().text)


def test_the_document_is_whole() -> None:
    assert not PARSED.open
    assert page.document().text.startswith("<!doctype html>")
    assert PARSED.elements[0] == ("html", {"lang": "en"})
    assert {path.name for path in FOLDER.iterdir() if path.is_file()} == {
        *("__init__.py", page.FRAME, page.STYLE),
        *page.SCRIPTS,
    }


def test_the_policy_allows_these_texts_and_no_others() -> None:
    policy = dict(part.split(" ", 1) for part in page.document().policy.split("; "))
    for directive, tag in (("style-src", "style"), ("script-src", "script")):
        digest = base64.b64encode(hashlib.sha256(PARSED.texts[tag].encode()).digest()).decode()
        assert policy[directive] == f"'sha256-{digest}'"
    assert policy["default-src"] == "'none'"
    assert "unsafe" not in page.document().policy
    # Neither would be carried out by this policy.
    for _, attributes in PARSED.elements:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]


def test_nothing_is_of_another_host() -> None:
    text = page.document().text.replace("http://www.w3.org/2000/svg", "")  # a name, that nobody asks
    assert "//" not in re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
    for _, attributes in PARSED.elements:
        assert not {"src", "data", "action"} & attributes.keys()
        assert attributes.get("href", "/").startswith("/")


def test_what_is_shown_is_text_and_never_markup() -> None:
    words = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval", "Function(", "DOMParser")
    assert not [word for word in words if word in SCRIPT]


def test_script_and_document_name_the_same_elements() -> None:
    ids = PARSED.ids()
    assert len(ids) == len(set(ids))
    asked = set(re.findall(r'byId\("([\w-]+)"\)', SCRIPT))
    charts = set(re.findall(r'chart\("(\w+)"', SCRIPT))
    assert asked | charts | {f"{name}-chart" for name in charts} <= set(ids)


def test_everything_has_a_name_for_who_cannot_see_it() -> None:
    ids, tags = PARSED.ids(), [tag for tag, _ in PARSED.elements]
    assert {"header", "main", "footer", "h1"} <= set(tags)
    for tag, attributes in PARSED.elements:
        if tag == "section" or attributes.get("role") == "region":
            assert attributes["aria-labelledby"] in ids
        if tag == "th":
            assert attributes["scope"] == "col"
    assert tags.count("caption") == tags.count("table")
    # What is wider than a phone can be moved by the keyboard too.
    assert all(
        attributes["tabindex"] == "0" for _, attributes in PARSED.elements if attributes.get("class") == "scroll"
    )
    assert [attributes["id"] for _, attributes in PARSED.elements if attributes.get("aria-live")] == ["announcement"]


def colours(text: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", text))


LIGHT, DARK = STYLE.split("@media (prefers-color-scheme: dark)")
SCHEMES = {"light": colours(LIGHT), "dark": colours(DARK.split("\n}\n")[0])}


def luminance(colour: str) -> float:
    """https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio"""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_contrast(scheme: str) -> None:
    found = SCHEMES[scheme]
    assert found.keys() == SCHEMES["light"].keys()
    texts = [(ink, ground) for ink in ("ink", "quiet", "accent") for ground in ("ground", "card")]
    texts += [(level, f"{level}-ground") for level in ("critical", "warning", "well")]
    for ink, ground in texts:
        assert contrast(found[ink], found[ground]) >= 4.5, (ink, ground)
    shapes = ["line", *(name for name in found if name.startswith("owner"))]
    for shape in shapes:
        assert contrast(found[shape], found["ground"]) >= 3, shape
        assert contrast(found[shape], found["card"]) >= 3, shape


def test_the_native_program_has_it_without_files(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "ckv", tmp_path / "ckv", ignore=shutil.ignore_patterns("__pycache__"))
    bake = "import sys; from pathlib import Path; from baked import bake; bake(Path(sys.argv[1]), 'abc')"
    subprocess.run([sys.executable, "-c", bake, str(tmp_path / "ckv")], cwd=ROOT / "build", check=True)
    for file in (tmp_path / "ckv" / "node" / "page").iterdir():
        if file.suffix != ".py":
            file.unlink()
    tell = "from ckv.node.page import document; from ckv.tools.about import BAKED_COMMIT as c; print(c, *document())"
    told = subprocess.run([sys.executable, "-c", tell], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert told == " ".join(["abc", *page.document()]) + "\n"
