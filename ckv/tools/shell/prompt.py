"""The prompt: completion, hints, colours, and what is pasted; on prompt_toolkit."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TextIO

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout.processors import AfterInput

from ckv.tools.shell.commands import HELP, NAMES
from ckv.tools.shell.history import history
from ckv.tools.shell.words import BadLine, split
from ckv.values import to_bytes, to_text

_HINTED: Final = 1000
"""Characters of a line up to which it gets hints: they are made anew at each key."""


def hint(line: str) -> str:
    """What is still to be typed, shown behind the cursor: the names of the arguments.

    >>> hint("put "), hint("PUT"), hint("PUT bob "), hint("PUT bob b"), hint("nonsense ")
    ('key value', ' key value', 'value', '', '')
    """
    if len(line) > _HINTED:
        return ""
    try:
        words = split(line)
    except BadLine:
        return ""
    name = to_text(to_bytes(words[0])).upper() if words else ""
    rest = " ".join(NAMES[name][0].split(" ")[len(words) :]) if name in NAMES else ""
    if not rest or line[-1].isspace():
        return rest
    # In the middle of a word only the command itself says what follows.
    return " " + rest if len(words) == 1 else ""


class CommandCompleter(Completer):
    """The names of the commands: as the first word, and behind HELP. A key or a value is nothing to complete."""

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """What the word before the cursor can become; with a space behind it where something has to follow."""
        before = document.text_before_cursor.lstrip()
        first, space, rest = before.partition(" ")
        helped = bool(space) and first.upper() in (HELP, "?")
        word = rest.lstrip() if helped else before
        if any(character.isspace() for character in word):
            return
        for name, (usage, text) in NAMES.items():
            if name.startswith(word.upper()):
                end = "" if helped or usage == name else " "
                yield Completion(name + end, -len(word), display=name, display_meta=text)


class Prompt:
    """Lines, typed or pasted, one at a time."""

    def __init__(self, message: str, kept: Path | None, out: TextIO) -> None:
        """``kept`` is the file of the history, ``None`` for one in memory."""
        self._message = message
        self._out = out
        self._pasted: deque[str] = deque()
        # https://no-color.org
        self._coloured = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._session: PromptSession[str] = PromptSession(
            history=history(kept) if kept is not None else None,
            completer=CommandCompleter(),
            key_bindings=self._bindings(),
            # Without colours a hint could not be told from what was typed.
            input_processors=[AfterInput(self._hint, "ansibrightblack")] if self._coloured else [],
        )

    def forget_pasted(self) -> int:
        """Drops what was pasted and not run yet; how many whole lines that was."""
        lines = max(0, len(self._pasted) - 1)
        self._pasted.clear()
        return lines

    def line(self) -> str:
        """The next line. Raises EOFError for Ctrl-D and KeyboardInterrupt for Ctrl-C."""
        text = self._pasted.popleft() if self._pasted else ""
        if not self._pasted:
            # The last piece of what was pasted has no line end: it can be edited, and waits for Enter.
            return self._session.prompt(self._message, default=text)
        # Not through prompt_toolkit: keys that are typed meanwhile are meant for the line after these.
        shown = "".join(character if character.isprintable() else " " for character in text)
        print(f"{self._message}{shown}", file=self._out)
        if text.strip():
            self._session.history.append_string(text)
        return text

    def error(self, text: str) -> str:
        """An error as it is shown: red, where there are colours."""
        return f"\x1b[31merror: {text}\x1b[0m" if self._coloured else f"error: {text}"

    def columns(self) -> int:
        """How wide the terminal is now."""
        return self._session.output.get_size().columns

    def _hint(self) -> str:
        document = self._session.default_buffer.document
        return hint(document.text) if document.is_cursor_at_the_end else ""

    def _bindings(self) -> KeyBindings:
        bindings = KeyBindings()

        @bindings.add(Keys.BracketedPaste)
        def _(event: KeyPressEvent) -> None:
            # As if it had been typed: each line end runs a line.
            first, *others = event.data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
            buffer = event.current_buffer
            if not others:
                buffer.insert_text(first)
                return
            after = buffer.document.text_after_cursor
            buffer.delete(len(after))
            buffer.insert_text(first)
            self._pasted.extend([*others[:-1], others[-1] + after])
            buffer.validate_and_handle()

        @bindings.add("tab")
        def _(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            assert buffer.completer is not None
            found = list(buffer.completer.get_completions(buffer.document, CompleteEvent(completion_requested=True)))
            if len(found) == 1:  # at once, so that what is typed next stands behind it
                buffer.cancel_completion()
                buffer.apply_completion(found[0])
            elif buffer.complete_state:
                buffer.complete_next()
            else:
                buffer.start_completion(select_first=True)

        return bindings
