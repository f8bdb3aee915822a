"""What a node says is wrong, for figures as they are in troubles."""

from __future__ import annotations

import pytest

from ckv.node.figures import Info
from ckv.node.problems import Problem, problems
from tests.support.nodes import ROOT

SECONDARY: Info = {
    "role": "secondary", "ready": 1, "ready_reason": "-", "draining": 0, "maxclients": 100,
    "write_mode": "evict", "records": 10, "records_clean": 10, "parked_records": 0,
    "pending_records": 0, "pending_max_records": 100, "pending_bytes": 0, "pending_max_bytes": 1000,
    "pending_oldest_seconds": 0.0, "clock_skew_seconds": 0.0,
    "database_state": "up", "database_state_seconds": 5.0, "database_reason": "-",
}  # fmt: skip

PRIMARY: Info = {
    "role": "primary", "ready": 1, "ready_reason": "-", "draining": 0, "maxclients": 100,
    "peers": 2, "peers_connected": 2,
    "peer_a:1_connected": 1, "peer_a:1_reason": "-", "peer_b:2_connected": 1, "peer_b:2_reason": "-",
    "cluster_coordinator": "-", "cluster_coordinator_connected": 1, "cluster_coordinator_reason": "-",
    "cluster_leader": "-", "cluster_waits_for": "-",
}  # fmt: skip

AWAY: Info = {"database_state": "down", "database_state_seconds": 200.0, "database_reason": "Connection refused"}
NOT_READY: Info = {"ready": 0, "ready_reason": "the database is down: Connection refused"}

CASES: list[tuple[Info, Info, str, str]] = [
    (SECONDARY, AWAY | NOT_READY, "CkvDatabaseAway", "The database has been down for 3 min: Connection refused"),
    (
        SECONDARY,
        {**AWAY, "records_clean": 7, "pending_records": 2},
        "CkvDatabaseAway",
        (
            "The database has been down for 3 min: Connection refused; the node alone has 5 unsaved records, so do "
            "not stop or kill it"
        ),
    ),
    (
        SECONDARY,
        {**AWAY, "write_mode": "behind", "records_clean": 9, "pending_records": 1},
        "CkvDatabaseAway",
        (
            "The database has been down for 3 min: Connection refused; the node alone has 1 unsaved record, so do "
            "not stop or kill it"
        ),
    ),
    (
        SECONDARY,
        {"database_state": "slow", "database_reason": "a read took 0.8 s or more"},
        "CkvDatabaseSlow",
        "The database has been slow for 5 s: a read took 0.8 s or more",
    ),
    (
        SECONDARY,
        {**AWAY, "database_readable": 1, "database_reason": "the table is full"},
        "CkvDatabaseAway",
        "The database has taken no writes for 3 min, and is read: the table is full",
    ),
    (
        SECONDARY,
        {"ready": 0, "ready_reason": "no primary has taken it in, or has it in its list"},
        "CkvNotReady",
        "The node cannot serve: no primary has taken it in, or has it in its list",
    ),
    (
        SECONDARY,
        {"ready": 0, "ready_reason": "it owns no slots", "uptime_in_seconds": 60},
        "CkvNoSlots",
        "The node has joined and owns no slots, so it is of no use",
    ),
    (
        SECONDARY,
        {"ready": 0, "ready_reason": "it was told to stop", "draining": 1},
        "",
        "The node was told to stop: it saves what it has, and answers nothing else",
    ),
    (
        SECONDARY,
        {"parked_records": 2, "pending_records": 2},
        "CkvParkedRecords",
        "2 rows that the database refused are in the node's memory alone: do not stop it",
    ),
    (
        SECONDARY,
        {"pending_records": 99},
        "CkvNoRoom",
        "The room for unsaved rows is full, so writes wait or fail",
    ),
    (
        SECONDARY,
        {"connected_clients": 101},
        "CkvConnectionsRefused",
        "All 100 places for clients are taken, and whoever comes is refused",
    ),
    (
        SECONDARY,
        {"pending_bytes": 900},
        "CkvPendingFull",
        "90% of the room for unsaved rows is taken; when it is full, writes fail",
    ),
    (SECONDARY, {"pending_oldest_seconds": 61.0}, "CkvPendingOld", "A row has waited for 1 min to be saved"),
    (SECONDARY, {"clock_skew_seconds": -1.5}, "CkvClockSkew", "The clock of the database is 1.5 s behind the node's"),
    (
        PRIMARY,
        {"peers_connected": 1, "peer_b:2_connected": 0, "peer_b:2_reason": "Connection refused"},
        "CkvPeerNotConnected",
        "This primary does not reach 1 of 2 secondaries, whose keys fail: b:2 (Connection refused)",
    ),
    (
        PRIMARY,
        {
            "ready": 0,
            "ready_reason": "none of 2 secondaries is connected: a:1: timed out",
            "peers_connected": 0,
            "peer_a:1_connected": 0,
            "peer_a:1_reason": "timed out",
            "peer_b:2_connected": 0,
        },
        "CkvPeerNotConnected",
        "This primary does not reach 2 of 2 secondaries, whose keys fail: a:1 (timed out)",
    ),
    (
        PRIMARY,
        {"cluster_coordinator_connected": 0, "cluster_coordinator_reason": "timed out"},
        "CkvCoordinatorAway",
        "The coordinator cannot be asked, so nobody joins, leaves or is replaced: timed out",
    ),
    (
        PRIMARY,
        {"cluster_away": "b, c"},
        "CkvFewerSecondaries",
        "Given up, and not come back: b, c; others have the keys, and what was not saved is lost",
    ),
    (
        PRIMARY,
        {"cluster_move": "the move of 7 slots from a to b: they are served meanwhile", "cluster_move_seconds": 12.0},
        "CkvMoveStuck",
        "The move of 7 slots from a to b has not got on for 12 s; they are served meanwhile",
    ),
    (
        PRIMARY,
        {"cluster_coordinator": "mysql://c"},
        "CkvNoLeader",
        "No primary leads, so no secondary joins, leaves or is replaced",
    ),
    (
        PRIMARY,
        {"cluster_waits_for": "ckv-1"},
        "CkvNoLeader",
        "No slots are dealt or moved: this primary waits for ckv-1",
    ),
]


