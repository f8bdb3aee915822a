"""The picture in the README shows what happens when its commands are typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.recording.picture import PICTURE, Line, arranged, draw, read
from tests.recording.scene import COMMANDS, play
from tests.support.browser import PROGRAM, TIMEOUT, Browser
from tests.support.eventually import eventually
from tests.support.products import Template

SVG = PICTURE.read_text()


def settled(line: str) -> str:
    """The line without how many records memory has kept, which may be some less than it has room for."""
    return re.sub(r"(?<=checked )\d+|\d+(?= clean)", "N", line)


def test_its_commands_are_those_of_the_scene() -> None:
    assert [line.text for line in read(SVG) if line.is_command] == [f"$ {command}" for command in COMMANDS]


def test_what_it_shows_happens_again(mariadb_template: Template) -> None:
    happened = arranged(play(mariadb_template))
    assert [settled(line.text) for line in happened] == [settled(line.text) for line in read(SVG)]


def test_it_says_what_the_page_says_of_it() -> None:
    *_, summary = read(SVG)
    assert summary.text.endswith("; 0 differing")
    after_the_kill = [line.text for line in read(SVG) if line.text in ('"user10000@example.com"', "OK")]
    assert after_the_kill == ['"user10000@example.com"', "OK"]


def test_it_is_drawn_from_what_it_shows() -> None:
    assert draw(read(SVG)) == SVG


def test_characters_of_xml_are_escaped() -> None:
    lines = [Line(0.0, "$ a <b & c  # <d>"), Line(1.25, "<e> & f  g")]
    assert read(draw(lines)) == lines


def test_it_is_small_and_asks_nobody() -> None:
    assert len(SVG.encode()) < 60_000
    assert "<script" not in SVG
    assert re.findall(r"https?://[^\"\s]+", SVG) == ["http://www.w3.org/2000/svg"]
    assert "url(" not in SVG


@pytest.mark.skipif(not PROGRAM, reason="there is no Chromium")
@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_who_wants_no_motion_sees_the_last_frame(motion: str, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        media = [{"name": "prefers-reduced-motion", "value": motion}]
        browser.call("Emulation.setEmulatedMedia", features=media)
        browser.call("Page.navigate", url=PICTURE.as_uri())
        drawn = "document.readyState == 'complete' && document.getElementsByTagName('text').length"
        eventually(lambda: browser.value(drawn) == len(read(SVG)), TIMEOUT, "the picture")
        playing = browser.value("document.getAnimations().length")
        assert playing == (0 if motion == "reduce" else len(read(SVG)))
