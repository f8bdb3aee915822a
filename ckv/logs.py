"""Logs: lines of text or of JSON on stderr, with UTC time stamps.

A module logs through ``log = logging.getLogger(__name__)``. What a program may want to read goes into ``extra``, and
only there: the text format appends it as ``key=value``, the JSON format makes fields of it. So
``log.info("secondary ready on %s", address, extra={"capacity": 5})`` becomes one of

    2026-11-22T18:00:00.123Z INFO ckv.roles.secondary: secondary ready on 127.0.0.1:8081 capacity=5
    {"time": "2026-11-22T18:00:00.123Z", "level": "INFO", "logger": "ckv.roles.secondary", ...}
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")

_NOT_EXTRA = frozenset(RESERVED_ATTRS)


def configure(level: str, format: str) -> None:
    """Send what the package logs to stderr: from this level (one of LEVELS) on, in this format (one of FORMATS).

    Only the logger ``ckv`` is touched, so a program that uses the client keeps its own logging.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines() if format == "json" else _TextLines())
    logger = logging.getLogger("ckv")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(level.upper())


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(record.msecs):03d}Z"


class _TextLines(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return _time(record)

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        for name, value in record.__dict__.items():
            if name not in _NOT_EXTRA:
                line += f" {name}={_one_word(value)}"
        return line


class _JsonLines(JsonFormatter):
    def __init__(self) -> None:
        super().__init__(
            ["asctime", "levelname", "name", "message"],
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        )

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return _time(record)


def _one_word(value: object) -> str:
    """The value as one word of a line: what has spaces, quotes or line ends in it stands in quotes."""
    text = str(value)
    plain = text and text.isprintable() and not any(character in text for character in " \"'=")
    return text if plain else json.dumps(text, ensure_ascii=False)
