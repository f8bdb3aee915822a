"""Logs: one line per event, as text or as JSON, with UTC time stamps."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator

import pytest

from ckv import logs

LOG = logging.getLogger("ckv.roles.secondary")
MOMENT = 1_795_370_400.1239


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    logger = logging.getLogger("ckv")
    before = logger.handlers, logger.propagate, logger.level
    yield
    logger.handlers, logger.propagate, logger.level = before
    monkeypatch.undo()
    time.tzset()


def line(capsys: pytest.CaptureFixture[str]) -> str:
    shown = capsys.readouterr()
    assert shown.out == ""
    return shown.err


def record(message: str, **extra: object) -> logging.LogRecord:
    made = LOG.makeRecord(LOG.name, logging.INFO, __file__, 1, message, (), None, extra=extra)
    made.created, made.msecs = MOMENT, 123.9
    return made


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "text")
    LOG.handle(record("secondary ready on 127.0.0.1:8081"))
    assert line(capsys) == ("2026-11-22T18:00:00.123Z INFO ckv.roles.secondary: secondary ready on 127.0.0.1:8081\n")


def test_extra_fields_in_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "text")
    LOG.handle(record("drain done", records=5, tier="a b", empty="", line="a\nb"))
    assert line(capsys).endswith(': drain done records=5 tier="a b" empty="" line="a\\nb"\n')


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    LOG.handle(record("drain done", records=5))
    LOG.handle(record("line\nend"))
    first, second = line(capsys).splitlines()
    assert json.loads(first) == {
        "time": "2026-11-22T18:00:00.123Z",
        "level": "INFO",
        "logger": "ckv.roles.secondary",
        "message": "drain done",
        "records": 5,
    }
    assert json.loads(second)["message"] == "line\nend"


def test_a_traceback_in_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        LOG.exception("oops")
    (only,) = line(capsys).splitlines()
    assert "ZeroDivisionError" in json.loads(only)["exc_info"]


@pytest.mark.parametrize(("level", "shown"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_levels(level: str, shown: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert level in logs.LEVELS
    logs.configure(level, "text")
    LOG.debug("a")
    LOG.info("b")
    LOG.warning("c")
    LOG.error("d")
    assert len(line(capsys).splitlines()) == shown


def test_twice_is_not_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    logs.configure("info", "text")
    LOG.info("once")
    assert re.fullmatch(r"\S+Z INFO ckv.roles.secondary: once\n", line(capsys))


def test_other_loggers_are_left_alone() -> None:
    before = list(logging.getLogger().handlers)
    logs.configure("debug", "text")
    assert logging.getLogger().handlers == before
    assert logging.getLogger("ckv").propagate is False
