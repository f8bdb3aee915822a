"""The picture: an SVG that plays once, and stays as the last frame. Every line of the terminal is a line of text.

It has no script and asks no host, so it plays where a page has it as an ``<img>``. Who wants no motion sees the last
frame at once (``prefers-reduced-motion``), and so does whoever knows no animations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from tests.recording.scene import Step
from tests.support.nodes import ROOT

PICTURE: Final = ROOT / "docs" / "recording.svg"

TITLE: Final = "ckv goes on while its database is killed, and differs from it in nothing afterwards"

PROMPT: Final = "$ "

COLUMNS: Final = 94
"""Where longer lines are broken, as a terminal does it."""

KEY: Final = 0.02
"""Seconds for a character that is typed."""
LONGEST: Final = 0.8
"""Seconds that an answer takes at most: nobody likes to watch a server start."""
PAUSE, PAUSE_OF_LINE = 0.3, 0.6
"""Seconds until the next command is typed, and for each line that is to be read before."""

COLUMN, ROW, SIZE, EDGE = 8.4, 21, 14, 16
"""Pixels: the width of a character, the height of a line, the size of the font, and what is free around the text."""

STYLE: Final = f"""\
svg {{ color-scheme: light dark; }}
rect {{ fill: #f6f8fa; stroke: #d0d7de; }}
text {{ font: {SIZE}px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #424a53;
  animation: shown 1ms var(--at) both; }}
.command {{ fill: #0a0c10; font-weight: 600;
  animation: typed calc(var(--keys) * {KEY}s) steps(var(--keys)) var(--at) both; }}
.prompt {{ fill: #116329; }}
.comment {{ fill: #59636e; font-weight: 400; }}
@media (prefers-color-scheme: dark) {{
  rect {{ fill: #0d1117; stroke: #3d444d; }}
  text {{ fill: #c9d1d9; }}
  .command {{ fill: #ffffff; }}
  .prompt {{ fill: #56d364; }}
  .comment {{ fill: #9198a1; }}
}}
@keyframes shown {{ from {{ opacity: 0; }} }}
@keyframes typed {{ from {{ clip-path: inset(0 100% 0 0); }} to {{ clip-path: inset(0); }} }}
@media (prefers-reduced-motion: reduce) {{ text, .command {{ animation: none; }} }}"""


@dataclass(frozen=True)
class Line:
    """A line of the terminal, and when it comes: seconds after the begin, in hundredths."""

    at: float
    text: str

    @property
    def is_command(self) -> bool:
        return self.text.startswith(PROMPT)


def arranged(steps: Iterable[Step]) -> list[Line]:
    """The lines of the terminal: commands as fast as one types, and answers when they came, or somewhat earlier."""
    lines, now = [], PAUSE
    for step in steps:
        lines.append(Line(round(now, 2), PROMPT + step.command))
        now += KEY * len(step.command) + min(step.seconds, LONGEST)
        rows = [text[at : at + COLUMNS] for text in step.output for at in range(0, len(text), COLUMNS)]
        lines += [Line(round(now, 2), row) for row in rows]
        now += PAUSE + PAUSE_OF_LINE * len(rows)
    return lines


def draw(lines: Sequence[Line]) -> str:
    """The SVG."""
    width = round(2 * EDGE + COLUMN * max(len(line.text) for line in lines))
    height = 2 * EDGE + ROW * len(lines)
    shown = "\n".join(_text(line, EDGE + ROW * number + SIZE) for number, line in enumerate(lines))
    return f"""\
<!-- Made by `make recording`; do not edit. -->
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="title">
<title id="title">{TITLE}</title>
<style>
{STYLE}
</style>
<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>
{shown}
</svg>
"""


def read(svg: str) -> list[Line]:
    """The lines of a picture that :func:`draw` has made."""
    lines = []
    for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        (at,) = re.findall(r"--at:([\d.]+)s", element.attrib["style"])
        lines.append(Line(float(at), "".join(element.itertext())))
    return lines


def _text(line: Line, y: int) -> str:
    # The length makes columns of the characters, whatever font there is.
    length = f"{COLUMN * len(line.text):.1f}"
    begin = f'<text x="{EDGE}" y="{y}" textLength="{length}" xml:space="preserve"'
    if line.is_command:
        command, mark, comment = line.text.removeprefix(PROMPT).partition("  #")
        spans = f'<tspan class="prompt">{PROMPT}</tspan>{escape(command)}'
        if mark:
            spans += f'<tspan class="comment">{escape(mark + comment)}</tspan>'
        return f'{begin} class="command" style="--at:{line.at:.2f}s;--keys:{len(line.text)}">{spans}</text>'
    return f'{begin} style="--at:{line.at:.2f}s">{escape(line.text)}</text>'
