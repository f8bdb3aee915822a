"""What a node says of itself and of its commands: COMMAND, INFO, CONFIG GET, and what monitoring asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any, Final, cast

from ckv.protocol.resp.methods import CarryOut, shown
from ckv.protocol.resp.parsing import Request
from ckv.protocol.resp.replies import ReplyError, Simple, Text, array, bulk, encode, integer
from ckv.protocol.resp.session import RespSession
from ckv.protocol.slow import KEPT
from ckv.redis.connection import NONE, Sub, refuse, simply, subcommands
from ckv.redis.info import Figures, sections, text_of_sections
from ckv.redis.row import FREE, SYNTAX, Facts, Row, call, integer_of, keys_in, text_of, wrong_count
from ckv.values import to_bytes

SLOW_SHOWN: Final = 10
"""Slow requests that are told to whoever does not say how many."""

_OVERHEAD_BYTES: Final = 64
"""What a record takes beside its key and its value, about."""

# --- COMMAND ---------------------------------------------------------------------------------------------------------


_CATEGORIES: Final = {"readonly": "read", "write": "write"}


def _described(row: Row) -> list[object]:
    """A row as COMMAND tells it: https://redis.io/docs/latest/commands/command/."""
    first, last, step = row.keys
    flags = frozenset(map(Simple, (*row.flags, "movablekeys") if row.key_count else row.flags))
    categories = frozenset(Simple(f"@{name}") for name in (row.group, _CATEGORIES.get(row.flags[0], "fast")))
    return [row.name, row.arity, flags, first, last, step, categories, [], _key_specs(row), []]


def _key_specs(row: Row) -> list[object]:
    """Which parts of a request are keys: https://redis.io/docs/latest/develop/reference/key-specs/."""
    first, last, step = row.keys
    if first:
        kind, found = "range", {"lastkey": last if last < 0 else last - first, "keystep": step, "limit": 0}
    elif row.key_count:
        kind, found = "keynum", {"keynumidx": 0, "firstkey": 1, "keystep": row.key_step}
    else:
        return []
    flags = {Simple("RO"), Simple("access")} if "readonly" in row.flags else {Simple("RW"), Simple("update")}
    index = {"type": Simple("index"), "spec": {"index": first or row.key_count}}
    return [{"flags": frozenset(flags), "begin_search": index, "find_keys": {"type": Simple(kind), "spec": found}}]


def _documented(row: Row) -> dict[str, object]:
    return {"summary": row.help, "since": "1.0.0", "group": row.group, "complexity": "O(1) for each key"}


def _named(facts: Facts, names: Request) -> Iterable[Row | None]:
    return (facts.rows.get(shown(name).lower()) for name in names)


def _command_info(facts: Facts, session: RespSession, request: Request) -> bytes:
    rows = _named(facts, request[2:]) if len(request) > 2 else facts.rows.values()
    return encode([None if row is None else _described(row) for row in rows], session.protocol)


def _command_docs(facts: Facts, session: RespSession, request: Request) -> bytes:
    rows = _named(facts, request[2:]) if len(request) > 2 else facts.rows.values()
    return encode({row.name: _documented(row) for row in rows if row is not None}, session.protocol)


def _command_count(facts: Facts, _session: RespSession, _request: Request) -> bytes:
    return integer(len(facts.rows))


def _command_list(facts: Facts, session: RespSession, _request: Request) -> bytes:
    return encode(list(facts.rows), session.protocol)


def _command_keys(facts: Facts, _session: RespSession, request: Request) -> bytes:
    row = facts.rows.get(shown(request[2]).lower())
    asked = request[2:]
    if row is None:
        raise ReplyError("ERR Invalid command specified")
    if not row.has(asked):
        raise ReplyError("ERR Invalid number of arguments specified for command")
    keys = keys_in(row, asked)
    if not keys:
        raise ReplyError("ERR The command has no key arguments")
    return array(list(map(bulk, keys)))


