"""What an event of the log is: a name that stays as it is, and the fields that a line of it has.

An event is the text that :mod:`logging` is given, so that nothing else is new: ``log.warning(PEER_LOST, peer, why)``.
:mod:`ckv.events` has them all, and :mod:`ckv.logs` shows name and fields. The idea is that of the "message templates"
of structured logs (https://messagetemplates.org).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Final, Literal

Level = Literal["info", "warning", "error"]

FIELDS: Final[Mapping[str, str]] = {
    "account": "class of a user: read, write, admin or node",
    "address": "host:port on which it listens, or path of a socket",
    "allowed": "a number that is allowed",
    "bytes": "bytes",
    "characters": "characters of a key",
    "clients": "clients that are served at a time",
    "command": "name of a command",
    "connections": "connections of clients",
    "coordinator": "address of what several primaries share, without its password",
    "core": "compiled or python: what answers the requests that memory alone decides",
    "database": "address of the persistent node, without its password",
    "dropped": "lines of the log",
    "files": "open files",
    "incarnation": "how often a process has taken the name of the node",
    "kept": "open files for the database, other nodes and operators",
    "last": "the last line that was left out",
    "lasted": "seconds for which it was there; at the end of what lasts",
    "lasts": "seconds since it began; in each line after the first about what lasts",
    "map": "version of a map of slots",
    "method": "what one node asks another",
    "mode": "permissions of a file, in octal",
    "needed": "bytes that a row of the longest value takes",
    "node": "name or address of a node",
    "packet": "bytes of max_allowed_packet",
    "parked": "rows that the database refuses, of those that are counted",
    "path": "a file, or a page",
    "peer": "host:port at the other end of a connection",
    "primary": "host:port of a primary",
    "reason": "why, in words; where somebody else says why, in theirs",
    "records": "records, or deletions of such",
    "refused": "calls or rows that were refused",
    "role": "primary or secondary",
    "rows": "rows of the database",
    "seconds": "seconds",
    "settings": "names of settings, with their values",
    "signal": "name of a signal",
    "slots": "slots, of which there are 16384",
    "state": "state of the database, as database_state of INFO",
    "state_seconds": "seconds for which it was in that state",
    "suppressed": "lines that were left out since the one before; of any event",
    "table": "name of a table",
    "term": "how often a primary was elected",
    "user": "name of a user",
    "users": "users",
    "waited": "calls that waited in vain",
    "what": "what it is about",
}
"""What each field is, and its unit."""

_FIELD: Final = re.compile(r"%\((\w+)\)")


class Event(str):
    """Something that the log tells, and what to do about it."""

    name: str
    """In words with dashes between them."""

    level: Level

    fields: tuple[str, ...]
    """The names of the arguments with which it is logged, in their order; :data:`FIELDS` has their units."""

    means: str
    """What has happened, what is at risk, and what to do, as far as the text does not say it."""

    ends: Event | None
    """For what lasts: the event at its end."""

    def __new__(cls, name: str, level: Level, text: str, means: str, ends: Event | None = None) -> Event:
        """``text``: as ``%(peer)s lost``, with the names of fields."""
        made = super().__new__(cls, _FIELD.sub("%", text))
        made.name, made.level, made.means, made.ends = name, level, means, ends
        made.fields = tuple(_FIELD.findall(text))
        return made

    @property
    def number(self) -> int:
        """Its level, as :mod:`logging` has it."""
        return logging.getLevelNamesMapping()[self.level.upper()]
