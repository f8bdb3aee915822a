"""The table of events: each call of the log at the level info and above is one of them, as the table says."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from ckv import events
from ckv.event import FIELDS, Event
from ckv.events import EVENTS
from tests.support.nodes import ROOT

METHODS: Final = {"info": "info", "warning": "warning", "error": "error", "exception": "error", "critical": "error"}
"""Methods of a logger, and the level at which they log."""

REMINDS: Final = {"tell", "_say"}
"""Methods that log a trouble again while it lasts."""

BESIDES: Final = {"suppressed", "last", "lasts", "lasted"}
"""Fields of any event."""


class Logged(NamedTuple):
    """One place where an event is named in a call."""

    where: str
    method: str
    event: Event | None
    """None if it is none of the table."""
    arguments: int | None
    """None if they cannot be counted."""
    extra: set[str]


def logged() -> Iterator[Logged]:
    """Each call of the source that logs at the level info and above, or has somebody else log an event."""
    for path in sorted((ROOT / "ckv").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                is_log = isinstance(node.func.value, ast.Name) and node.func.value.id in ("log", "logger")
                if (is_log and node.func.attr in METHODS) or any(map(event_of, choices(node.args[0]))):
                    yield from found(path, node, node.func.attr)


def found(path: Path, call: ast.Call, method: str) -> Iterator[Logged]:
    counted = None if any(isinstance(each, ast.Starred) for each in call.args) else len(call.args) - 1
    keys = [keyword.value for keyword in call.keywords if keyword.arg == "extra"]
    extra = {ast.literal_eval(key) for each in keys if isinstance(each, ast.Dict) for key in each.keys if key}
    for choice in choices(call.args[0]):
        yield Logged(f"{path.relative_to(ROOT)}:{call.lineno}", method, event_of(choice), counted, extra)


def choices(node: ast.expr) -> list[ast.expr]:
    return [node.body, node.orelse] if isinstance(node, ast.IfExp) else [node]


def event_of(node: ast.expr) -> Event | None:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "events":
        value = getattr(events, node.attr)
        return value if isinstance(value, Event) else None
    return None


PLACES: Final = list(logged())


def test_all_that_is_logged_is_an_event_of_the_table() -> None:
    assert len(PLACES) > 100
    assert not [place.where for place in PLACES if place.event is None]


def test_every_event_is_logged() -> None:
    made_elsewhere = {events.LINES_SUPPRESSED, events.LINES_LOST}  # by ckv/logs.py, at levels and in ways of its own
    assert not set(EVENTS) - made_elsewhere - {place.event for place in PLACES}


def test_events_are_logged_at_their_level_and_with_their_fields() -> None:
    for where, method, event, arguments, extra in PLACES:
        assert event is not None
        assert METHODS.get(method, event.level) == event.level, where
        assert arguments in (None, len(event.fields)), where
        assert extra <= BESIDES | {"once_a_minute", "told_apart"}, where


def test_what_lasts_is_told_again_and_has_an_end() -> None:
    """But for the database, of which DATABASE_STILL reminds."""
    lasting = {event for event in EVENTS if event.ends is not None}
    assert len(lasting) > 15
    reminded = {place.event for place in PLACES if place.method in REMINDS}
    assert {event for event in lasting - reminded if not event.name.startswith("database-")} == set()
    assert not {event.name for event in reminded - lasting if event is not None}
    assert {event.level for event in lasting} == {"warning", "error"}
    assert {event.ends.level for event in lasting if event.ends is not None} == {"info"}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_a_row_of_the_table(event: Event) -> None:
    assert getattr(events, event.name.upper().replace("-", "_")) is event
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", event.name)
    assert len(set(event.fields)) == len(event.fields)
    assert event.means.endswith(".")
    assert not set("|<") & set(event + event.means)
    values = tuple(7 if kind in "dfg" else "x" for kind in re.findall(r"%[.\d]*([a-z])", event))
    assert len(values) == len(event.fields)
    record = logging.LogRecord("ckv", event.number, __file__, 1, event, values, None)
    assert record.levelname.lower() == event.level
    assert "%" not in record.getMessage()
    assert not set(event.fields) & {*record.__dict__, "message", "time", "level", "logger", "event"}


def test_each_field_is_explained_and_no_other() -> None:
    assert {name for event in EVENTS for name in event.fields} | BESIDES == FIELDS.keys()
    assert list(FIELDS) == sorted(FIELDS)