_COMMAND: Final[dict[str, tuple[int, Sub]]] = {
    "count": (2, _command_count),
    "info": (-2, _command_info),
    "docs": (-2, _command_docs),
    "list": (2, _command_list),
    "getkeys": (-3, _command_keys),
}


def command(facts: Facts) -> CarryOut:
    sub = subcommands("command", _COMMAND)(facts)
    return lambda session, request: (
        sub(session, request) if len(request) > 1 else _command_info(facts, session, request)
    )


# --- INFO, CONFIG ----------------------------------------------------------------------------------------------------


def info(facts: Facts) -> CarryOut:
    handler = facts.handlers["INFO"]

    def carry_out(session: RespSession, request: Request) -> Any:
        names = [shown(name).lower() for name in request[1:]]

        def reply(session: RespSession, result: object) -> bytes:
            found = sections(
                *(cast(Figures, result), facts.run_id, facts.now(), facts.slow),
                has_cluster_clients=facts.placing.view is not None,
            )
            return encode(Text(text_of_sections(found, names)), session.protocol)

        return call(session, handler, (), reply)

    return carry_out


def _config_get(facts: Facts, session: RespSession, request: Request) -> bytes:
    patterns = [shown(pattern).lower() for pattern in request[2:]]
    limits = facts.limits
    told = {
        "save": "",
        "appendonly": "no",
        "databases": "1",
        "maxclients": str(limits.max_connections),
        "maxmemory": "0",
        "maxmemory-policy": "noeviction",
        "proto-max-bulk-len": str(limits.max_value_bytes),
        "cluster-enabled": "no" if facts.placing.view is None else "yes",
        "cluster-require-full-coverage": "no",
        "timeout": "0",
    }
    return encode(
        {name: value for name, value in told.items() if any(fnmatchcase(name, pattern) for pattern in patterns)},
        session.protocol,
    )


_CONFIG: Final[dict[str, tuple[int, Sub]]] = {
    "get": (-3, _config_get),
    "set": (-4, refuse("CONFIG SET: ckv is configured by its command line and its environment")),
    "rewrite": (2, refuse("CONFIG REWRITE: ckv has no configuration file")),
    "resetstat": (2, refuse("CONFIG RESETSTAT: the figures of ckv count from its start")),
}

# --- SLOWLOG ---------------------------------------------------------------------------------------------------------


def _of_slow(count: int, answer: Callable[[list[Any]], object]) -> Sub:
    """What ``answer`` makes of up to so many slow requests; 0 has them forgotten."""

    def carry_out(facts: Facts, session: RespSession, _request: Request) -> Any:
        def reply(session: RespSession, result: Any) -> bytes:
            return encode(answer(result), session.protocol)

        return call(session, facts.handlers["SLOWLOG"], (count,), reply)

    return carry_out


def _slow_get(facts: Facts, session: RespSession, request: Request) -> Any:
    if len(request) > 3:
        raise wrong_count("slowlog|get")
    count = integer_of(request[2]) if len(request) > 2 else SLOW_SHOWN
    if count < -1:
        raise ReplyError("ERR count should be greater than or equal to -1")
    return _of_slow(KEPT, lambda entries: entries[: count if count >= 0 else KEPT])(facts, session, request)


_SLOWLOG: Final[dict[str, tuple[int, Sub]]] = {
    "get": (-2, _slow_get),
    "len": (2, _of_slow(KEPT, len)),
    "reset": (2, _of_slow(0, lambda _entries: Simple("OK"))),
}

# --- what monitoring asks --------------------------------------------------------------------------------------------


def _nothing(_facts: Facts, session: RespSession, _request: Request) -> bytes:
    return encode([], session.protocol)


def _time(facts: Facts, _session: RespSession, _request: Request) -> bytes:
    seconds, part = divmod(int(facts.now() * 1_000_000), 1_000_000)
    return array([bulk(str(seconds)), bulk(str(part))])


def _last_save(facts: Facts, _session: RespSession, _request: Request) -> bytes:
    return integer(int(facts.started))


