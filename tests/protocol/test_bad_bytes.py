"""Peers that send nonsense, too much, too slowly, or never read: real nodes over real sockets.

Every test keeps another client asking meanwhile (:class:`~tests.net.watch.Watch`), who must always be served in time,
and looks at the memory of the process. The tests above the line share one cluster; those below it, which are about
memory, have one each.
"""

from __future__ import annotations

import resource
import socket
import struct
import sys
from collections.abc import Iterator
from itertools import chain, islice, product
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckv.protocol.batch import BATCH_REQUESTS
from ckv.protocol.limits import RECV_BYTES_OF_LARGE, Limits
from tests.net.watch import MIB, Watch
from tests.protocol.attacks import MESSAGE, NOISE, ROLES, UNREAD, finish, pick, port_of, send_until_closed
from tests.support.eventually import eventually
from tests.support.nodes import Node, Nodes
from tests.support.wire import RawClient, RemoteError, pack

LIMITS = Limits()
"""The nodes run with the default limits, whatever these are."""

NEVER_SPOKE = 4 * 1024
SPOKE = 52 * 1024
"""What an idle connection may take, by whether it has sent anything; docs/protocol.md has 2 KiB and 45 or 49 KiB."""

IDLE = 5_000
"""Connections, see the two above."""

PING = pack([0, 1, "PING", []])
PONG = [1, None, "PONG"]


# --- bytes that are no messages ------------------------------------------------------------------------------------

