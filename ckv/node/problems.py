"""What is wrong with a node, by its figures: for each trouble one sentence, and the section of the runbook about it.

What is said, and how bad it is, goes with the alerts of ``deploy/monitoring/alerts.yaml``. These look at a node from
outside and over time; this is for whoever looks at it now.
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

SKEW_SECONDS: Final = 1.0
"""How far the clock of the database may be off."""

LATELY: Final = ("refused_for_room", "rejected_connections")
"""Counters that tell of trouble while they grow."""


_TOLD: Final = ("the database is ", "none of ")
"""How the words of :mod:`ckv.node.readiness` begin for what has a sentence of its own here."""


class Problem(NamedTuple):
    """One thing that is wrong."""

    level: Level
    sentence: str
    section: str
    """The heading in docs/runbook.md; empty where nothing is to be done."""


def problems(info: Info, lately: Mapping[str, float]) -> list[Problem]:
    """What is wrong, the worst first. ``lately``: by how much each of :data:`LATELY` grew in the last minutes."""
    found = [
        *_of_database(info),
        *_of_node(info),
        *_of_cluster(info),
        *_of_pending(info, lately),
        *_of_others(info, lately),
    ]
    return sorted(found, key=lambda problem: problem.level != "critical")


def _of_database(info: Info) -> Iterator[Problem]:
    state = info.get("database_state", "-")
    since = spoken(float(info.get("database_state_seconds", 0)))
    if state in ("down", "hung"):
        risk = f"; do not stop or kill this node, {_unsaved(info)}" if _unsaved(info) else ""
        sentence = f"The database has been {state} for {since}: {info['database_reason']}{risk}"
        yield Problem("critical", sentence, "CkvDatabaseAway")
    elif state == "slow":
        yield Problem("warning", f"The database has been slow for {since}", "CkvDatabaseSlow")


def _unsaved(info: Info) -> str:
    """What a kill would lose; nothing where that is nothing."""
    rows = int(info["pending_records"])
    if info["write_mode"] == "evict":  # in the other modes what memory alone has is among the rows that wait
        rows += int(info["records"]) - int(info["records_clean"])
    return f"which alone has {_count(rows, 'unsaved record')}" if rows else ""


def _of_node(info: Info) -> Iterator[Problem]:
    why = str(info["ready_reason"])
    if info["draining"]:
        yield Problem("warning", "The node was told to stop: it saves what it has, and answers nothing else", "")
    elif why == "it owns no slots":
        yield Problem("warning", "The node has joined and owns no slots, so it is of no use", "CkvNoSlots")
    elif not info["ready"] and not why.startswith(_TOLD):
        yield Problem("critical", f"The node cannot serve: {why}", "CkvNotReady")


def _of_cluster(info: Info) -> Iterator[Problem]:
    if info["role"] != "primary":
        return
    count, connected = int(info["peers"]), int(info["peers_connected"])
    if connected < count:
        reasons = (
            f"{name[len('peer_') : -len('_reason')]} ({info[name]})"
            for name in info
            if name.startswith("peer_") and name.endswith("_reason") and not info[f"{name[: -len('reason')]}connected"]
        )
        missing = f"{count - connected} of {_count(count, 'secondary', 'secondaries')}"
        sentence = f"This primary does not reach {missing}, whose keys fail: {next(reasons, '-')}"
        yield Problem("critical", sentence, "CkvPeerNotConnected")
    if not info["cluster_coordinator_connected"]:
        why = info["cluster_coordinator_reason"]
        sentence = f"The coordinator cannot be asked, so nobody joins, leaves or is replaced: {why}"
        yield Problem("critical", sentence, "CkvCoordinatorAway")
    elif info["cluster_coordinator"] != "-" and info["cluster_leader"] == "-":
        yield Problem("critical", "No primary leads, so no secondary joins, leaves or is replaced", "CkvNoLeader")
    if info["cluster_waits_for"] != "-" and info["ready"]:
        sentence = f"No slots are dealt or moved: this primary waits for {info['cluster_waits_for']}"
        yield Problem("critical", sentence, "CkvNoLeader")


def _of_pending(info: Info, lately: Mapping[str, float]) -> Iterator[Problem]:
    if not info.get("pending_max_records"):
        return
    refused, parked = int(lately.get("refused_for_room", 0)), int(info["parked_records"])
    taken = max(
        int(info["pending_records"]) / int(info["pending_max_records"]),
        int(info["pending_bytes"]) / max(1, int(info["pending_max_bytes"])),
    )
    if refused:
        sentence = f"{_count(refused, 'write')} found no room for unsaved rows in the last minutes and failed"
        yield Problem("critical", sentence, "CkvNoRoom")
    if parked:
        are = "row that the database refused is" if parked == 1 else "rows that the database refused are"
        yield Problem("critical", f"{parked:,} {are} in this node's memory alone: do not stop it", "CkvParkedRecords")
    if taken > FULL:
        sentence = f"{taken:.0%} of the room for unsaved rows is taken; when it is full, writes fail"
        yield Problem("warning", sentence, "CkvPendingFull")
    oldest = float(info["pending_oldest_seconds"])
    if oldest > OLD_SECONDS:
        yield Problem("warning", f"A row has waited for {spoken(oldest)} to be saved", "CkvPendingOld")


def _of_others(info: Info, lately: Mapping[str, float]) -> Iterator[Problem]:
    rejected = int(lately.get("rejected_connections", 0))
    if rejected:
        sentence = f"{_count(rejected, 'connection')} found all {info['maxclients']} places taken in the last minutes"
        yield Problem("warning", sentence, "CkvConnectionsRefused")
    skew = float(info.get("clock_skew_seconds", 0))
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
