"""The figures that INFO answers: what each of them means, how they are read off a node, and how people see them.

:data:`FIGURES` is the one table: ``docs/info.md`` is made from it, and a test compares it with what nodes answer. Names
are those of Redis's INFO where the meaning is the same. What counts, counts since the start of the process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ckv.net.peer import Peer
    from ckv.node.workers import Workers
    from ckv.settings.roles import SecondarySettings
    from ckv.store import Records

Info = dict[str, int | float | str]
"""Name to figure. Text where the table says so, else a number; what is true or false is 1 or 0."""

PEER: Final = "ADDRESS"
"""Stands in the table for the address of a secondary, as in ``peer_ADDRESS_connected``."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of INFO."""

    group: str
    name: str
    roles: tuple[str, ...]
    """The roles whose nodes answer it."""

    help: str
    """One sentence, with the unit."""


_BOTH: Final = ("primary", "secondary")
_PRIMARY: Final = ("primary",)
_SECONDARY: Final = ("secondary",)

FIGURES: Final[tuple[Figure, ...]] = (
    Figure("Server", "ckv_version", _BOTH, "Version of ckv (text)."),
    Figure("Server", "role", _BOTH, "primary or secondary (text)."),
    Figure("Server", "process_id", _BOTH, "Number of the process."),
    Figure("Server", "tcp_port", _BOTH, "Port that it listens on."),
    Figure("Server", "uptime_in_seconds", _BOTH, "Whole seconds since the start."),
    Figure("Server", "draining", _BOTH, "1 once the node was told to stop: it refuses all commands but PING and INFO; "
           "else 0."),
    Figure("Server", "used_memory_rss", _BOTH, "Bytes of memory that the process occupies; 0 where the system does "
           "not say."),
    Figure("Server", "log_lines_suppressed", _BOTH, "Lines of the log that were left out, because others "
           "of their kind had been logged within the minute."),
    Figure("Server", "log_lines_dropped", _BOTH, "Lines of the log that were lost, because nobody read stderr "
           "or it could not be written to."),
    Figure("Clients", "connected_clients", _BOTH, "Connections that are open, those of primaries and of whoever asks "
           "included."),
    Figure("Clients", "maxclients", _BOTH, "Clients that are served at a time: --max-connections, or fewer where there "
           "are not so many open files."),
    Figure("Clients", "rejected_connections", _BOTH, "Connections that found all places taken, those of operators, who "
           "are answered all the same, included."),
    Figure("Peers", "peers", _PRIMARY, "Secondaries that this primary passes requests to."),
    Figure("Peers", "peers_connected", _PRIMARY, "How many of them are connected now."),
    Figure("Peers", f"peer_{PEER}_connected", _PRIMARY, "1 if this secondary is connected, 0 if not: its keys answer "
           "with an error then."),
    Figure("Peers", f"peer_{PEER}_in_flight", _PRIMARY, "Requests that this secondary has not answered yet."),
    Figure("Peers", f"peer_{PEER}_waiting", _PRIMARY, "Requests that wait for this secondary to be connected "
           "(--node-wait)."),
    Figure("Records", "write_mode", _SECONDARY, "evict, behind or through (text)."),
    Figure("Records", "policy", _SECONDARY, "lru, lfu or fifo (text)."),
    Figure("Records", "capacity", _SECONDARY, "Records that memory holds at most."),
    Figure("Records", "records", _SECONDARY, "Records in memory."),
    Figure("Records", "records_bytes", _SECONDARY, "Bytes of memory that they take, with what it costs to keep them."),
    Figure("Records", "records_max_bytes", _SECONDARY, "Their bound (--memory-max); 0 for none."),
    Figure("Records", "records_clean", _SECONDARY, "Records in memory whose value the database has; what the others "
           "have, a kill -9 would lose."),
    Figure("Records", "absent_keys", _SECONDARY, "Keys that are known not to exist, so that asking again costs no "
           "query."),
    Figure("Records", "absent_bytes", _SECONDARY, "Bytes of memory that they take, 16 MiB at most."),
    Figure("Records", "evicted_keys", _SECONDARY, "Records that left memory for others."),
    Figure("Records", "dropped_records", _SECONDARY, "Records that were lost that way, because there is no persistent "
           "node."),
    Figure("Reads", "keyspace_hits", _SECONDARY, "GETs that found a record, in whichever tier: the sum of the next "
           "three."),
    Figure("Reads", "hits_memory", _SECONDARY, "GETs that memory answered."),
    Figure("Reads", "hits_pending", _SECONDARY, "GETs that were answered by a record on its way to the database."),
    Figure("Reads", "hits_persistent", _SECONDARY, "GETs that the database had the record for."),
    Figure("Reads", "keyspace_misses", _SECONDARY, "GETs that found no record: the sum of the next two."),
    Figure("Reads", "misses", _SECONDARY, "GETs of no record for which the database was asked, if there is one."),
    Figure("Reads", "absent_hits", _SECONDARY, "GETs of no record that were answered without the database: of keys "
           "known not to exist, or deleted and the deletion on its way."),
    Figure("Pending", "pending_records", _SECONDARY, "Rows (values and deletions) that the database has still to "
           "learn, parked ones included."),
    Figure("Pending", "pending_max_records", _SECONDARY, "Their bound (--pending-max)."),
    Figure("Pending", "pending_bytes", _SECONDARY, "Bytes of memory that they take."),
    Figure("Pending", "pending_max_bytes", _SECONDARY, "Their bound (--pending-max-bytes)."),
    Figure("Pending", "pending_oldest_seconds", _SECONDARY, "Seconds since the oldest write that the database has "
           "still to learn was queued, parked ones left out; 0 when there is none."),
    Figure("Pending", "parked_records", _SECONDARY, "Rows that the database refused; they stay readable, and RETRY "
           "queues them again."),
    Figure("Pending", "writes_waiting_for_room", _SECONDARY, "PUTs and DELs that wait now because the bound is "
           "reached."),
    Figure("Pending", "refused_for_room", _SECONDARY, "PUTs and DELs that were refused because no room came free "
           "(NoRoom)."),
    Figure("Database", "persistent_node", _SECONDARY, "Its address without the password, - for none (text)."),
    Figure("Database", "database_state", _SECONDARY, "up; slow: a statement took more than half a second not long ago; "
           "hung: it does not answer; down: it cannot be reached or answers with errors; connecting: nothing was heard "
           "yet; - for none (text)."),
    Figure("Database", "database_state_seconds", _SECONDARY, "Seconds for which that is so."),
    Figure("Database", "database_reason", _SECONDARY, "Why it is not up, - when it is (text)."),
    Figure("Database", "database_connected", _SECONDARY, "1 if it is up or slow, 0 if not; nobody asks it while "
           "there is nothing to do."),
    Figure("Database", "database_lost_count", _SECONDARY, "Times that it was hung or down after it had been up or "
           "slow."),
    Figure("Database", "retries", _SECONDARY, "Attempts (to connect, load or flush) that failed and were made again."),
    Figure("Database", "pool_size", _SECONDARY, "Workers that write, and as many that read, each with its own "
           "connection."),
    Figure("Database", "loads", _SECONDARY, "Keys that were looked for, once for all that wait for the same key."),
    Figure("Database", "loads_shared", _SECONDARY, "Requests that joined a load which was on its way already."),
    Figure("Database", "loads_queued", _SECONDARY, "Keys that wait now for a query."),
    Figure("Database", "load_queries", _SECONDARY, "Queries that were begun, each for up to 500 of these keys "
           "and, but for a single larger value, 4 MiB."),
    Figure("Database", "load_failures", _SECONDARY, "Queries that failed; their keys go into the next ones."),
    Figure("Database", "load_locks", _SECONDARY, "Queries that met a row which somebody else has locked; their keys go "
           "into smaller ones, and those of such rows wait."),
    Figure("Database", "load_refusals", _SECONDARY, "GETs and DELs that failed at once, as the database was known to "
           "be hung or down."),
    Figure("Database", "load_timeouts", _SECONDARY, "Loads that were not answered within --load-timeout while "
           "somebody waited."),
    Figure("Database", "commit_timeouts", _SECONDARY, "PUTs and DELs that were answered with CommitTimeout; the write "
           "stays queued."),
    Figure("Database", "flushes", _SECONDARY, "Batches that were committed."),
    Figure("Database", "flushed_rows", _SECONDARY, "Rows in them, values and deletions."),
    Figure("Database", "flush_failures", _SECONDARY, "Batches that failed and were queued again."),
    Figure("Database", "flush_seconds_total", _SECONDARY, "Seconds that the batches took which did not fail."),
    Figure("Database", "flush_seconds_max", _SECONDARY, "Seconds that the slowest of them took."),
)  # fmt: skip