VALID = b"".join(
    pack(message)
    for message in (
        [0, 1, "PUT", ["random", b"bytes"]],
        [0, 2, "GET", ["random"]],
        [2, "PUT", ["random", "text"]],
        [0, 3, "DEL", ["random"]],
        [0, 4, "PING", []],
    )
)


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """Valid messages with a few bytes changed, removed or added: these get further than random bytes."""
    data = bytearray(VALID)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data) - 1))
        data[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(data)


def test_random_bytes(node: Node, watch: Watch) -> None:
    @settings(max_examples=100, deadline=None)
    @given(st.binary(min_size=1, max_size=200) | spoilt())
    def attack(data: bytes) -> None:
        with RawClient(node.address) as client:
            client.send(data)
            finish(client)

    attack()


def test_a_message_that_ends_too_early(node: Node, watch: Watch) -> None:
    message = pack([0, 1, "PUT", ["truncated", "x" * 40]])
    for end in range(1, len(message)):
        since = len(node.log)
        with RawClient(node.address) as client:
            client.send(message[:end])
            client.socket.shutdown(socket.SHUT_WR)
            with pytest.raises(ConnectionError):
                client.recv_response()
            node.wait_for_log(f"{port_of(client)} closed: ", since=since)


def test_an_end_when_the_buffer_is_full(node: Node, watch: Watch) -> None:
    """The Unpacker has no room for one more byte, and none may be needed to close the connection."""
    since = len(node.log)
    with RawClient(node.address) as client:
        client.send(struct.pack(">BI", 0xDB, 2**32 - 1) + bytes(LIMITS.max_message_bytes + RECV_BYTES_OF_LARGE))
        finish(client)
        node.wait_for_log(f"{port_of(client)} closed: ", since=since)


@pytest.mark.parametrize("where", [b"", b"\x94\x00\x01\xa3PUT\x92\xa1k"], ids=["message", "value"])
@pytest.mark.parametrize("kind", ["str", "bin", "array", "map", "ext"])
def test_a_huge_declared_length(node: Node, watch: Watch, kind: str, where: bytes) -> None:
    code = {"str": 0xDB, "bin": 0xC6, "array": 0xDD, "map": 0xDF, "ext": 0xC9}[kind]
    length = 2**32 - 1
    since = len(node.log)
    with RawClient(node.address) as client:
        client.send(where + struct.pack(">BI", code, length))
        watch.served(3)  # Nothing is allocated for it: the fixture looks.
        if kind in ("array", "map"):
            client.wait_closed()
        else:
            # What was declared may come, up to the limit of a message.
            send_until_closed(client, bytes(64 * 1024), LIMITS.max_message_bytes + 32 * MIB)
        node.wait_for_log(f"{port_of(client)} closed: ", since=since)


@pytest.mark.parametrize("opener", [b"\x91", b"\xdc\x00\x01", b"\x81\x01"], ids=["array", "array16", "map"])
def test_nesting(node: Node, watch: Watch, opener: bytes) -> None:
    for where in (b"", b"\x94\x00\x01\xa3PUT\x92\xa1k"):
        since = len(node.log)
        with RawClient(node.address) as client:
            client.send(where + opener * 10_000)
            client.wait_closed()
            node.wait_for_log(f"{port_of(client)} closed: ", since=since)


NO_REQUESTS = [
    None, True, 7, 1.5, "GET", b"GET", [], {}, msgpack.Timestamp(1),
    msgpack.ExtType(5, b"x"), msgpack.ExtType(0, b"x"), msgpack.ExtType(2, b"x"),
    [0], [1, 1, None, True], [3, 1, "PING", []], [-1, 1, "PING", []], ["0", 1, "PING", []], [None, 1, "PING", []],
    [0, [], "PING", []], [0, {}, "PING", []], [0, msgpack.ExtType(5, b"x"), "PING", []], [0, "x" * 65, "PING", []],
]  # fmt: skip
"""To none of these could be answered."""


def test_a_message_of_the_wrong_kind(node: Node, watch: Watch) -> None:
    for message in NO_REQUESTS:
        since = len(node.log)
        with RawClient(node.address) as client:
            client.send(pack(message))
            with pytest.raises(ConnectionError):
                print(message, client.recv_response())
            node.wait_for_log(f"{port_of(client)} closed: ", since=since)


# --- requests and notifications that are odd --------------------------------------------------------------------

CARRIED_OUT: list[tuple[Any, Any]] = [
    ([0, 1, b"PING", []], "PONG"),
    ([0, 2, "PING", None], "PONG"),
    ([0, 3, b"PING", None], "PONG"),
    ([0, -(2**63), "PING", []], "PONG"),
    ([0, 2**64 - 1, "PING", None], "PONG"),
    ([0, 4, b"PUT", [b"odd", b"1"]], True),
    ([0, 5, b"GET", ["odd"]], [True, b"1"]),
    ([0, 6, b"DEL", ["odd"]], True),
    ([0, 7, "BATCH", None], []),
    ([0, 20, b"BATCH", []], []),
]
"""What says in another way what is right, and the result."""

BAD = "BadArguments"
REFUSED: list[tuple[Any, str]] = [
    ([0, 1], BAD), ([0, 1, "PING"], BAD), ([0, 1, b"PING"], BAD), ([0, 1, "PING", [], 5], BAD),
    ([0, 1, "PING", None, None], BAD), ([0, 1, [], {}, 1.5, None, "x"], BAD),
    ([0, 1, "PING", {}], BAD), ([0, 1, "PING", {"a": 1}], BAD), ([0, 1, "PING", "x"], BAD), ([0, 1, "PING", 7], BAD),
    ([0, 1, "PING", False], BAD), ([0, 1, "PUT", b"kv"], BAD), ([0, 1, "PING", msgpack.ExtType(5, b"x")], BAD),
    ([0, 1, "GET", None], BAD), ([0, 1, b"GET", None], BAD), ([0, 1, b"GET", []], BAD), ([0, 1, "BATCH", {}], BAD),
    ([0, -1, "PING", {}], BAD), ([0, 2**64 - 1, "PING", {}], BAD),
    ([0, "1", "PING", []], BAD), ([0, b"1", "PING", []], BAD), ([0, None, "PING", []], BAD), ([0, 1.5, "GET", {}], BAD),
    ([0, True, "PING", []], BAD), ([0, "x" * 64, "PING"], BAD),
    ([0, 1, b"FLY", []], "UnknownMethod"), ([0, 1, b"\xff", None], "UnknownMethod"), ([0, 1, 5, None], "UnknownMethod"),
    ([0, 1, {}, None], "UnknownMethod"), ([0, 1, None, None], "UnknownMethod"), ([0, 1, [], []], "UnknownMethod"),
]  # fmt: skip
"""What is wrong, and the code of the answer."""

IGNORED = [
    [2], [2, "PING"], [2, "PING", [], 5], [2, 5, []], [2, [], []], [2, {}, []], [2, None, None], [2, "FLY", []],
    [2, b"PING", []], [2, "PING", {}], [2, "PING", None], [2, "PUT", None], [2, "PUT", ["k"]], [2, b"\xff", "x"],
    [2, msgpack.ExtType(5, b"x"), 7], [2, "BATCH", ["PING", []]], [2, b"BATCH", None],
]  # fmt: skip


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "all at once"])
def test_odd_messages_are_answered_and_nobody_is_cut_off(node: Node, watch: Watch, together: bool) -> None:
    messages = [message for message, _ in CARRIED_OUT] + [message for message, _ in REFUSED]
    with RawClient(node.address) as client:
        answers = []
        if together:
            client.send(b"".join(map(pack, [*IGNORED, *messages, *IGNORED])))
            answers = [client.recv_response() for _ in messages]
        else:
            for message in messages:
                client.send(pack(IGNORED[len(answers) % len(IGNORED)]) + pack(message))
                answers.append(client.recv_response())
        # Through a primary some of the answers come later than others.
        assert sorted(repr(answer.msgid) for answer in answers) == sorted(repr(message[1]) for message in messages)
        by_number = {message[1]: result for message, result in CARRIED_OUT}
        good = {answer.msgid: answer.result for answer in answers if answer.error is None}
        assert list(good.values()) == [by_number[msgid] for msgid in good]
        bad = [(repr(answer.msgid), answer.error.split(":")[0]) for answer in answers if answer.error is not None]
        assert sorted(bad) == sorted((repr(message[1]), code) for message, code in REFUSED)
        assert client.call("PING") == "PONG"


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        ("94 00 01 c4 04 50 49 4e 47 90", [1, 1, None, "PONG"]),
        ("93 02 c4 01 61 90", None),
        ("94 00 00 a4 50 49 4e 47 c0", [1, 0, None, "PONG"]),
    ],
)
def test_what_other_languages_send(node: Node, data: str, answer: object) -> None:
    with RawClient(node.address) as client:
        client.send(bytes.fromhex(data))
        if answer is not None:
            assert [1, *client.recv_response()] == answer
        assert client.call("PING") == "PONG"


