"""The figures of a node as the text of Redis's INFO, which clients and exporters read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

Figures = Mapping[str, int | float | str]
"""What the node's own INFO answers; see ``ckv/node/figures.py``."""

Sections = dict[str, dict[str, object]]
"""The lines of each section, in their order."""

EVERYTHING: Final = frozenset({"all", "everything", "default"})
"""Names that stand for all sections."""

OWN: Final = "Ckv"
"""The section with the figures as they are."""

REDIS_VERSION: Final = "7.2.0"
"""The version of Redis whose commands are meant: clients ask before they use what is newer."""


def sections(figures: Figures, run_id: str, now: float, *, has_cluster_clients: bool = False) -> Sections:
    """The sections; what only Redis has is left out, but for what clients look at."""

    def number(name: str) -> int | float | str:
        return figures.get(name, 0)

    rss = int(number("used_memory_rss"))
    used = int(number("records_bytes")) + int(number("pending_bytes")) + int(number("absent_bytes"))
    seconds = int(number("uptime_in_seconds"))
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
        },
        "Replication": {"role": "master", "connected_slaves": 0},
        "CPU": {name: number(name) for name in ("used_cpu_sys", "used_cpu_user")},
        "Modules": {},
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


def text_of_sections(found: Sections, names: Sequence[str]) -> str:
    """The sections with these names (in lower case) as text, all of them where there are none.

    >>> text_of_sections({"A": {"x": 1}, "B": {"y": 2}}, ["b"])
    '# B\\r\\ny:2\\r\\n'
    """
    wanted = EVERYTHING if not names else frozenset(names)
    parts = [
        "".join((f"# {title}\r\n", *(f"{name}:{value}\r\n" for name, value in lines.items())))
        for title, lines in found.items()
        if wanted & EVERYTHING or title.lower() in wanted
    ]
    return "\r\n".join(parts)