def of_peers(peers: Iterable[Peer]) -> Info:
    """What INFO says about the secondaries of a primary."""
    found: Info = {"peers": 0, "peers_connected": 0}
    connected = 0
    for number, peer in enumerate(peers, 1):
        found["peers"] = number
        connected += peer.connected
        found[f"peer_{peer.address}_connected"] = int(peer.connected)
        found[f"peer_{peer.address}_in_flight"] = peer.in_flight
        found[f"peer_{peer.address}_waiting"] = peer.waiting
    return found | {"peers_connected": connected}


def of_store(store: Records, settings: SecondarySettings) -> Info:
    """What INFO says about the records of a secondary."""
    figures = store.measured()
    return {
        "write_mode": settings.write_mode,
        "policy": settings.policy,
        "capacity": settings.capacity,
        "records_max_bytes": settings.memory_max,
        "pending_max_records": settings.pending_max,
        "pending_max_bytes": settings.pending_max_bytes,
        "keyspace_hits": figures.hits_memory + figures.hits_pending + figures.hits_persistent,
        "keyspace_misses": figures.misses + figures.absent_hits,
        **asdict(figures),
        "pending_oldest_seconds": round(figures.pending_oldest_seconds, 3),
    }


def of_workers(workers: Workers | None, persistent: str, pool_size: int) -> Info:
    """What INFO says about the way to the database; ``persistent`` is its name without the password."""
    health = workers.health if workers is not None else None
    return {
        "persistent_node": persistent,
        "pool_size": pool_size,
        "database_state": health.state if health is not None else "-",
        "database_state_seconds": round(health.state_seconds, 3) if health is not None else 0.0,
        "database_reason": (health.reason if health is not None else "") or "-",
        "database_connected": int(workers is not None and workers.connected),
        "database_lost_count": health.losses if health is not None else 0,
        "retries": workers.retries if workers is not None else 0,
        "flush_seconds_total": round(workers.flush_seconds_total, 6) if workers is not None else 0.0,
        "flush_seconds_max": round(workers.flush_seconds_max, 6) if workers is not None else 0.0,
    }


def resident_bytes() -> int:
    """The memory that this process occupies, in bytes; 0 where the system does not say (it has no /proc)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def for_people(info: Info) -> str:
    """The figures as ``name value`` lines, in the groups and the order of the table; what it lacks comes last.

    >>> print(for_people({"maxclients": 7, "role": "primary", "peer_a:1_connected": 0, "peer_a:1_in_flight": 0}))
    # Server
    role primary
    <BLANKLINE>
    # Clients
    maxclients 7
    <BLANKLINE>
    # Peers
    peer_a:1_connected 0
    peer_a:1_in_flight 0
    """
    groups: dict[str, list[str]] = {}
    left = dict(info)
    for figure in FIGURES:
        before, peer, after = figure.name.partition(PEER)
        names = [name for name in left if name == figure.name] if not peer else _between(left, before, after)
        groups.setdefault(figure.group, []).extend(f"{name} {left.pop(name)}" for name in names)
    groups["Others"] = [f"{name} {value}" for name, value in left.items()]
    return "\n\n".join("\n".join([f"# {group}", *lines]) for group, lines in groups.items() if lines)


def _between(names: Iterable[str], before: str, after: str) -> list[str]:
    return [name for name in names if name.startswith(before) and name.endswith(after)]
