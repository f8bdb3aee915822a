"""The figures of a node as the text of Redis's INFO, which clients and exporters read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ckv.protocol.failures import by_prefix
from ckv.protocol.latencies import Histogram
from ckv.protocol.slow import SlowLog

Figures = Mapping[str, int | float | str]
"""What the node's own INFO answers; see ``ckv/node/figures.py``."""

Sections = dict[str, dict[str, object]]
"""The lines of each section, in their order."""

EVERYTHING: Final = frozenset({"all", "everything"})
"""Names that stand for all sections."""

DEFAULT: Final = "default"
"""The name that stands for those that are told who names none."""

UNASKED: Final = frozenset({"commandstats"})
"""The sections that are not among these, as in Redis."""

_REDIS: Final = {"PUT": "SET"}
"""What methods are called there, where it is something else."""

OWN: Final = "Ckv"
"""The section with the figures as they are."""

REDIS_VERSION: Final = "7.2.0"
"""The version of Redis whose commands are meant: clients ask before they use what is newer."""


def sections(
    figures: Figures, run_id: str, now: float, slow: SlowLog, *, has_cluster_clients: bool = False
) -> Sections:
    """The sections; what only Redis has is left out, but for what clients look at."""

    def number(name: str) -> int | float | str:
        return figures.get(name, 0)

    rss = int(number("used_memory_rss"))
    used = int(number("records_bytes")) + int(number("pending_bytes")) + int(number("absent_bytes"))
    seconds = int(number("uptime_in_seconds"))
    times = slow.latencies.told()
    commands: Sections = {
        "Server": {
            "redis_version": REDIS_VERSION,
            "ckv_version": number("ckv_version"),
            "redis_mode": "cluster" if has_cluster_clients else "standalone",
            "os": "Linux",
            "process_id": number("process_id"),
            "run_id": run_id,
            "tcp_port": number("tcp_port"),
            "server_time_usec": int(now * 1_000_000),
            "uptime_in_seconds": seconds,
            "uptime_in_days": seconds // 86_400,
        },
        "Clients": {
            "connected_clients": number("connected_clients"),
            "maxclients": number("maxclients"),
            "blocked_clients": 0,
        },
        "Memory": {
            "used_memory": used or rss,
            "used_memory_human": f"{(used or rss) / 2**20:.2f}M",
            "used_memory_rss": rss,
            "maxmemory": number("records_max_bytes"),
            "maxmemory_policy": f"allkeys-{figures['policy']}" if "policy" in figures else "noeviction",
        },
        "Persistence": {"loading": 0, "async_loading": 0, "rdb_bgsave_in_progress": 0, "aof_enabled": 0},
        "Stats": {
            "total_connections_received": number("total_connections_received"),
            "total_commands_processed": number("total_commands_processed"),
            "rejected_connections": number("rejected_connections"),
            "expired_keys": number("expired_keys"),
            "evicted_keys": number("evicted_keys"),
            "keyspace_hits": number("keyspace_hits"),
            "keyspace_misses": number("keyspace_misses"),
            "total_error_replies": number("total_error_replies"),
        },
        "Replication": {"role": "master", "connected_slaves": 0},
        "CPU": {name: number(name) for name in ("used_cpu_sys", "used_cpu_user")},
        "Modules": {},
        "Commandstats": {f"cmdstat_{_REDIS.get(name, name).lower()}": _told(one) for name, one in times.items()},
        "Errorstats": {f"errorstat_{code}": f"count={count}" for code, count in by_prefix(slow.errors.by_code).items()},
        "Cluster": {"cluster_enabled": int(has_cluster_clients)},
        "Keyspace": {},
        # Most clients make one table of all sections, and look there whether it is a master.
        OWN: {"ckv_role" if name == "role" else name: figure for name, figure in figures.items()},
    }
    if "records" in figures:
        keys = int(number("records")) + int(number("pending_records"))
        if keys:
            commands["Keyspace"]["db0"] = f"keys={keys},expires={number('records_expiring')},avg_ttl=0"
    return commands


def _told(calls: Histogram) -> str:
    """What Redis says of a command, as far as ckv counts it."""
    count, microseconds = sum(calls.counts), calls.seconds * 1_000_000
    return f"calls={count},usec={microseconds:.0f},usec_per_call={microseconds / count:.2f}"


def text_of_sections(found: Sections, names: Sequence[str]) -> str:
    """The sections with these names (in lower case) as text; where there are none, those that Redis tells then.

    >>> text_of_sections({"A": {"x": 1}, "B": {"y": 2}}, ["b"])
    '# B\\r\\ny:2\\r\\n'
    """
    wanted = frozenset(names or {DEFAULT})
    parts = [
        "".join((f"# {title}\r\n", *(f"{name}:{value}\r\n" for name, value in lines.items())))
        for title, lines in found.items()
        if title.lower() in wanted or wanted & EVERYTHING or (DEFAULT in wanted and title.lower() not in UNASKED)
    ]
    return "\r\n".join(parts)