@pytest.mark.parametrize(("well", "figures", "section", "sentence"), CASES)
def test_one_trouble_is_one_sentence(well: Info, figures: Info, section: str, sentence: str) -> None:
    assert [(found.section, found.sentence) for found in problems(well | figures, {})] == [(section, sentence)]


@pytest.mark.parametrize("seen", [{}, {"role": "primary"}, {"role": "secondary", "ready": 1, "database_state": "-"}])
def test_what_a_node_does_not_tell_is_well(seen: Info) -> None:
    assert problems(seen, {}) == []


def test_one_that_has_just_come_is_not_missing_its_slots() -> None:
    new: Info = {"ready": 0, "ready_reason": "it owns no slots", "uptime_in_seconds": 30}
    assert problems(SECONDARY | new, {}) == []


def test_a_primary_without_the_figures_of_its_peers_says_how_many() -> None:
    (found,) = problems({"role": "primary", "peers": 2, "peers_connected": 1}, {})
    assert found.sentence == "This primary does not reach 1 of 2 secondaries, whose keys fail"


@pytest.mark.parametrize("well", [SECONDARY, PRIMARY])
def test_a_node_that_is_well_has_none(well: Info) -> None:
    assert problems(well, {"refused_for_room": 0, "rejected_connections": 0}) == []


def test_what_has_just_happened_counts() -> None:
    lately = {"refused_for_room": 1200, "rejected_connections": 1}
    assert problems(SECONDARY, lately) == [
        Problem("critical", "1,200 writes found no room for unsaved rows in the last minutes and failed", "CkvNoRoom"),
        Problem("warning", "1 connection found all 100 places taken in the last minutes", "CkvConnectionsRefused"),
    ]


def test_the_worst_comes_first() -> None:
    found = problems(SECONDARY | {"clock_skew_seconds": 2.0, "pending_oldest_seconds": 70.0, "parked_records": 1}, {})
    assert [problem.level for problem in found] == ["critical", "warning", "warning"]


def test_each_is_a_section_of_the_runbook_and_as_bad_as_its_alert() -> None:
    runbook = (ROOT / "docs/runbook.md").read_text()
    alerts = (ROOT / "deploy/monitoring/alerts.yaml").read_text()
    found = [problem for well, figures, _, _ in CASES for problem in problems(well | figures, {})]
    for problem in found + problems(SECONDARY, {"refused_for_room": 1, "rejected_connections": 1}):
        if problem.section:
            assert f"\n## {problem.section}\n" in runbook
            alert = alerts.partition(f"alert: {problem.section}\n")[2].partition("- alert:")[0]
            assert f"severity: {problem.level}" in alert, problem
