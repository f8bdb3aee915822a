"""The figures that INFO answers: what each of them means, how they are read off a node, and how people see them.

Names are those of Redis's INFO where the meaning is the same. What counts, counts since the start of the process.
"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from ckv.net.peer import Peer
    from ckv.node.naming import Naming
    from ckv.node.workers import Workers
    from ckv.protocol.greeting import Share
    from ckv.settings.roles import SecondarySettings
    from ckv.store import Records

Info = dict[str, int | float | str]
"""Name to figure. Text where the table says so, else a number; what is true or false is 1 or 0."""

PEER: Final = "ADDRESS"
"""Stands in the table for the address of a secondary, as in ``peer_ADDRESS_connected``."""


class Figure(NamedTuple):
    """One line of INFO."""

    group: str
    name: str
    roles: tuple[str, ...]
    help: str
    """One sentence, with the unit."""


FIGURES: Final = tuple(Figure(group, name, roles, sentence) for group, roles, helps in (
    ("Server", ("primary", "secondary"), {
        "ckv_version": "Version of ckv (text).",
        "role": "primary or secondary (text).",
        "process_id": "Number of the process.",
        "tcp_port": "Port that it listens on.",
        "uptime_in_seconds": "Whole seconds since the start.",
        "draining": "1 once the node was told to stop: it refuses all commands but PING and INFO; else 0.",
        "used_memory_rss": "Bytes of memory that the process occupies; 0 where the system does not say.",
        "used_cpu_sys": "Seconds of processor time that the process has had in the kernel.",
        "used_cpu_user": "Seconds of processor time that it has had outside.",
        "log_lines_suppressed": "Lines of the log left out, as others of their kind came within the minute.",
        "log_lines_dropped": "Lines of the log that were lost: nobody read stderr, or it could not be written to.",
    }),
    ("Server", ("secondary",), {
        "name": "Name of the node (--name): one process of a name at a time can write to a database (text).",
        "incarnation": "How many processes have had the name, this one included; 0 until it has it.",
        "share": "The part of the keys that the lists of primaries give it, as in 2/3; - where none does (text).",
    }),
    ("Clients", ("primary", "secondary"), {
        "connected_clients": "Connections that are open, those of primaries and of whoever asks included.",
        "maxclients": "Clients served at a time: --max-connections, or fewer where open files are too few.",
        "rejected_connections": "Connections that found all places taken, also those of operators, who are answered.",
        "pubsub_channels": "Channels that anybody has subscribed to here.",
        "pubsub_patterns": "Patterns of channels, each counted once.",
        "pubsub_clients": "Clients that have subscribed to any.",
        "pubsub_messages": "Messages that were sent to them, one to several counted for each.",
        "pubsub_cut_off": "Clients that were cut off as they did not read their messages.",
    }),
    ("Peers", ("primary",), {
        "peers": "Secondaries that this primary passes requests to.",
        "peers_connected": "How many of them are connected now.",
        f"peer_{PEER}_connected": "1 if this secondary is connected, 0 if not: its keys answer with an error then.",
        f"peer_{PEER}_reason": "Why it could not be connected at the last attempt, - where it could (text).",
        f"peer_{PEER}_in_flight": "Requests that this secondary has not answered yet.",
        f"peer_{PEER}_waiting": "Requests that wait for this secondary to be connected (--node-wait).",
    }),
    ("Records", ("secondary",), {
        "write_mode": "evict, behind or through (text).",
        "policy": "lru, lfu or fifo (text).",
        "capacity": "Records that memory holds at most.",
        "records": "Records in memory.",
        "records_bytes": "Bytes of memory that they take, with what it costs to keep them.",
        "records_max_bytes": "Their bound (--memory-max); 0 for none.",
        "records_clean": "Records in memory whose value the database has; what the others have, a kill -9 would lose.",
        "records_expiring": "Records in memory that expire at some time, or have and were not asked for since.",
        "expired_keys": "Records that had expired, and were taken out of memory for it.",
        "absent_keys": "Keys that are known not to exist, so that asking again costs no query.",
        "absent_bytes": "Bytes of memory that they take, 16 MiB at most.",
        "evicted_keys": "Records that left memory for others.",
        "dropped_records": "Records that were lost that way, because there is no persistent node.",
    }),
    ("Reads", ("secondary",), {
        "keyspace_hits": "Reads that found a record, be it for a GET or for an update: the sum of the next three.",
        "hits_memory": "Reads that memory answered.",
        "hits_pending": "Reads that were answered by a record on its way to the database.",
        "hits_persistent": "Reads that the database had the record for.",
        "keyspace_misses": "Reads that found no record: the sum of the next two.",
        "misses": "Reads of no record for which the database was asked, if there is one.",
        "absent_hits": "Reads of no record that the database was not asked for: known to be none, expired or deleted.",
    }),
    ("Pending", ("secondary",), {
        "pending_records": "Rows (values and deletions) that the database has still to learn, parked ones included.",
        "pending_max_records": "Their bound (--pending-max).",
        "pending_bytes": "Bytes of memory that they take.",
        "pending_max_bytes": "Their bound (--pending-max-bytes).",
        "pending_oldest_seconds": "Age of the oldest row in seconds, parked ones left out; 0 when there is none.",
        "parked_records": "Rows that the database refused; they stay readable, and RETRY queues them again.",
        "writes_waiting_for_room": "PUTs and DELs that wait now because the bound is reached.",
        "refused_for_room": "PUTs and DELs that were refused because no room came free (NoRoom).",
    }),
    ("Database", ("secondary",), {
        "persistent_node": "Its address without the password, - for none (text).",
        "database_state": "up; slow: a statement took more than half a second not long ago; hung: it does not answer; "
            "down: it cannot be reached or answers with errors; connecting: nothing was heard yet; - for none (text).",
        "database_state_seconds": "Seconds for which that is so.",
        "database_reason": "Why it is not up, - when it is (text).",
        "database_connected": "1 if it is up or slow, 0 if not; nobody asks it while there is nothing to do.",
        "database_lost_count": "Times that it was hung or down after it had been up or slow.",
        "clock_skew_seconds": "By how many seconds its clock was ahead of ours, below 0 behind, at the last connect.",
        "expired_rows_purged": "Rows that had expired and that this node deleted, a minute later or more.",
        "purge_lag_seconds": "Seconds since the last whole walk for such rows began, 0 without one; nodes take turns.",
        "retries": "Attempts (to connect, load or flush) that failed and were made again.",
        "pool_size": "Workers that write, and as many that read, each with its own connection.",
        "loads": "Keys that were looked for, once for all that wait for the same key.",
        "loads_shared": "Requests that joined a load which was on its way already.",
        "loads_queued": "Keys that wait now for a query.",
        "load_queries": "Queries that were begun, each for up to 500 of these keys, and 4 MiB or one larger value.",
        "load_failures": "Queries that failed; their keys go into the next ones.",
        "load_locks": "Queries that met a row locked by somebody else; they are split, and such rows are waited for.",
        "load_refusals": "Reads and DELs that failed at once, as the database was hung or down.",
        "load_timeouts": "Loads that were not answered within --load-timeout while somebody waited.",
        "commit_timeouts": "PUTs and DELs that were answered with CommitTimeout; the write stays queued.",
        "flushes": "Batches that were committed.",
        "flushed_rows": "Rows in them, values and deletions.",
        "flush_failures": "Batches that failed and were queued again.",
        "flush_seconds_total": "Seconds that the batches took which did not fail.",
        "flush_seconds_max": "Seconds that the slowest of them took.",
    }),
) for name, sentence in helps.items())  # fmt: skip


def of_peers(peers: Sequence[Peer]) -> Info:
    """What INFO says about the secondaries of a primary."""
    found: Info = {"peers": len(peers), "peers_connected": sum(peer.connected for peer in peers)}
    for peer in peers:
        found[f"peer_{peer.address}_connected"] = int(peer.connected)
        found[f"peer_{peer.address}_reason"] = peer.reason or "-"
        found[f"peer_{peer.address}_in_flight"] = peer.in_flight
        found[f"peer_{peer.address}_waiting"] = peer.waiting
    return found


def of_name(naming: Naming | None, settings: SecondarySettings, share: Share | None) -> Info:
    """What INFO says about who a secondary is."""
    return {
        "name": (naming.name if naming is not None else settings.name) or "-",
        "incarnation": naming.incarnation if naming is not None else 0,
        "share": share.short if share is not None else "-",
    }


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


def of_workers(workers: Workers | None, pool_size: int) -> Info:
    """What INFO says about the way to the database."""
    health = workers.health if workers is not None else None
    return {
        "persistent_node": workers.tier.name if workers is not None else "-",
        "pool_size": pool_size,
        "database_state": health.state if health is not None else "-",
        "database_state_seconds": round(health.state_seconds, 3) if health is not None else 0.0,
        "database_reason": (health.reason if health is not None else "") or "-",
        "database_connected": int(health is not None and health.answers),
        "database_lost_count": health.losses if health is not None else 0,
        "clock_skew_seconds": round(workers.tier.clock_skew, 3) if workers is not None else 0.0,
        "expired_rows_purged": workers.purger.purged if workers is not None else 0,
        "purge_lag_seconds": round(workers.purger.lag_seconds, 3) if workers is not None else 0.0,
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


def processor_seconds() -> Info:
    """The processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"used_cpu_sys": round(used.ru_stime, 6), "used_cpu_user": round(used.ru_utime, 6)}


def for_people(info: Info) -> str:
    """The figures as ``name value`` lines, in the groups and the order of the table; what it lacks comes last.

    >>> print(for_people({"peer_a:1_connected": 0, "maxclients": 7, "peer_a:1_in_flight": 0}))
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
        pattern = figure.name.replace(PEER, ".+")
        lines = [f"{name} {left.pop(name)}" for name in list(left) if re.fullmatch(pattern, name)]
        groups.setdefault(figure.group, []).extend(lines)
    groups["Others"] = [f"{name} {value}" for name, value in left.items()]
    return "\n\n".join("\n".join([f"# {group}", *lines]) for group, lines in groups.items() if lines)
