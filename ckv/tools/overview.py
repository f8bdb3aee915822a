"""The figures of a whole cluster as a table: a line for each node, and a line for each problem."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ckv.client import Client
from ckv.errors import ProtocolError
from ckv.node.figures import Info
from ckv.node.problems import problems
from ckv.tools.columns import columns

HEAD: Final = (
    *("node", "role", "state", "cpu", "calls/s", "errors/s", "clients", "records", "full", "hits", "from mem"),
    *("pending", "age", "parked", "database"),
)

NOTHING: Final = "-"

MARK: Final = "! "
"""How the line of a problem begins."""

SERVING: Final = "serving"


@dataclass(frozen=True, slots=True)
class Seen:
    """What one node has said at one moment."""

    address: str
    trouble: str
    """Why it has said nothing; empty where it has."""
    info: Info


def survey(client: Client) -> list[Seen]:
    """What all nodes say that this one knows, itself first. Raises what the client raises."""
    found = client.call("NODES")
    match found:
        case [*rows]:
            return [_seen(row) for row in rows]
    raise ProtocolError(f"a NODES was answered with {type(found).__name__}, not a list")


def _seen(row: object) -> Seen:
    match row:
        case [str() as address, str() as trouble, [*pairs]]:
            return Seen(address, trouble, dict(map(_figure, pairs)))
    raise ProtocolError("a NODES was answered with something else than an address, a trouble and figures")


def _figure(pair: object) -> tuple[str, int | float | str]:
    match pair:
        case [str() as name, (int() | float() | str()) as value]:
            return name, value
    raise ProtocolError("a NODES was answered with something else than figures")


def table(before: Sequence[Seen], now: Sequence[Seen], seconds: float) -> list[str]:
    """The lines. What is counted is that of the time between the two looks; ``seconds``: how long that was."""
    return rows(before, now, seconds) + wrong(now)


def rows(before: Sequence[Seen], now: Sequence[Seen], seconds: float) -> list[str]:
    """Those of the nodes, and a head."""
    earlier = {seen.address: seen.info for seen in before}
    cells = [list(HEAD), *(_row(seen, earlier.get(seen.address, {}), seconds) for seen in now)]
    return columns(cells, words={0, 1, 2, len(HEAD) - 1})


def wrong(now: Sequence[Seen]) -> list[str]:
    """A line for each problem, in the words of the status page, with what to look for in the runbook."""
    return [f"{MARK}{_name(seen)}: {said}" for seen in now for said in _said(seen)]


def _said(seen: Seen) -> Iterator[str]:
    if seen.trouble:
        yield f"it does not tell its figures: {seen.trouble}"
    for problem in problems(seen.info, {}):
        yield problem.sentence + (f" [{problem.section}]" if problem.section else "")


def _row(seen: Seen, before: Info, seconds: float) -> list[str]:
    info = seen.info

    def rate(*names: str) -> float | None:
        if not all(name in info and name in before for name in names) or _is_another(info, before):
            return None
        return sum(_number(info, name) - _number(before, name) for name in names) / max(seconds, 0.001)

    reads = rate("keyspace_hits", "keyspace_misses")
    hits, memory = rate("keyspace_hits"), rate("hits_memory")
    cpu, calls = rate("used_cpu_sys", "used_cpu_user"), rate("total_commands_processed")
    failed = rate("total_error_replies")
    return [
        _name(seen),
        str(info.get("role", NOTHING)),
        _state(seen),
        NOTHING if cpu is None else f"{100 * cpu:.0f}%",
        NOTHING if calls is None else f"{calls:,.0f}",
        NOTHING if failed is None else f"{failed:,.0f}",
        _count(info, "connected_clients"),
        _count(info, "records"),
        _share(info.get("records"), info.get("capacity")),
        _share(hits, reads),
        _share(memory, reads),
        _count(info, "pending_records"),
        f"{_number(info, 'pending_oldest_seconds'):.1f}s" if "pending_oldest_seconds" in info else NOTHING,
        _count(info, "parked_records"),
        str(info.get("database_state", NOTHING)),
    ]


def _is_another(info: Info, before: Info) -> bool:
    """Whether the node was started anew, so that it counts from 0."""
    return info.get("process_id") != before.get("process_id") or (
        _number(info, "uptime_in_seconds") < _number(before, "uptime_in_seconds")
    )


def _name(seen: Seen) -> str:
    name = seen.info.get("name", NOTHING)
    return seen.address if name in (NOTHING, "") else f"{seen.address} {name}"


def _state(seen: Seen) -> str:
    if seen.trouble:
        return "away"
    if seen.info.get("draining"):
        return "stops"
    return SERVING if seen.info.get("ready", 1) else "not ready"


def _count(info: Info, name: str) -> str:
    return f"{int(_number(info, name)):,}" if name in info else NOTHING


def _share(part: Any, whole: Any) -> str:
    """In percent; nothing of nothing is not known."""
    return f"{100 * part / whole:.0f}%" if part is not None and whole else NOTHING


def _number(info: Info, name: str) -> float:
    value = info.get(name, 0)
    return value if isinstance(value, (int, float)) else 0.0
