"""The figures that INFO answers: what each of them means, how they are read off a node, and how people see them.

Names are those of Redis's INFO where the meaning is the same. What counts, counts since the start of the process.
:mod:`ckv.node.metrics` makes of them what Prometheus reads.
"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from ckv.node.health import State
from ckv.node.kinds import counter, gauge, histogram, label, made, state, text

if TYPE_CHECKING:
    from ckv.net.peer import Peer
    from ckv.node.naming import Naming
    from ckv.node.workers import Workers
    from ckv.protocol.greeting import Share
    from ckv.settings.roles import SecondarySettings
    from ckv.store import Records

Info = dict[str, int | float | str]
"""Name to figure. Text where the table says so, else a number; what is true or false is 1 or 0."""


FIGURES: Final = tuple(made(group, name, roles, row) for group, roles, rows in (
    ("Server", ("primary", "secondary"), {
        "ckv_version": label("Version of ckv (text).", "version"),
        "role": label("primary or secondary (text)."),
        "process_id": gauge("Number of the process."),
        "tcp_port": label("Port that it listens on.", "port"),
        "uptime_in_seconds": gauge("Whole seconds since the start.", "ckv_uptime_seconds"),
        "draining": gauge("1 once the node was told to stop: it refuses all commands but PING and INFO; else 0."),
        "ready": gauge("1 if it can serve, as /readyz says; else 0."),
        "ready_reason": text("Why it cannot, - where it can (text)."),
        "used_memory_rss": gauge(
            "Bytes of memory that the process occupies; 0 where the system does not say.", "ckv_resident_memory_bytes"),
        "used_cpu_sys": counter(
            "Seconds of processor time that the process has had in the kernel.",
            "ckv_cpu_seconds_total", mode="system"),
        "used_cpu_user": counter(
            "Seconds of processor time that it has had outside.", "ckv_cpu_seconds_total", mode="user"),
        "log_lines_suppressed": counter("Lines of the log left out, as others of their kind came within the minute."),
        "log_lines_dropped": counter(
            "Lines of the log that were lost: nobody read stderr, or it could not be written to."),
    }),
    ("Server", ("secondary",), {
        "name": label("Name of the node (--name): one process of a name at a time can write to a database (text)."),
        "incarnation": gauge("How many processes have had the name, this one included; 0 until it has it."),
        "share": label(
            "The part of the keys that the lists of primaries give it, as in 2/3; - where none does (text)."),
    }),
    ("Clients", ("primary", "secondary"), {
        "connected_clients": gauge("Connections that are open, those of primaries and of whoever asks included."),
        "maxclients": gauge(
            "Clients served at a time: --max-connections, or fewer where open files are too few.", "ckv_max_clients"),
        "total_connections_received": counter(
            "Connections that were accepted, those that found all places taken included.",
            "ckv_connections_received_total"),
        "rejected_connections": counter(
            "Connections that found all places taken, also those of operators, who are answered."),
        "users": gauge("Users in the file of users; 0 where there are none, and everybody may do everything."),
        "users_connections": gauge("Connections over which somebody has logged in."),
        "logins": counter("Logins, of clients and of other nodes."),
        "login_failures": counter("Logins that were wrong."),
        "calls_denied": counter("Calls that their users may not make, or not with these keys."),
        "users_slowed": counter("How often a connection was not read for a while, as its user had reached a limit."),
        "tls_handshakes": counter("Connections of clients and other nodes that began TLS."),
        "tls_handshake_failures": counter("Those that did not get so far, by whichever end's fault."),
        "tls_certificate_expires": gauge(
            "When the certificate of the node expires, in seconds since 1970; 0 without TLS."),
        "total_commands_processed": counter(
            "Requests that came, whatever became of them: of clients, nodes and operators, each in a BATCH or a "
            "transaction counted.", "ckv_commands_processed_total"),
        "total_error_replies": counter(
            "Those that were answered with an error, of this node or of one that it asked; as figures of their own by "
            "code.", "ckv_error_replies_total"),
        "errors_CODE": counter(
            "Those of this code: one of docs/protocol.md, or what Redis calls an error that has none of these.",
            "ckv_errors_total"),
        "slow_requests": counter(
            "Requests that had to wait, and took longer than --slow-time; SLOWLOG has the latest.",
            "ckv_slow_requests_total"),
        "pubsub_channels": gauge("Channels that anybody has subscribed to here."),
        "pubsub_patterns": gauge("Patterns of channels, each counted once."),
        "pubsub_clients": gauge("Clients that have subscribed to any."),
        "pubsub_messages": counter("Messages that were sent to them, one to several counted for each."),
        "pubsub_cut_off": counter("Clients that were cut off as they did not read their messages."),
    }),
    ("Peers", ("primary",), {
        "peers": gauge("Secondaries that this primary passes requests to."),
        "peers_connected": gauge("How many of them are connected now."),
        "peer_ADDRESS_connected": gauge(
            "1 if this secondary is connected, 0 if not: its keys answer with an error then.", "ckv_peer_connected"),
        "peer_ADDRESS_reason": text("Why it could not be connected at the last attempt, - where it could (text)."),
        "peer_ADDRESS_in_flight": gauge(
            "Requests that this secondary has not answered yet.", "ckv_peer_in_flight_requests"),
        "peer_ADDRESS_waiting": gauge(
            "Requests that wait for this secondary to be connected (--node-wait).", "ckv_peer_waiting_requests"),
    }),
    ("Cluster", ("primary", "secondary"), {
        "cluster_map": text("Version of the map of slots, where secondaries join their primary; - without one (text)."),
        "cluster_primaries": gauge(
            "Primaries that are known: by the coordinator; of a secondary, those that it may ask."),
    }),
    ("Cluster", ("primary",), {
        "cluster_map_epoch": gauge(
            "The second number of that version, which each change makes one higher; 0 without a map."),
        "cluster_nodes": gauge("Secondaries that have joined; 0 for a primary with a list."),
        "cluster_away": text(
            "Which secondaries were given up within the last hour and have not come back; - for none (text)."),
        "cluster_leads": gauge(
            "1 if it deals the slots, 0 while it looks for the last map, another one leads, or by a list."),
        "cluster_leader": text(
            "Which primary leads, where there is a coordinator, or which one this follows; - for none, or not known "
            "(text)."),
        "cluster_coordinator": label(
            "Where primaries decide that (--coordinator), without the password; - for none (text).", "coordinator"),
        "cluster_coordinator_connected": gauge(
            "1 if it answers, or the primary that this one follows; 0 if not or not yet. 1 also for a primary that has "
            "neither, and so misses none."),
        "cluster_coordinator_reason": text("Why it cannot be asked or written to now; - where it can be (text)."),
        "cluster_waits_for": text("What it needs before it deals slots, - for nothing, and for the first 10 s (text)."),
        "cluster_rebalances": gauge("1 if it levels the shares by itself (ckv rebalance)."),
        "cluster_moves": counter("Moves of slots from one secondary to another one."),
        "cluster_move": text(
            "The move that is under way, as the primary that leads knows, and what is true of its slots; - for none "
            "(text)."),
        "cluster_move_seconds": gauge(
            "Seconds since it got on last; 0 while there is none."),
        "cluster_moves_called_off": counter("Moves that were called off."),
        "cluster_moved_slots": counter("Slots that were moved."),
        "cluster_moved_rows": counter("Rows that were saved while requests waited for these."),
        "cluster_last_pause_seconds": gauge("Seconds for which requests of the slots waited at the last move."),
        "cluster_worst_pause_seconds": gauge("The longest of them."),
        "cluster_last_error": text("Why the last move that was called off was, - without one (text)."),
        "parked_requests": gauge("Requests that wait now, as the slot of their key is between two secondaries."),
        "parked_refused": counter(
            "Requests that waited in vain, or found no room to wait (Moving).", "ckv_parked_requests_refused_total"),
    }),
    ("Cluster", ("secondary",), {
        "cluster_joined": gauge("1 if a primary has taken it in."),
        "cluster_slots": gauge("Slots that it owns by the map."),
        "cluster_turned_away": counter("Requests for slots that it does not serve (NotOwner)."),
        "cluster_warmed": counter("Records that it loaded, or was sent, as they were in memory where slots came from."),
    }),
    ("Records", ("secondary",), {
        "write_mode": label("evict, behind or through (text)."),
        "policy": label("lru, lfu, fifo or s3fifo (text)."),
        "capacity": gauge("Records that memory holds at most.", "ckv_capacity_records"),
        "records": gauge("Records in memory."),
        "records_bytes": gauge("Bytes of memory that they take, with what it costs to keep them."),
        "records_max_bytes": gauge("Their bound (--memory-max); 0 for none."),
        "records_clean": gauge(
            "Records in memory whose value the database has; what the others have, a kill -9 would lose."),
        "records_expiring": gauge("Records in memory that expire at some time, or have and are about to leave."),
        "expired_keys": counter("Records that had expired, and were taken out of memory for it."),
        "absent_keys": gauge("Keys that are known not to exist, so that asking again costs no query."),
        "absent_bytes": gauge("Bytes of memory that they take, 16 MiB at most."),
        "evicted_keys": counter("Records that left memory for others."),
        "dropped_records": counter("Records that were lost that way, because there is no persistent node."),
    }),
    ("Reads", ("secondary",), {
        "keyspace_hits": counter(
            "Reads that found a record, be it for a GET or for an update: the sum of the next three."),
        "hits_memory": counter("Reads that memory answered.", "ckv_hits_total", tier="memory"),
        "hits_pending": counter(
            "Reads that were answered by a record on its way to the database.", "ckv_hits_total", tier="pending"),
        "hits_persistent": counter("Reads that the database had the record for.", "ckv_hits_total", tier="persistent"),
        "keyspace_misses": counter("Reads that found no record: the sum of the next two."),
        "misses": counter(
            "Reads of no record for which the database was asked, if there is one.",
            "ckv_misses_total", tier="persistent"),
        "absent_hits": counter(
            "Reads of no record that the database was not asked for: known to be none, expired or deleted.",
            "ckv_misses_total", tier="memory"),
    }),
    ("Calls", ("primary", "secondary"), {
        "call_seconds": histogram(
            "Seconds that calls for single keys took, by the method that carried them out. Those that compiled code "
            "answers together, or passes on in one message, took as long as all of them."),
    }),
    ("Pending", ("secondary",), {
        "pending_records": gauge(
            "Rows (values and deletions) that the database has still to learn, parked ones included."),
        "pending_max_records": gauge("Their bound (--pending-max)."),
        "pending_bytes": gauge("Bytes of memory that they take."),
        "pending_max_bytes": gauge("Their bound (--pending-max-bytes)."),
        "pending_oldest_seconds": gauge(
            "Age of the oldest row in seconds, parked ones left out; 0 when there is none."),
        "parked_records": gauge("Rows that the database refused; they stay readable, and RETRY queues them again."),
        "writes_waiting_for_room": gauge("PUTs and DELs that wait now because the bound is reached."),
        "refused_for_room": counter("PUTs and DELs that were refused because no room came free (NoRoom)."),
    }),
    ("Database", ("secondary",), {
        "persistent_node": label("Its address without the password, - for none (text)."),
        "database_state": state(
            "up; slow: a statement took more than half a second not long ago; hung: it does not answer; down: it "
            "cannot be reached or answers with errors; connecting: nothing was heard yet; - for none (text).",
            *get_args(State)),
        "database_state_seconds": gauge("Seconds for which that is so."),
        "database_reason": text("Why it is not up, - when it is (text)."),
        "database_connected": gauge("1 if it is up or slow, 0 if not; nobody asks it while there is nothing to do."),
        "database_readable": gauge(
            "1 if it has answered reads since it is in this state, be it down or hung for writes; 0 if not."),
        "database_lost_count": counter(
            "Times that it was hung or down after it had been up or slow.", "ckv_database_lost_total"),
        "clock_skew_seconds": gauge(
            "By how many seconds its clock was ahead of ours, below 0 behind, at the last connect."),
        "expired_rows_purged": counter("Rows that had expired and that this node deleted, a minute later or more."),
        "purge_lag_seconds": gauge(
            "Seconds since the last whole walk for such rows began, or since there is a reason for one; 0 before that. "
            "Nodes take turns."),
        "retries": counter("Attempts (to connect, load or flush) that failed and were made again."),
        "pool_size": gauge("Workers that write, and as many that read, each with its own connection."),
        "loads": counter("Keys that were looked for, once for all that wait for the same key."),
        "loads_shared": counter("Requests that joined a load which was on its way already."),
        "loads_queued": gauge("Keys that wait now for a query."),
        "load_queries": counter(
            "Queries that were begun, each for up to 500 of these keys, and 4 MiB or one larger value."),
        "load_failures": counter("Queries that failed; their keys go into the next ones."),
        "load_locks": counter(
            "Queries that met a row locked by somebody else; they are split, and such rows are waited for."),
        "load_refusals": counter("Reads and DELs that failed at once, as the database was hung or down."),
        "load_timeouts": counter("Loads that were not answered within --load-timeout while somebody waited."),
        "commit_timeouts": counter("PUTs and DELs that were answered with CommitTimeout; the write stays queued."),
        "flushes": counter("Batches that were committed."),
        "flushed_rows": counter("Rows in them, values and deletions."),
        "flush_failures": counter("Batches that failed and were queued again."),
        "flush_seconds_total": counter("Seconds that the batches took which did not fail.", "ckv_flush_seconds_total"),
        "flush_seconds_max": gauge("Seconds that the slowest of them took."),
    }),
) for name, row in rows.items())  # fmt: skip


NO_TLS: Final[Info] = {"tls_handshakes": 0, "tls_handshake_failures": 0, "tls_certificate_expires": 0}
"""What a node says of TLS that does not speak it."""


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
        "database_readable": int(health is not None and health.is_read),
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
        pattern = figure.name.replace(figure.wildcard, ".+") if figure.wildcard else figure.name
        lines = [f"{name} {left.pop(name)}" for name in list(left) if re.fullmatch(pattern, name)]
        groups.setdefault(figure.group, []).extend(lines)
    groups["Others"] = [f"{name} {value}" for name, value in left.items()]
    return "\n\n".join("\n".join([f"# {group}", *lines]) for group, lines in groups.items() if lines)