def test_a_notification_by_bin_is_carried_out(node: Node, watch: Watch) -> None:
    with RawClient(node.address) as client:
        client.send(pack([2, b"PUT", ["notified", "1"]]))
        eventually(lambda: client.call("GET", "notified") == [True, "1"], what="the record")


@pytest.mark.parametrize("batch", ["BATCH", b"BATCH"])
def test_odd_requests_in_a_batch(node: Node, watch: Watch, batch: str | bytes) -> None:
    inner: list[object] = [
        b"PUT", ["in a batch", "1"], "PING", None, b"PING", {}, "PING", "x", b"FLY", None, b"BATCH", [], {}, [],
        b"GET", ["in a batch"], b"PING", [],
    ]  # fmt: skip
    with RawClient(node.address) as client:
        for _ in range(2):
            # What follows in the same read is served too, and BATCH by bin is in its place.
            client.send(pack([0, 100, batch, inner]) + pack([0, 200, "PING", []]))
            answers: dict[int, Any] = {}
            results: Any = None
            while len(answers) < 2 + (0 if results is None else sum(result is None for result in results)):
                answer = client.recv_response()
                answers[answer.msgid] = answer
                results = answers[100].result if 100 in answers else None
            assert answers[200].result == "PONG"
            for number, right in enumerate([True, "PONG", BAD, BAD, *["UnknownMethod"] * 3, [True, "1"], "PONG"]):
                result = results[number]
                if result is None:
                    later = answers[101 + number]
                    result = later.result if later.error is None else [later.error]
                if right in (BAD, "UnknownMethod"):
                    assert result[0].startswith(right)
                else:
                    assert result == right


# --- requests that are wrong ---------------------------------------------------------------------------------------


def test_a_map(node: Node, watch: Watch) -> None:
    """It is an argument of a wrong type, and no dict is made of it: see ``test_maps_with_keys_that_collide``."""
    values: list[object] = [{}, {"a": 1}, {"a": {"b": []}}]
    for value in values:
        with RawClient(node.address) as client:
            with pytest.raises(RemoteError, match=r"^BadArguments: "):
                client.call("PUT", "k", value)
            assert client.call("PING") == "PONG"


