"""Logs: one line per event, as text or as JSON, with UTC time stamps."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator

import pytest

from ckv import events, logs
from ckv.address import Address
from ckv.event import Event
from ckv.outage import MOST_REASONS, QUIET, REMIND_AFTER, Outage

LOG = logging.getLogger("ckv.node.secondary")
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
    assert line(capsys) == ("2026-11-22T18:00:00.123Z INFO ckv.node.secondary: secondary ready on 127.0.0.1:8081\n")


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
        "logger": "ckv.node.secondary",
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
    assert re.fullmatch(r"\S+Z INFO ckv.node.secondary: once\n", line(capsys))


def test_other_loggers_are_left_alone() -> None:
    before = list(logging.getLogger().handlers)
    logs.configure("debug", "text")
    assert logging.getLogger().handlers == before
    assert logging.getLogger("ckv").propagate is False


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, object]]]:
    """The events that were logged, and what they have besides their fields."""
    return [
        (record.msg.name, {name: record.__dict__[name] for name in ("lasts", "lasted") if name in record.__dict__})
        for record in caplog.records
        if isinstance(record.msg, Event)
    ]


def test_an_event_has_its_name_in_both_formats_and_its_fields_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    peer = Address("::1", 8081)
    for shape in logs.FORMATS:
        logs.configure("info", shape)
        LOG.info(events.LOGIN, "bob", "admin", peer, extra={"lasts": 2.5})
        LOG.warning(events.DRAIN_UNFINISHED, 1.25, 7)
    *texts, login, drain = line(capsys).splitlines()
    assert [text.partition("Z ")[2] for text in texts] == [
        "INFO login: login of bob (admin) from [::1]:8081 lasts=2.5",
        "WARNING drain-unfinished: drain not finished after 1.2 s: 7 records left unsaved",
    ]
    fields = json.loads(login)
    assert (fields["event"], fields["message"]) == ("login", "login of bob (admin) from [::1]:8081")
    assert (fields["user"], fields["account"], fields["peer"]) == ("bob", "admin", "[::1]:8081")
    assert fields["lasts"] == 2.5
    assert (json.loads(drain)["seconds"], json.loads(drain)["records"]) == (1.25, 7)


# --- what lasts ------------------------------------------------------------------------------------------------------


def test_what_lasts_has_a_begin_reminders_and_an_end(caplog: pytest.LogCaptureFixture) -> None:
    now = [100.0]
    outage = Outage(LOG, lambda: now[0])
    assert (outage.lasts, outage.over()) == (False, {})
    for seconds, reason in ((0, "a"), (0, "a"), (1, "b"), (1, "a"), (60.9, "a"), (61, "a"), (120, "b"), (121, "b")):
        now[0] = 100.0 + seconds
        outage.tell(events.PEER_LOST, "node", reason)
    assert outage.lasts
    assert told(caplog) == [("peer-lost", extra) for extra in ({}, {"lasts": 1}, {"lasts": 61}, {"lasts": 121})]
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert (outage.over(), outage.over(), outage.lasts) == ({"lasted": 21 + 100}, {}, False)
    for reason in ("a", "b"):
        outage.tell(events.PEER_LOST, "node", reason)
    assert told(caplog)[4:] == [("peer-lost", {}), ("peer-lost", {"lasts": 0})], "it is another one"


def test_reasons_without_end_are_no_lines_without_end(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    outage = Outage(LOG, lambda: now[0])
    for number in range(100):
        outage.tell(events.PEER_LOST, "node", number)
    assert len(told(caplog)) == MOST_REASONS
    now[0] = REMIND_AFTER
    for number in range(100, 200):
        outage.tell(events.PEER_LOST, "node", number)
    assert told(caplog)[MOST_REASONS:] == [("peer-lost", {"lasts": REMIND_AFTER})]


def test_what_nobody_tells_of_any_more_is_quiet_after_a_while() -> None:
    now = [0.0]
    outage = Outage(LOG, lambda: now[0])
    seen = [outage.is_quiet]
    outage.tell(events.CANNOT_ACCEPT, "none left")
    for now[0] in (QUIET, QUIET + 0.1):
        seen.append(outage.is_quiet)
    outage.tell(events.CANNOT_ACCEPT, "none left")
    seen.append(outage.is_quiet)
    assert seen == [False, False, True, False]


# --- few lines of a kind ---------------------------------------------------------------------------------------------


class Minutes:
    """A logger with a :class:`~ckv.logs.Sparing` before it, and its clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sparing = logs.Sparing(lambda: self.now)

    def log(self, message: str, kind: str | None = None) -> logging.LogRecord | None:
        """The record as it is shown, or ``None`` if it is left out."""
        made = record(message, **({"once_a_minute": kind} if kind is not None else {}))
        return made if self.sparing.filter(made) else None


