"""docs/protocol.md against the program: its examples, its tables of errors and limits."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgpack
import pytest

from ckv import errors
from ckv.commands import COMMANDS
from ckv.protocol.batch import BATCH_REQUESTS, BATCH_RESULT_CHARACTERS, LAST_MSGID_OF_BATCH
from ckv.protocol.greeting import FEATURES
from ckv.protocol.limits import (
    BULKY_BYTES,
    IDLE_CONNECTION_BYTES,
    KIB,
    MAX_IN_FLIGHT_OF_A_NODE,
    MAX_PARTS_BYTES,
    MIB,
    RECV_BYTES_OF_LARGE,
    TLS_BYTES,
    WAITING_BYTES,
    WAITING_REQUESTS,
    Limits,
)
from ckv.protocol.msgpackrpc import MAX_ODD_MSGID
from ckv.values import MAX_KEY_BYTES
from tests.support.nodes import ROOT, Nodes
from tests.support.wire import RawClient

PAGE = (ROOT / "docs/protocol.md").read_text()

EXAMPLE = re.compile(r"^(->|<-) ((?:[0-9a-f]{2} )*[0-9a-f]{2})  +(\[.*\])$", re.MULTILINE)


def rows(first_column: str) -> Iterator[list[str]]:
    """The rows of the table whose first column has this title."""
    lines = iter(PAGE.splitlines())
    assert any(line.startswith(f"| {first_column} |") for line in lines), first_column
    next(lines)
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("role", ["secondary", "primary"])
def test_the_examples_are_what_a_node_answers(nodes: Nodes, role: str) -> None:
    cluster = nodes.start_cluster(1)
    examples = EXAMPLE.findall(PAGE)
    assert examples
    assert len(examples) == len(re.findall(r"^(?:->|<-)", PAGE, re.MULTILINE)), "an example of another shape"
    with RawClient(cluster.address if role == "primary" else cluster.secondaries[0].address) as client:
        for arrow, text, _ in examples:
            data = bytes.fromhex(text)
            if arrow == "->":
                client.send(data)
            else:
                kind, *response = msgpack.unpackb(data, unicode_errors="surrogateescape")
                assert kind == 1
                assert list(client.recv_response()) == response


def test_the_examples_say_what_they_are() -> None:
    for _, text, shown in EXAMPLE.findall(PAGE):
        message = msgpack.unpackb(bytes.fromhex(text), raw=True)
        assert show(message, bytes.fromhex(text)) == shown


def show(value: object, packed: bytes) -> str:
    """The message as the page writes it: text in quotes; what is a bin, or not ASCII, in hex after its type."""
    if isinstance(value, list):
        return f"[{', '.join(show(element, packed) for element in value)}]"
    if isinstance(value, bytes):
        is_bin = bytes([0xC4, len(value)]) + value in packed
        if is_bin or not value.isascii():
            return f"{'bin' if is_bin else 'str'} {value.hex(' ')}"
        return f'"{value.decode()}"'
    return "nil" if value is None else str(value).lower()


def test_the_commands_are_those_of_the_command_table() -> None:
    assert dict(rows("command")) == {f"`{command.usage}`": command.result for command in COMMANDS.values()}


def test_the_features_are_those_of_the_program() -> None:
    assert [name.strip("`") for name, _ in rows("feature")] == list(FEATURES)


NEVER_ANSWERED = {
    errors.CkvError, errors.OutcomeUnknown, errors.TierError,  # roots, of which only kinds are raised
    errors.BadSetting,  # of a command line
    errors.Fenced, errors.Forbidden, errors.SessionLost, errors.WriteFailed,  # between the tiers
    errors.PoolExhausted, errors.ProtocolError, errors.Unreachable,  # what a client finds out by itself
}  # fmt: skip


def test_the_codes_are_those_that_a_node_answers() -> None:
    """All errors that there are, but those that never travel."""

    def kinds(cls: type[errors.CkvError]) -> Iterator[type[errors.CkvError]]:
        yield cls
        for below in cls.__subclasses__():
            yield from kinds(below)

    answered = set(kinds(errors.CkvError)) - NEVER_ANSWERED
    table = {code.strip("`"): written for code, _, written in rows("code")}
    assert table.pop("TierUnavailable") == "see below"
    assert table == {cls.__name__: cls.written for cls in answered if cls is not errors.TierUnavailable}


def test_the_limits_are_those_of_the_program() -> None:
    limits = Limits()
    table = {what: limit for what, limit, _ in rows("what")}
    assert table["a key"] == f"{MAX_KEY_BYTES:,} bytes"
    assert table["a value"] == f"`--max-value-bytes`, {limits.max_value_bytes // MIB} MiB"
    assert table["clients"] == f"`--max-connections`, {limits.max_connections:,}"
    assert table["silence in the middle of a message"] == f"{limits.unfinished_seconds:g} s, or half of it"
    assert f"up to {IDLE_CONNECTION_BYTES // KIB} KiB" in PAGE
    assert f"up to {TLS_BYTES // KIB} KiB more" in PAGE
    assert table["responses of one connection that the client has not read"] == f"{limits.soft_unsent_bytes // MIB} MiB"
    assert f"bin of up to {MAX_ODD_MSGID}, is sent back" in PAGE
    assert table["requests that wait for a secondary to be connected"] == (
        f"{WAITING_REQUESTS:,} and {WAITING_BYTES // MIB} MiB at a primary"
    )
    assert table["requests in a BATCH"] == f"{BATCH_REQUESTS}"
    assert f"at most 2^64 - {2**64 - LAST_MSGID_OF_BATCH}," in PAGE
    assert f"more than {BULKY_BYTES // KIB} KiB, the value" in PAGE
    assert f"more than {BATCH_RESULT_CHARACTERS // KIB} Ki characters" in PAGE
    assert f"last str or bin has to fit into {MAX_PARTS_BYTES // KIB} KiB" in PAGE
    unfinished = table["an unfinished message, apart from its last str or bin"]
    assert unfinished == f"{MAX_PARTS_BYTES // KIB} KiB, and what one read brings ({RECV_BYTES_OF_LARGE // KIB} KiB)"
    waiting = table["requests of one connection that wait for the database or another node"]
    assert waiting == f"{limits.max_answers_in_flight} at a primary, {MAX_IN_FLIGHT_OF_A_NODE:,} at a secondary"
    bounds = [Limits(max_value_bytes=value_bytes).max_answers_in_flight for value_bytes in (1, 2**40)]
    assert f"with another `--max-value-bytes` they are between {bounds[1]} and {bounds[0]}." in PAGE
    for value_bytes in (1, MIB, 64 * MIB):
        limits = Limits(max_value_bytes=value_bytes)
        assert limits.max_message_bytes == formula(table["a message"], value_bytes)
        assert limits.max_queued_bytes == formula(
            table["the same, when the requests had been read before"], value_bytes
        )


def formula(text: str, value_bytes: int) -> int:
    """What ``4 times `--max-value-bytes` + 64 KiB`` comes to."""
    text = text.replace("`--max-value-bytes`", str(value_bytes)).replace("times", "*")
    total = 0
    for term in text.split("+"):
        product = 1
        for word in term.replace("KiB", f"* {KIB}").replace("MiB", f"* {MIB}").split("*"):
            product *= int(word)
        total += product
    return total