WRONG = [None, True, 0, -1, 2**64 - 1, 1.5, [], ["k"], [[b""]], msgpack.ExtType(5, b"k"), msgpack.Timestamp(1)]
"""What can be neither a key nor a value."""


def test_wrong_arguments(node: Node, watch: Watch) -> None:
    with RawClient(node.address) as client:
        for method, params, code in chain(
            (("PUT", [key, "v"], "BadArguments") for key in WRONG),
            (("PUT", ["k", value], "BadArguments") for value in WRONG),
            (("GET", [key], "BadArguments") for key in WRONG),
            (("DEL", [key], "BadArguments") for key in WRONG),
            (("PUT", ["k"] * count, "BadArguments") for count in (0, 1, 3, 100)),
            (("GET", ["k"] * count, "BadArguments") for count in (0, 2, 100)),
            (("DEL", ["k"] * count, "BadArguments") for count in (0, 2, 100)),
            (("PING", ["k"] * count, "BadArguments") for count in (1, 100)),
            ((name, [], "UnknownMethod") for name in ("", "FLY", "put", "PUT ", "PUT\0", "__init__", "x" * 100_000)),
            ((name, [], "UnknownMethod") for name in (b"put", b"\xff", "\udcff", *WRONG)),
        ):
            response = client.wait_for(client.request(method, *params))
            assert response.error.startswith(f"{code}: "), (method, params)
            assert len(response.error) < 200
            assert response.result is None
        assert client.call("PING") == "PONG"


@pytest.mark.parametrize("key", ["k" * 1025, b"\xff" * 1025, "\udcff" * 1025, "€" * 342, "k" * 100_000])
def test_a_key_that_is_too_long(node: Node, watch: Watch, key: str | bytes) -> None:
    with RawClient(node.address) as client:
        for method, *value in (("PUT", "v"), ("GET",), ("DEL",)):
            response = client.wait_for(client.request(method, key, *value))
            assert response.error.startswith("KeyTooLong: ")
        assert client.call("PING") == "PONG"


