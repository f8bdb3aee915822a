"""What is wrong with a node, by its figures: for each trouble one sentence, and the section of the runbook about it.

What is said, and how bad it is, goes with the alerts of ``deploy/monitoring/alerts.yaml``. These look at a node from
outside and over time; this is for whoever looks at it now: on the status page, in ``ckv top`` and ``ckv status``. The
figures may be those of a node of another version: what they lack is taken to be well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple

from ckv.node.figures import Info

Level = Literal["critical", "warning"]
"""``critical``: calls fail now, or records could be lost by the next failure."""

OLD_SECONDS: Final = 60.0
"""How old an unsaved row may get."""

FULL: Final = 0.8
"""How much of the room for unsaved rows may be taken."""

NO_ROOM: Final = 0.99
"""Of how much on there is hardly room for another row: they leave in batches, and come one by one."""

SKEW_SECONDS: Final = 1.0
"""How far the clock of the database may be off."""

STUCK_SECONDS: Final = 5.0
"""For how long a move of slots may stand still."""

NEW_SECONDS: Final = 60.0
"""How long a node may run before it owns anything: longer than --settle is by default."""

LATELY: Final = ("refused_for_room", "rejected_connections")
"""Counters that tell of trouble while they grow."""

NONE: Final = "-"
"""What a text of the figures is that says nothing."""

_TOLD: Final = ("the database is ", "none of ")
"""How the words of :mod:`ckv.node.readiness` begin for what has a sentence of its own here."""


class Problem(NamedTuple):
    """One thing that is wrong."""

    level: Level
    sentence: str
    section: str
    """The heading in docs/runbook.md; empty where nothing is to be done."""


def problems(info: Info, lately: Mapping[str, float]) -> list[Problem]:
    """What is wrong, the worst first. ``lately``: by how much each of :data:`LATELY` grew in the last minutes, as far
    as that is known."""
    found = [
        *_of_database(info),
        *_of_node(info),
        *_of_cluster(info),
        *_of_pending(info, lately),
        *_of_others(info, lately),
    ]
    return sorted(found, key=lambda problem: problem.level != "critical")


def _of_database(info: Info) -> Iterator[Problem]:
    state, reason = _text(info, "database_state"), _text(info, "database_reason")
    since = spoken(_number(info, "database_state_seconds"))
    if state in ("down", "hung"):
        what = f"The database has been {state} for {since}"
        if _number(info, "database_readable"):
            what = f"The database has taken no writes for {since}, and is read"
        risk = f"; the node alone has {rows}, so do not stop or kill it" if (rows := _unsaved(info)) else ""
        yield Problem("critical", f"{what}: {reason}{risk}", "CkvDatabaseAway")
    elif state == "slow":
        yield Problem("warning", f"The database has been slow for {since}: {reason}", "CkvDatabaseSlow")


def _unsaved(info: Info) -> str:
    """What a kill would lose; nothing where that is nothing."""
    rows = int(_number(info, "pending_records"))
    if info.get("write_mode") == "evict":  # in the other modes what memory alone has is among the rows that wait
        rows += int(_number(info, "records") - _number(info, "records_clean"))
    return _count(rows, "unsaved record") if rows else ""


def _of_node(info: Info) -> Iterator[Problem]:
    why = _text(info, "ready_reason")
    if _number(info, "draining"):
        yield Problem("warning", "The node was told to stop: it saves what it has, and answers nothing else", "")
    elif why == "it owns no slots":
        if _number(info, "uptime_in_seconds") < NEW_SECONDS:
            return  # slots are on their way to it, or soon will be
        yield Problem("warning", "The node has joined and owns no slots, so it is of no use", "CkvNoSlots")
    elif not info.get("ready", 1) and not why.startswith(_TOLD):
        yield Problem("critical", f"The node cannot serve: {why}", "CkvNotReady")


def _of_cluster(info: Info) -> Iterator[Problem]:
    if info.get("role") != "primary":
        return
    count, connected = int(_number(info, "peers")), int(_number(info, "peers_connected"))
    if connected < count:
        reasons = (
            f": {name[len('peer_') : -len('_reason')]} ({info[name]})"
            for name in info
            if name.startswith("peer_") and name.endswith("_reason") and not info[f"{name[: -len('reason')]}connected"]
        )
        missing = f"{count - connected} of {_count(count, 'secondary', 'secondaries')}"
        sentence = f"This primary does not reach {missing}, whose keys fail{next(reasons, '')}"
        yield Problem("critical", sentence, "CkvPeerNotConnected")
    if (lost := _text(info, "cluster_away")) != NONE:
        sentence = f"Given up, and not come back: {lost}; others have the keys, and what was not saved is lost"
        yield Problem("warning", sentence, "CkvFewerSecondaries")
    if not info.get("cluster_coordinator_connected", 1):
        why = _text(info, "cluster_coordinator_reason")
        sentence = f"The coordinator cannot be asked, so nobody joins, leaves or is replaced: {why}"
        yield Problem("critical", sentence, "CkvCoordinatorAway")
    elif _text(info, "cluster_coordinator") != NONE and _text(info, "cluster_leader") == NONE:
        yield Problem("critical", "No primary leads, so no secondary joins, leaves or is replaced", "CkvNoLeader")
    if (waits_for := _text(info, "cluster_waits_for")) != NONE and info.get("ready", 1):
        yield Problem("critical", f"No slots are dealt or moved: this primary waits for {waits_for}", "CkvNoLeader")
    if (still := _number(info, "cluster_move_seconds")) >= STUCK_SECONDS:
        move, _, meanwhile = _text(info, "cluster_move").partition(": ")
        sentence = f"{move[:1].upper()}{move[1:]} has not got on for {spoken(still)}; {meanwhile}"
        yield Problem("warning", sentence, "CkvMoveStuck")


def _of_pending(info: Info, lately: Mapping[str, float]) -> Iterator[Problem]:
    refused, parked = int(lately.get("refused_for_room", 0)), int(_number(info, "parked_records"))
    taken = max(_share(info, "pending_records"), _share(info, "pending_bytes"))
    if refused:
        sentence = f"{_count(refused, 'write')} found no room for unsaved rows in the last minutes and failed"
        yield Problem("critical", sentence, "CkvNoRoom")
    elif taken >= NO_ROOM:
        yield Problem("critical", "The room for unsaved rows is full, so writes wait or fail", "CkvNoRoom")
    if parked:
        are = "row that the database refused is" if parked == 1 else "rows that the database refused are"
        yield Problem("critical", f"{parked:,} {are} in the node's memory alone: do not stop it", "CkvParkedRecords")
    if FULL < taken < NO_ROOM:
        sentence = f"{taken:.0%} of the room for unsaved rows is taken; when it is full, writes fail"
        yield Problem("warning", sentence, "CkvPendingFull")
    oldest = _number(info, "pending_oldest_seconds")
    if oldest > OLD_SECONDS:
        yield Problem("warning", f"A row has waited for {spoken(oldest)} to be saved", "CkvPendingOld")


def _of_others(info: Info, lately: Mapping[str, float]) -> Iterator[Problem]:
    rejected, places = int(lately.get("rejected_connections", 0)), int(_number(info, "maxclients"))
    if rejected:
        sentence = f"{_count(rejected, 'connection')} found all {places:,} places taken in the last minutes"
        yield Problem("warning", sentence, "CkvConnectionsRefused")
    elif 0 < places <= _number(info, "connected_clients"):
        sentence = f"All {places:,} places for clients are taken, and whoever comes is refused"
        yield Problem("warning", sentence, "CkvConnectionsRefused")
    skew = _number(info, "clock_skew_seconds")
    if abs(skew) >= SKEW_SECONDS:
        which = "ahead of" if skew > 0 else "behind"
        yield Problem("warning", f"The clock of the database is {abs(skew):.1f} s {which} the node's", "CkvClockSkew")


def spoken(seconds: float) -> str:
    """A duration as a person says it, in whole units.

    >>> [spoken(seconds) for seconds in (0.4, 59, 60, 7300, 180000)]
    ['0 s', '59 s', '1 min', '2 h', '2 days']
    """
    for unit, length, least in (("days", 86_400, 172_800), ("h", 3600, 7200), ("min", 60, 60)):
        if seconds >= least:
            return f"{seconds // length:.0f} {unit}"
    return f"{int(seconds)} s"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _share(info: Info, name: str) -> float:
    """How much of its bound a figure is, as in ``pending_records`` and ``pending_max_records``."""
    most = _number(info, name.replace("_", "_max_"))
    return _number(info, name) / most if most else 0.0


def _number(info: Info, name: str) -> float:
    value = info.get(name, 0)
    return value if isinstance(value, (int, float)) else 0.0


def _text(info: Info, name: str) -> str:
    return str(info.get(name, NONE))
