"""Logs: lines of text or of JSON on stderr, with UTC time stamps.

What is logged is an event (:mod:`ckv.events`), but for what only the level ``debug`` shows. Both formats have its
name; its fields are in the sentence of the text, and fields of the JSON. What is in ``extra`` is a field as well, which
the text has behind the sentence. So ``log.info(events.PEER_BACK, address, extra={"lasted": 2.5})`` becomes one of

    2026-11-22T18:00:00.123Z INFO peer-back: peer 127.0.0.1:8081 back lasted=2.5
    {"time": "2026-11-22T18:00:00.123Z", "level": "INFO", ..., "event": "peer-back", "peer": "127.0.0.1:8081"}

What somebody else can cause as often as he likes names its kind, ``extra={"once_a_minute": "not msgpack"}``, and is
logged once a minute (:class:`Sparing`), with the number of those left out since as ``suppressed``; at the level
``debug`` all are logged. ``extra={"told_apart": user}`` has those of each user counted by themselves, so that
nobody's many lines hide those of another one.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from ckv import events
from ckv.event import Event
from ckv.stderr import Output

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")

MINUTE: Final = 60.0

MOST_A_MINUTE: Final = 100
"""Lines a minute from one place of the program. No node says as much in good order: a net under what nobody foresaw."""

MAX_KINDS: Final = 1000
"""Kinds of lines that are told apart. There are fewer; one with a number in it would be without end."""

MOST_TOLD_APART: Final = MAX_KINDS // 2
"""Kinds up to which lines of one event are told apart by who causes them. The rest is for other events, which nobody
who comes from many addresses may hide."""

_NOT_EXTRA = frozenset(RESERVED_ATTRS)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Minute:
    """What was logged of one kind since a moment."""

    since: float
    level: int
    lines: int = 0
    suppressed: int = 0
    last: str = ""


class Sparing(logging.Filter):
    """Lets few lines of each kind through in a minute, and counts the others."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, all: bool = False) -> None:
        """``all`` lets every line through."""
        super().__init__()
        self._all = all
        self._clock = clock
        self._minutes: dict[tuple[str, str, str | None], _Minute] = {}
        """By kind: the logger, the text before its arguments are filled in, and what the line calls its kind, or what
        tells it apart."""
        self.suppressed = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it. Its kind is for us and is taken out; the number of those left out goes in."""
        named: str | None = record.__dict__.pop("once_a_minute", None)
        told_apart: str | None = record.__dict__.pop("told_apart", None)
        if self._all:
            return True
        kind = (record.name, str(record.msg), named or told_apart)
        now = self._clock()
        if told_apart is not None and kind not in self._minutes and len(self._minutes) >= MOST_TOLD_APART:
            kind = (record.name, str(record.msg), named)
        if kind not in self._minutes and len(self._minutes) >= MAX_KINDS:
            kind = ("", "", None)
        minute = self._minutes.get(kind)
        if minute is None or now - minute.since >= MINUTE:
            if minute is not None and minute.suppressed:
                record.suppressed = minute.suppressed
            minute = self._minutes[kind] = _Minute(now, record.levelno)
        minute.lines += 1
        if minute.lines <= (MOST_A_MINUTE if named is None else 1):
            return True
        minute.suppressed += 1
        minute.last = record.getMessage()
        self.suppressed += 1
        return False

    def tell(self) -> None:
        """Logs, for each kind whose minute is over, how many lines of it were left out, if no line came to say so."""
        now = self._clock()
        over = [(kind, minute) for kind, minute in self._minutes.items() if now - minute.since >= MINUTE]
        for kind, minute in over:
            del self._minutes[kind]
            if minute.suppressed:
                extra = {"suppressed": minute.suppressed, "last": minute.last}
                log.log(minute.level, events.LINES_SUPPRESSED, extra=extra)


_sparing = Sparing()


def configure(level: str, format: str) -> None:
    """Has the logger ``ckv``, and no other, write to stderr: from a level (of LEVELS) on, in a format (of FORMATS)."""
    global _sparing
    handler = logging.StreamHandler()
    formatter: logging.Formatter = _TextLines("%(asctime)s")  # for which the time is made
    if format == "json":
        names = {"asctime": "time", "levelname": "level", "name": "logger"}
        formatter = _JsonLines([*names, "message"], rename_fields=names)
    formatter.converter = time.gmtime
    formatter.default_time_format, formatter.default_msec_format = "%Y-%m-%dT%H:%M:%S", "%s.%03dZ"
    handler.setFormatter(formatter)
    suppressed = _sparing.suppressed
    _sparing = Sparing(all=level == "debug")
    _sparing.suppressed = suppressed
    handler.addFilter(_sparing)
    logger = logging.getLogger("ckv")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(level.upper())
    if isinstance(sys.stderr, Output):

        def notice(lines: int) -> str:
            record = log.makeRecord(log.name, logging.WARNING, __file__, 0, events.LINES_LOST, (lines,), None)
            return formatter.format(record) + handler.terminator

        sys.stderr.notice = notice


def tick() -> None:
    """To be called about once a second: what waits is written, and what was left out is told."""
    _sparing.tell()
    sys.stderr.flush()


def figures() -> dict[str, int]:
    """What INFO says of the log; ckv/node/figures.py says what each figure counts."""
    dropped = sys.stderr.dropped if isinstance(sys.stderr, Output) else 0
    return {"log_lines_suppressed": _sparing.suppressed, "log_lines_dropped": dropped}


class _TextLines(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        extra = (f" {name}={_one_word(value)}" for name, value in record.__dict__.items() if name not in _NOT_EXTRA)
        name = record.msg.name if isinstance(record.msg, Event) else record.name
        return f"{record.asctime} {record.levelname} {name}: {record.message}" + "".join(extra)


class _JsonLines(JsonFormatter):
    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        super().add_fields(log_data, record, message_dict)
        if isinstance(record.msg, Event):
            log_data["event"] = record.msg.name
            assert isinstance(record.args, tuple)
            values = (value if isinstance(value, (int, float)) else str(value) for value in record.args)
            log_data.update(zip(record.msg.fields, values, strict=True))


def _one_word(value: object) -> str:
    """The value as one word of a line: what has spaces, quotes or line ends in it stands in quotes."""
    text = str(value)
    plain = text and text.isprintable() and not any(character in text for character in " \"'=")
    return text if plain else json.dumps(text, ensure_ascii=False)