def _of_value(facts: Facts, session: RespSession, key: bytes, answer: Any) -> Any:
    """What ``answer`` makes of the bytes of the value, or no value."""

    def reply(session: RespSession, result: Any) -> bytes:
        found, value = result
        return encode(answer(to_bytes(value)) if found else None, session.protocol)

    return call(session, facts.handlers["GET"], (text_of(key),), reply)


def _memory_usage(facts: Facts, session: RespSession, request: Request) -> Any:
    if len(request) > 3 and (len(request) != 5 or request[3].upper() != b"SAMPLES"):
        raise ReplyError(SYNTAX)
    size = len(request[2]) + _OVERHEAD_BYTES
    return _of_value(facts, session, request[2], lambda value: size + len(value))


def _encoding(value: bytes) -> str:
    digits = value[1:] if value[:1] == b"-" else value
    if digits.isdigit() and len(digits) < 19 and (digits[0] != 48 or value == b"0"):
        return "int"
    return "embstr" if len(value) <= 44 else "raw"


def _object_encoding(facts: Facts, session: RespSession, request: Request) -> Any:
    return _of_value(facts, session, request[2], _encoding)


def _object_number(number: int) -> Sub:
    return lambda facts, session, request: _of_value(facts, session, request[2], lambda _value: number)


_MEMORY: Final[dict[str, tuple[int, Sub]]] = {
    "usage": (-3, _memory_usage),
    "doctor": (2, refuse("MEMORY DOCTOR: ask INFO")),
}
_OBJECT: Final[dict[str, tuple[int, Sub]]] = {
    "encoding": (3, _object_encoding),
    "freq": (3, refuse("OBJECT FREQ: ckv does not tell how often a record was used")),
    "idletime": (3, _object_number(0)),
    "refcount": (3, _object_number(1)),
}
_MODULE: Final[dict[str, tuple[int, Sub]]] = {"list": (2, _nothing)}
_LATENCY: Final[dict[str, tuple[int, Sub]]] = {"latest": (2, _nothing)}

ROWS: Final[tuple[Row, ...]] = (
    Row("COMMAND [subcommand]", -1, FREE, NONE, "anyone", "server",
        "List the commands; COUNT, INFO, DOCS, LIST and GETKEYS.", command),
    Row("INFO [section ...]", -1, FREE, NONE, "operator", "server",
        "Show the figures of the node itself, those of Redis first, and all of ckv's own in the section `ckv`.", info,
        ("INFO",)),
    Row("CONFIG GET pattern", -2, FREE, NONE, "operator", "server",
        "Answer some settings under the names that Redis has for them; none can be set.",
        subcommands("config", _CONFIG)),
    Row("TIME", 1, FREE, NONE, "anyone", "server", "Answer seconds and microseconds of the node's clock.",
        simply(_time)),
    Row("LASTSAVE", 1, FREE, NONE, "anyone", "server", "Answer when the node was started: it saves all the time.",
        simply(_last_save)),
    Row("MODULE LIST", -2, FREE, NONE, "operator", "server", "Answer that there are none.",
        subcommands("module", _MODULE)),
    Row("SLOWLOG subcommand", -2, FREE, NONE, "operator", "server",
        "GET [count], LEN and RESET: the requests that had to wait for their answers longer than `--slow-time`.",
        subcommands("slowlog", _SLOWLOG), ("SLOWLOG",)),
    Row("LATENCY LATEST", -2, FREE, NONE, "operator", "server",
        "Answer that there are no events: `SLOWLOG` has what took long.", subcommands("latency", _LATENCY)),
    Row("MEMORY USAGE key", -2, ("readonly",), (2, 2, 1), "reader", "server",
        "Answer how many bytes of memory a record takes, about.", subcommands("memory", _MEMORY), ("GET",)),
    Row("OBJECT subcommand key", -2, ("readonly",), (2, 2, 1), "reader", "generic",
        "ENCODING, as Redis would have it; IDLETIME is 0 and REFCOUNT 1 for every key, and FREQ is not told.",
        subcommands("object", _OBJECT), ("GET",)),
)  # fmt: skip
"""What is about the node."""