def test_what_names_its_kind_is_logged_once_a_minute_and_the_others_are_counted() -> None:
    minutes = Minutes()
    first = minutes.log("closed: a", "bad bytes")
    assert first is not None
    assert "once_a_minute" not in first.__dict__
    assert minutes.log("closed: a", "another kind") is not None
    for _ in range(558):
        minutes.now += 0.1
        assert minutes.log("closed: a", "bad bytes") is None
    minutes.now += 60
    again = minutes.log("closed: a", "bad bytes")
    assert again is not None
    assert again.suppressed == minutes.sparing.suppressed == 558  # type: ignore[attr-defined]
    assert minutes.log("closed: a", "bad bytes") is None


def test_what_was_left_out_is_told_when_no_other_line_comes(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "text")
    minutes = Minutes()
    for number in range(5):
        minutes.log(f"closed: {number}", "bad bytes")
        minutes.log("closed", "bad bytes")
    minutes.sparing.tell()
    assert line(capsys) == ""
    minutes.now += 60
    minutes.sparing.tell()
    minutes.sparing.tell()
    assert line(capsys).endswith(
        " INFO lines-suppressed: more lines of one kind came within a minute suppressed=4 last=closed\n"
    )


def test_no_place_of_the_program_floods_the_log() -> None:
    minutes = Minutes()
    shown = [minutes.log("database lost") for _ in range(1000)]
    assert len([each for each in shown if each]) == logs.MOST_A_MINUTE
    assert minutes.log("database back") is not None


def test_many_lines_of_one_do_not_hide_those_of_another() -> None:
    sparing = logs.Sparing(lambda: 1000.0)
    made = [record("login", told_apart=who) for who in ["guesser"] * 1000 + ["boss"]]
    shown = [each for each in made if sparing.filter(each)]
    assert len(shown) == logs.MOST_A_MINUTE + 1
    assert shown[-1] is made[-1]
    assert "told_apart" not in shown[0].__dict__


def test_who_comes_from_many_addresses_hides_no_other_event() -> None:
    sparing = logs.Sparing(lambda: 1000.0)
    guesses = [record("login refused", told_apart=f"{number}") for number in range(3 * logs.MAX_KINDS)]
    shown = [each for each in guesses if sparing.filter(each)]
    assert len(shown) == logs.MOST_TOLD_APART + logs.MOST_A_MINUTE
    assert sparing.filter(record("database lost"))


def test_kinds_without_end_do_not_take_memory_without_end() -> None:
    minutes = Minutes()
    shown = [minutes.log("closed", f"{number}") for number in range(3 * logs.MAX_KINDS)]
    assert len([each for each in shown if each]) <= logs.MAX_KINDS + 1


def test_debug_leaves_nothing_out(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", "text")
    for _ in range(3):
        LOG.info("closed", extra={"once_a_minute": "x"})
    assert len(line(capsys).splitlines()) == 3
    logs.configure("info", "text")
    for _ in range(3):
        LOG.info("closed", extra={"once_a_minute": "x"})
    assert len(line(capsys).splitlines()) == 1
