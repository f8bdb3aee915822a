"""What TLS costs, beside Redis over TLS; and what a login costs, beside a node that asks for none."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from bench import redis_benchmark
from bench.generator import Load
from bench.part import CPU, THOUSAND_CALLS, Context, Part, Target
from bench.parts.theirs import CALLS, CONNECTIONS, KEYS, QUICK_TIMES, REQUESTS
from bench.results import Cell
from bench.servers import IN_RESP, Contender, Servers
from bench.turns import in_turn, prefill
from ckv.security import secrets
from ckv.security.rights import Rights
from ckv.security.users import User
from tests.support.certificate import Authority

OPS = ("put", "get")
DEPTHS = (1, 16)
MUST_AND_AIM = {1: (0.95, 1.1), 16: (0.9, 1.5)}
"""Against Redis over TLS, by depth."""

LOGGED_IN, ANYBODY = "logged in", "no users"
"""The contenders of the login: a node with users, whose clients have logged in, and one without."""

USER, SECRET = "bench", "a-secret-of-the-benchmark"
LOGIN_MUST_AND_AIM = 0.95, 1.0


def measure(context: Context) -> list[Cell]:
    """TLS, then the login."""
    return [*_tls(context), *_login(context)]


def _tls(context: Context) -> list[Cell]:
    loads = [Load(op=op, depth=depth, seconds=context.seconds) for depth in DEPTHS for op in OPS]
    settings = [(Cell({"what": "TLS", "op": load.op, "depth": load.depth}), load) for load in loads]
    with tempfile.TemporaryDirectory(prefix="ckv-bench-") as folder, Servers() as servers:
        certified = Authority(Path(folder)).issue("server")
        files = [f"--tls-cert={certified.path}", f"--tls-key={certified.key_path}"]
        node = replace(servers.secondary(options=[*files, "--tls-plain=all"]), tls=True)
        contenders = [node, servers.redis_by_tls(certified), replace(node, name=IN_RESP, protocol="resp")]
        prefill(contenders, loads[0])
        for depth in DEPTHS:
            rounds = context.shallow_rounds if depth == 1 else context.rounds
            at_depth = [(cell, load) for cell, load in settings if load.depth == depth]
            in_turn(context, at_depth, contenders, rounds, f"TLS, depth {depth}")
    return [cell for cell, _ in settings]


def _login(context: Context) -> list[Cell]:
    cells = [Cell({"what": "login", "op": op, "depth": depth}) for depth in DEPTHS for op in OPS]
    with tempfile.TemporaryDirectory(prefix="ckv-bench-") as folder, Servers() as servers:
        users = Path(folder, "users")
        users.touch(0o600)
        users.write_text(f"{User(USER, Rights('write'), (secrets.kept(SECRET.encode(), 'sha256'),))}\n")
        contenders = [servers.secondary(LOGGED_IN, options=[f"--users={users}"]), servers.secondary(ANYBODY)]
        for number in range(context.rounds):
            context.say(f"login: round {number + 1} of {context.rounds}")
            for cell in cells:
                for contender in contenders if number % 2 == 0 else contenders[::-1]:
                    _by_redis_benchmark(context, cell, contender)
    return cells


def _by_redis_benchmark(context: Context, cell: Cell, contender: Contender) -> None:
    depth = int(cell.axes["depth"])
    options = ["-c", str(CONNECTIONS), "-P", str(depth)]
    if contender.name == LOGGED_IN:
        options += ["--user", USER, "-a", SECRET]
    calls = CALLS[depth] // (QUICK_TIMES if context.quick else 1)
    request = REQUESTS[str(cell.axes["op"])]
    cell.add(contender.name, redis_benchmark.run(contender, calls, request, keys=KEYS, options=options))


def _targets(depth: int) -> list[Target]:
    def is_of_depth(cell: Cell) -> bool:
        return cell.matches(what="TLS", depth=depth)

    return [
        Target("TLS: a secondary against Redis", is_of_depth, "ckv", "Redis", *MUST_AND_AIM[depth]),
        Target("TLS, RESP: a secondary against Redis", is_of_depth, IN_RESP, "Redis", *MUST_AND_AIM[depth]),
    ]


PART = Part(
    name="tls",
    title="TLS beside Redis over TLS, and a login",
    text=(
        "A secondary and Redis over TLS 1.3 with TLS_AES_256_GCM_SHA384, the same certificate (P-256) and the same "
        "OpenSSL; *RESP* is the same secondary, asked as Redis is. And `redis-benchmark` without TLS, "
        f"{CONNECTIONS} connections: of a secondary with users, where all have logged in, beside one without."
    ),
    measure=measure,
    columns=(THOUSAND_CALLS, CPU),
    one_row_each=True,
    ratios=(("ckv", "Redis"), (IN_RESP, "Redis"), (LOGGED_IN, ANYBODY)),
    targets=(
        *(target for depth in DEPTHS for target in _targets(depth)),
        Target("a login against none", lambda c: c.matches(what="login"), LOGGED_IN, ANYBODY, *LOGIN_MUST_AND_AIM),
    ),
)