@pytest.mark.parametrize(
    "value",
    [
        b"v" * (MIB + 1),
        "v" * (MIB + 1),
        "\udcff" * (MIB + 1),
        "€" * (MIB // 3 + 1),
        b"v" * (3 * MIB),
        "\U0001f600" * (3 * MIB // 4),
    ],
    ids=["bin", "str", "no UTF-8", "characters", "3 times", "3 times, in wide characters"],
)
def test_a_value_that_is_too_large(node: Node, value: str | bytes) -> None:
    with Watch(node) as watch, RawClient(node.address) as client:
        client.call("PUT", "too large", "before")
        for _ in range(3):
            response = client.wait_for(client.request("PUT", "too large", value))
            assert response.error.startswith("ValueTooLarge: ")
        assert client.call("GET", "too large") == [True, "before"]
    assert watch.growth() < MESSAGE


def test_the_largest_key_and_value(node: Node) -> None:
    with Watch(node), RawClient(node.address) as client:
        for key, value in (("k" * 1024, "v" * MIB), (b"\xff" * 1024, b"\0" * MIB), ("€" * 341, "€" * (MIB // 3))):
            assert client.call("PUT", key, value) is True
            assert client.call("GET", key) == [True, value]
            assert client.call("DEL", key) is True


# --- peers that are slow -------------------------------------------------------------------------------------------


def test_a_byte_at_a_time(node: Node, watch: Watch) -> None:
    with RawClient(node.address) as client:
        for byte in pack([0, 1, "PUT", ["slow", "x" * 20]]) + PING:
            client.send(bytes([byte]))
            watch.served(1)
        assert [list(client.recv_response()) for _ in range(2)] == [[1, None, True], PONG]


def test_a_message_that_stays_unfinished(node: Node, watch: Watch) -> None:
    message = pack([0, 1, "PUT", ["unfinished", b"x" * 100_000]])
    clients = [RawClient(node.address) for _ in range(20)]
    for number, client in enumerate(clients):
        client.send(message[: 1 + number * len(message) // 20])
    watch.served(50)
    for number, client in enumerate(clients):
        client.send(message[1 + number * len(message) // 20 :])
        assert list(client.recv_response()) == [1, None, True]
        client.close()


# --- memory, each in a cluster of its own -----------------------------------------------------------------------------


def test_an_array_of_many_large_strings(fresh: Node) -> None:
    """Each is allowed; their sum is beyond what a message may have."""
    with Watch(fresh) as watch, RawClient(fresh.address) as client:
        client.send(b"\x94\x00\x01\xa3PUT\x92\xa1k" + struct.pack(">BI", 0xDD, 1024))
        large = "\U0001f600" + "x" * 60_000  # one wide character makes all of them take four bytes
        send_until_closed(client, pack(large), LIMITS.max_message_bytes + 32 * MIB)
        fresh.wait_for_log(f"{port_of(client)} closed: a message", timeout=5)
        watch.served()
    assert watch.growth() < MESSAGE


@pytest.mark.parametrize(
    "part", [b"\x91\xc0", b"\xa2ab", b"\xcd\xff\xff", b"\xd4\x05x", b"\x80", b"\x81\xc0\xc0"],
    ids=["array", "str", "int", "ext", "map", "map1"],
)  # fmt: skip
def test_a_message_of_many_small_parts(nodes: Nodes, part: bytes) -> None:
    """Python objects take up to 80 times the bytes that they came in, and this message never ends."""
    node = nodes.start_secondary()  # A primary reads with the same code.
    branch = b"\xdc\x04\x00" + part * 1024
    tree = b"\xdc\x04\x00" + (b"\xdc\x04\x00" + branch * 1024) * 10
    message = (b"\x94\x00\x01\xa3PUT\x92\xa1k" + tree)[: LIMITS.max_message_bytes - 1024]
    with Watch(node) as watch, RawClient(node.address) as client:
        try:
            client.send(message)
        except ConnectionError:
            node.wait_for_log(f"{port_of(client)} closed: ")
        watch.served(50)
    assert watch.growth() < MESSAGE, f"{watch.growth() / MIB:.0f} MiB more"


def test_maps_with_keys_that_collide(fresh: Node) -> None:
    """1,024 keys of one hash take half a million comparisons to build a dict of, and only 12 KiB to send."""
    keys = (b"\x9a" + bytes(minus) for minus in product((0xFF, 0xFE), repeat=10))  # hash(-1) == hash(-2)
    slow = b"\x94\x00\x01\xa3GET\x91\xde\x04\x00" + b"".join(key + b"\xc0" for key in keys)
    with Watch(fresh) as watch:
        clients = [RawClient(fresh.address) for _ in range(20)]
        for client in clients:
            try:
                client.send(slow * 20)
            except ConnectionError:
                pass  # It was refused before all of it was sent.
        watch.served(50)
        for client in clients:
            client.close()


@pytest.mark.xfail(
    sys.version_info[:2] == (3, 12), reason="3.12 keeps interned strings for ever; see docs/protocol.md", strict=False
)
def test_the_keys_of_maps_are_not_kept(nodes: Nodes) -> None:
    """msgpack interns them, and Python 3.12 never forgets what was interned; other versions pass anyway."""
    node = nodes.start_secondary()
    with Watch(node) as watch, RawClient(node.address) as client:
        try:
            for number in range(200):
                keys = (f"{number} {key}".ljust(150) for key in range(1000))
                client.send(b"".join(pack([2, "PUT", ["k", {key: 1}]]) for key in keys))
        except ConnectionError:
            pass  # It was refused.
        watch.served()
    assert watch.growth() < NOISE, f"{watch.growth() / MIB:.0f} MiB more"


@pytest.mark.parametrize(
    "requests",
    [pack([0, 1, "GET", ["large"]]) * 1000, pack([0, 1, "BATCH", ["GET", ["large"]] * BATCH_REQUESTS]) * 10],
    ids=["GET", "BATCH"],
)
def test_a_peer_that_never_reads(fresh: Node, requests: bytes) -> None:
    with Watch(fresh) as watch, RawClient(fresh.address, timeout=1) as client:
        client.call("PUT", "large", b"x" * MIB)
        # The node stops reading, so the buffers on the way fill up; or it closes the connection.
        with pytest.raises((TimeoutError, ConnectionError)):
            while True:
                client.send(requests)
        watch.served(50)
    assert watch.growth() < UNREAD, f"{watch.growth() / MIB:.0f} MiB more"


def test_many_peers_that_never_read(nodes: Nodes) -> None:
    # Not at a primary: there, each may have as many bytes unread as a single one.
    node = nodes.start_secondary()
    with Watch(node) as watch:
        clients = [RawClient(node.address) for _ in range(20)]
        for client in clients:
            client.call("PUT", "large", b"x" * (MIB // 16))
            client.send(pack([0, 1, "GET", ["large"]]) * 1000)
        watch.served(50)
        for client in clients:
            client.close()
    # Each has the soft limit, and what was under way when it was reached.
    assert watch.growth() < UNREAD, f"{watch.growth() / MIB:.0f} MiB more"


def test_a_peer_that_asks_for_a_lot_and_breaks_off(fresh: Node) -> None:
    """30,000 requests are in one read. What nobody will get need not be made: it would take seconds."""
    with Watch(fresh) as watch, RawClient(fresh.address) as client:
        client.call("PUT", "k", b"x" * MIB)
        client.send(pack([0, 1, "GET", ["k"]]) * 29_000)
        break_off(client)
        watch.served(50)
    assert watch.growth() < UNREAD


def break_off(client: RawClient) -> None:
    """Closes with a reset, as a process does that dies with bytes unread."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@pytest.mark.parametrize("size", [MIB, 3 * MIB // 4])
def test_a_connection_gives_back_the_memory_of_large_messages(fresh: Node, size: int) -> None:
    count = 100
    with Watch(fresh) as watch:
        clients = [RawClient(fresh.address) for _ in range(count)]
        for client in clients:
            assert client.call("PUT", "large", b"x" * size) is True
            assert client.call("GET", "large") == [True, b"x" * size]
        watch.served()
        assert watch.growth() < count * SPOKE + UNREAD / 2, f"{watch.growth() / MIB:.0f} MiB more"
        for client in clients:
            client.close()


@pytest.fixture
def many_files() -> Iterator[None]:
    """Lets this process, and those that it starts, open enough files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = IDLE + 1000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"only {hard} open files are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("spoke", [False, True], ids=["that never spoke", "that did once"])
def test_idle_connections(many_files: None, fresh: Node, spoke: bool) -> None:
    with Watch(fresh) as watch:
        idle = []
        for _ in range(IDLE):
            sock = socket.create_connection(("127.0.0.1", fresh.port), timeout=10)
            idle.append(sock)
            if spoke:
                sock.sendall(pack([0, 1, "GET", ["watched"]]))
                assert msgpack.unpackb(sock.recv(100)) == [1, 1, None, [True, "value"]]
        watch.served()
        for sock in islice(idle, 0, IDLE, 500):  # they are alive
            sock.sendall(PING)
            assert msgpack.unpackb(sock.recv(100)) == [1, *PONG]
        allowed = IDLE * (SPOKE if spoke else NEVER_SPOKE) + NOISE
        assert watch.growth() < allowed, f"{(watch.growth() - NOISE) / IDLE:.0f} bytes each"
        for sock in idle:
            sock.close()


@pytest.mark.parametrize("role", ROLES)
def test_more_connections_than_allowed(nodes: Nodes, role: str) -> None:
    # The primary's connection is one of the secondary's: 11.
    options = ["--max-connections=11"]
    node = pick(nodes.start_cluster(1, secondary_options=options, primary_options=options), role)
    allowed = 11 - 1 - (role == "secondary")  # the watch has one
    with Watch(node) as watch:
        served = [RawClient(node.address) for _ in range(allowed)]
        for client in served:
            assert client.call("PING") == "PONG"
        since = len(node.log)
        for _ in range(50):
            with RawClient(node.address) as client, pytest.raises(RemoteError, match=r"^Overloaded: "):
                client.call("PUT", "key", "value")
        assert "--max-connections" in node.wait_for_log("refused: all 11 places are taken", since=since)
        assert len(node.log) == since + 1, "one line is enough"
        for client in served:
            assert client.call("PING") == "PONG"
        served.pop().close()

        def again() -> bool:
            with RawClient(node.address) as client:
                return client.wait_for(client.request("PUT", "key", "value")).error is None

        eventually(again, what="a connection after another one has gone")
        watch.served()
        for client in served:
            client.close()
