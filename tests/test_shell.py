"""The shell: at a prompt, and as a command in scripts."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from ckv import Client
from ckv.commands import COMMANDS
from ckv.tools.shell import shell
from ckv.tools.shell.commands import help_text, run_line
from ckv.tools.shell.history import history as kept_in
from ckv.tools.shell.prompt import CommandCompleter, Prompt, hint
from ckv.tools.shell.results import as_json, for_people, raw
from ckv.tools.shell.words import quoted
from tests.support.fakenode import Connection, FakeNode, store
from tests.support.nodes import ROOT, Nodes, ckv_command, ckv_environment
from tests.support.ports import free_port


@pytest.fixture
def node() -> Iterator[FakeNode]:
    with FakeNode(store()) as node:
        yield node


def lines(port: int, text: str | bytes) -> tuple[int, bytes, str]:
    """Run these lines as a script: exit code, output, errors."""
    data = text.encode() if isinstance(text, str) else text
    out, errors = io.BytesIO(), io.StringIO()
    with Client("127.0.0.1", port) as client:
        code = shell.run_lines(client, io.BytesIO(data), out, errors)
    return code, out.getvalue(), errors.getvalue()


# --- scripts ---------------------------------------------------------------------------------------------------------


def test_a_script(node: FakeNode) -> None:
    script = 'PUT bob bob@gmail.com\nGET bob\nget bob ""\nDel bob\nDEL bob\n\n  \nPING\n'
    assert lines(node.port, script) == (0, b"OK\nbob@gmail.com\nbob@gmail.com\n1\n0\nPONG\n", "")


def test_a_last_line_without_an_end(node: FakeNode) -> None:
    assert lines(node.port, "PUT a 1\nGET a") == (0, b"OK\n1\n", "")


def test_lines_from_windows(node: FakeNode) -> None:
    assert lines(node.port, "PUT a 1\r\nGET a\r\n") == (0, b"OK\n1\n", "")


@pytest.mark.parametrize("end", ["EXIT", "quit"])
def test_the_end(node: FakeNode, end: str) -> None:
    assert lines(node.port, f"PING\n{end}\nPING\n") == (0, b"PONG\n", "")


def test_nothing_found_is_told_apart_from_an_empty_value(node: FakeNode) -> None:
    assert lines(node.port, "PUT empty ''\nGET empty\n") == (0, b"OK\n\n", "")
    assert lines(node.port, "GET nobody\nPING\n") == (1, b"PONG\n", "ckv: line 1: no such key\n")


def test_help_in_a_script(node: FakeNode) -> None:
    code, out, errors = lines(node.port, "help\n")
    assert (code, errors) == (0, "")
    assert b"PUT key value" in out


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("'two words'", "two words"),
        ('"it\'s"', "it's"),
        ("'it\\'s'", "it's"),
        ('"say \\"hi\\""', 'say "hi"'),
        ("a'b'\"c\"", "abc"),
        ("'#1'", "#1"),
        ("#1", "#1"),
        ("C:\\new\\table", "C:\\new\\table"),
        ("'C:\\new'", "C:\\new"),
        ('"C:\\\\new"', "C:\\new"),
        ('"\\x61\\q"', "aq"),
        ("$HOME", "$HOME"),
        ("ü", "ü"),
    ],
)
def test_words_are_quoted_as_in_redis_cli(node: FakeNode, words: str, value: str) -> None:
    assert lines(node.port, f"PUT key {words}\nGET key\n") == (0, f"OK\n{value}\n".encode(), "")


@given(st.text(max_size=30) | st.binary(max_size=30))
def test_any_value_can_be_typed(value: str | bytes) -> None:
    class Recorder:
        def put(self, *arguments: str | bytes) -> None:
            assert arguments == ("key", value)

    client = Recorder()
    assert run_line(client, f"PUT key {quoted(value)}") == ("PUT", None)  # type: ignore[arg-type]


def test_bytes_that_are_not_utf_8_stay_as_they_are(node: FakeNode) -> None:
    assert lines(node.port, b"PUT \xff\xfe a\xffb\nGET \xff\xfe\n") == (0, b"OK\na\xffb\n", "")


def test_a_binary_value_is_written_as_it_is(node: FakeNode) -> None:
    value = bytes(range(256))
    with Client("127.0.0.1", node.port) as client:
        client.put("binary", value)
        client.put("text", "\x1b[31m\n")
    assert lines(node.port, "GET binary\n") == (0, value + b"\n", "")
    assert lines(node.port, "GET text\n") == (0, b"\x1b[31m\n\n", "")


ALLOWED = ", ".join([*COMMANDS, "HELP", "EXIT", "QUIT"])


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("FETCH a", f"'FETCH' is no command: allowed is {ALLOWED}"),
        ("GET", "expected GET key"),
        ("GET a b", "expected GET key"),
        ('GET a "" b', "expected GET key"),
        ("PUT a", "expected PUT key value"),
        ("PUT a b c", "expected PUT key value"),
        ("GET 'a", "the ' at character 5 has no end"),
        ('PUT ü "a b', 'the " at character 7 has no end'),
        ("GET 'a\\'", "the ' at character 5 has no end"),
        ("GTE a", "'GTE' is no command: did you mean GET?"),
        ("delt a", "'delt' is no command: did you mean DEL?"),
        ("HELP PIGN", "'PIGN' is no command: did you mean PING?"),
        (
            "x" * 2000,
            f"'{'x' * 40}...' is no command: allowed is {ALLOWED}",
        ),
        ("AUDIT 0 ten", "'ten' is not a whole number"),
        ("SCAN 0 user:* ten", "'ten' is not a whole number"),
    ],
)
def test_a_bad_line_is_named_and_the_next_is_run(node: FakeNode, line: str, error: str) -> None:
    assert lines(node.port, f"PING\n{line}\nPING\n") == (1, b"PONG\nPONG\n", f"ckv: line 2: {error}\n")


def test_an_error_of_the_node_is_named_and_the_next_line_is_run() -> None:
    def script(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        connection.respond(msgid, None, "NodeDown: 127.0.0.1:8081")
        _, msgid, _, _ = connection.request()
        connection.respond(msgid, "PONG")
        connection.wait_closed()

    with FakeNode(script) as node:
        assert lines(node.port, "GET a\nPING\n") == (1, b"PONG\n", "ckv: line 1: NodeDown: 127.0.0.1:8081\n")


def test_each_line_tries_anew_to_reach_the_node() -> None:
    port = free_port()
    with Client("127.0.0.1", port) as client:
        out, errors = io.BytesIO(), io.StringIO()

        def typed() -> Iterator[bytes]:
            yield b"PING\n"
            with FakeNode(store(), port=port):
                yield b"PING\n"

        assert shell.run_lines(client, typed(), out, errors) == 1
    assert out.getvalue() == b"PONG\n"
    assert errors.getvalue().startswith(f"ckv: line 1: Unreachable: 127.0.0.1:{port} cannot be reached: ")
    assert errors.getvalue().count("\n") == 1


def process(port: int, **kwargs: object) -> subprocess.Popen[bytes]:
    command = [*ckv_command(), "shell", "127.0.0.1", str(port)]
    environment = ckv_environment({"PYTHONUNBUFFERED": ""})  # with it, output would need no flushing
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=environment, cwd=ROOT, **{**pipes, **kwargs})  # type: ignore[call-overload,no-any-return]


def test_the_program_with_piped_input(nodes: Nodes) -> None:
    cluster = nodes.start_cluster()
    with process(cluster.primary.port) as shell_process:
        out, errors = shell_process.communicate(b'PUT bob bob@gmail.com\nGET bob ""\nGET nobody\n', timeout=30)
    assert (shell_process.returncode, out, errors) == (1, b"OK\nbob@gmail.com\n", b"ckv: line 3: no such key\n")


def test_an_answer_comes_before_the_next_line_is_sent(node: FakeNode) -> None:
    with process(node.port) as shell_process:
        assert shell_process.stdin
        assert shell_process.stdout
        shell_process.stdin.write(b"PING\n")
        shell_process.stdin.flush()
        assert shell_process.stdout.readline() == b"PONG\n"
        shell_process.stdin.close()
        assert shell_process.wait(30) == 0


def test_a_reader_that_goes_away_is_no_traceback(node: FakeNode) -> None:
    with process(node.port) as shell_process:
        assert shell_process.stdout
        shell_process.stdout.close()
        _, errors = shell_process.communicate(b"PING\n" * 3, timeout=30)
    assert (shell_process.returncode, errors) == (1, b"")


def test_ctrl_c_in_a_script_says_what_is_known() -> None:
    asked = threading.Event()

    def script(connection: Connection) -> None:
        connection.request()
        asked.set()
        connection.wait_closed()

    with FakeNode(script) as node, process(node.port) as shell_process:
        assert shell_process.stdin
        shell_process.stdin.write(b"\nPUT bob 1\nPING\n")
        shell_process.stdin.flush()
        assert asked.wait(20)
        shell_process.send_signal(signal.SIGINT)
        out, errors = shell_process.communicate(timeout=30)
    told = b"ckv: line 2: interrupted: the PUT may or may not have happened\n"
    assert (shell_process.returncode, out, errors) == (130, b"", told)


def test_json_lines(node: FakeNode) -> None:
    out, errors = io.BytesIO(), io.StringIO()
    script = (
        b'PUT k "two\\nlines"\nGET k\nPUT k b"\\xff"\nGET k\nPUT k "\\xff"\nGET k\nGET no\nDEL k\nPING\nPUT k\n\nINFO\n'
    )
    with Client("127.0.0.1", node.port) as client:
        assert shell.run_lines(client, io.BytesIO(script), out, errors, json=True) == 1
    assert errors.getvalue() == ""
    assert list(map(json.loads, out.getvalue().splitlines())) == [
        True, "two\nlines", True, {"bin": "/w=="}, True, {"str": "/w=="}, None, True, "PONG",
        {"error": "expected PUT key value", "written": "no"},
        {"error": "UnknownMethod: INFO", "written": "no"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "result", "shown"),
    [
        ("INFO", {"records": 3}, {"records": 3}),
        ("PEEK", ["clean", b"\x01\xff"], ["clean", "01ff"]),
        ("SCAN", [7, ["ü", "\udcff"]], [7, ["ü", {"str": "/w=="}]]),
        ("AUDIT", [7, [["ü", "clean", b"\x01"], ["\udcff", "absent", b""]]],
         [7, [["ü", "clean", "01"], [{"str": "/w=="}, "absent", ""]]]),
        ("RETRY", 3, 3),
    ],
)  # fmt: skip
def test_results_as_json(name: str, result: object, shown: object) -> None:
    assert json.loads(as_json(name, result)) == shown
    assert as_json(name, result).isascii()


# --- one command -----------------------------------------------------------------------------------------------------


def one(port: int, *words: str, stdin: bytes = b"", options: tuple[str, ...] = ()) -> tuple[int, bytes, bytes]:
    """Run ``ckv shell`` with one command: exit code, output, errors."""
    done = subprocess.run(
        [*ckv_command(), "shell", *options, "127.0.0.1", str(port), *words],
        input=stdin, capture_output=True, timeout=60, env=ckv_environment(), cwd=ROOT,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_one_command(node: FakeNode) -> None:
    assert one(node.port, "PUT", "-5", "--json") == (0, b"OK\n", b"")
    assert one(node.port, "get", "-5") == (0, b"--json\n", b"")
    assert one(node.port, "GET", "nobody") == (1, b"", b"ckv: no such key\n")
    assert one(node.port, "GET", "nobody", options=("--json",)) == (1, b"null\n", b"")
    assert one(node.port, "PUT", "two words", "a\\n'b\"") == (0, b"OK\n", b"")  # as they are
    assert one(node.port, "GET", "two words") == (0, b"a\\n'b\"\n", b"")
    assert one(node.port, "PUT", "k", "") == (0, b"OK\n", b"")
    assert one(node.port, "GET", "k") == (0, b"\n", b"")
    assert one(node.port, "GTE", "k") == (1, b"", b"ckv: 'GTE' is no command: did you mean GET?\n")
    assert one(node.port, "PUT", "k") == (1, b"", b"ckv: expected PUT key value\n")
    assert one(node.port, "DEL", "k", options=("--json",)) == (0, b"true\n", b"")
    code, out, errors = one(node.port, "INFO", options=("--json",))
    assert (code, json.loads(out), errors) == (1, {"error": "UnknownMethod: INFO", "written": "no"}, b"")
    code, out, errors = one(free_port(), "HELP", "PUT")  # asks no node
    assert (code, errors) == (0, b"")
    assert out.startswith(b"PUT key value\nStore a value")


@pytest.mark.parametrize(
    ("data", "held"),
    [
        (b"", ""),
        (b"line\n", "line\n"),
        ("ü \U0001f600".encode(), "ü \U0001f600"),
        (bytes(range(256)), bytes(range(256))),
        (b"x" * 2**20, "x" * 2**20),
        (b"'a\\n", "'a\\n"),
    ],
    ids=["empty", "line", "text", "bytes", "long", "quote"],
)
def test_a_value_from_stdin(data: bytes, held: str | bytes) -> None:
    records: dict[bytes, object] = {}
    with FakeNode(store(records)) as node:
        assert one(node.port, "PUT", "k", stdin=data, options=("-x",)) == (0, b"OK\n", b"")
        assert one(node.port, "GET", "k") == (0, data + b"\n", b"")
    assert records == {b"k": held}


def test_stdin_that_no_value_can_be() -> None:
    with FakeNode(store()) as node:
        code, out, errors = one(node.port, "PUT", "k", stdin=b"x" * (2**26 + 1), options=("--stdin",))
        assert (code, out) == (1, b"")
        assert errors == b"ckv: more than 64MiB on stdin, the longest value that a node can allow\n"
        assert one(node.port, "GET", "k") == (1, b"", b"ckv: no such key\n")


def test_nobody_listens() -> None:
    port = free_port()
    with process(port) as shell_process:
        out, errors = shell_process.communicate(b"PING\n", timeout=30)
    assert (shell_process.returncode, out) == (1, b"")
    assert errors.startswith(b"ckv: line 1: Unreachable: ")


# --- what a person sees ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "result", "shown"),
    [
        ("GET", "bob@gmail.com", '"bob@gmail.com"'),
        ("GET", "", '""'),
        ("GET", None, "(none)"),
        ("GET", "(none)", '"(none)"'),
        ("GET", 'a"b\\c', '"a\\"b\\\\c"'),
        ("GET", "a\nb\t\x1b[31m\x00", '"a\\nb\\t\\x1b[31m\\x00"'),
        ("GET", "ü\u202e\U0001f600", '"ü\\xe2\\x80\\xae\U0001f600"'),
        ("GET", "\x85", '"\\xc2\\x85"'),
        ("GET", "a\udcff", '"a\\xff"'),
        ("GET", b'a\x00\xff"', 'b"a\\x00\\xff\\""'),
        ("GET", b"", 'b""'),
        ("PUT", None, "OK"),
        ("DEL", True, "OK"),
        ("DEL", False, "(none)"),
        ("PING", "PONG", "PONG"),
        ("INFO", {"records": 3, "role": "secondary"}, "# Server\nrole secondary\n\n# Records\nrecords 3"),
        ("RETRY", 3, "3"),
        ("PEEK", ["clean", b"\x01\xff"], "clean 01ff"),
        ("PEEK", ["tombstone", b""], "tombstone"),
        ("SCAN", [7, ["a\n", "b"]], '"a\\n"\n"b"\nnext cursor 7'),
        ("AUDIT", [7, [["a\n", "clean", b"\x01"], ["b", "absent", b""]]], '"a\\n" clean 01\n"b" absent\nnext cursor 7'),
    ],
)
def test_results_for_people(name: str, result: object, shown: str) -> None:
    assert for_people(name, result) == shown


@given(st.text(max_size=30) | st.binary(max_size=30))
def test_a_value_never_upsets_a_terminal(value: str | bytes) -> None:
    assert quoted(value).isprintable()


class TerminalText(io.StringIO):
    """What a terminal is shown."""

    def isatty(self) -> bool:
        return True


@contextmanager
def prompt(out: io.StringIO, *typed: str) -> Iterator[Prompt]:
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        for text in typed:
            keys.send_text(text)
        yield Prompt("> ", None, out)


def interact(port: int, *typed: str, json: bool = False, out: io.StringIO | None = None) -> tuple[int, list[str]]:
    """The exit code, and the lines shown after the greeting."""
    out = out or io.StringIO()
    with prompt(out, *typed) as session, Client("127.0.0.1", port) as client:
        code = shell.interact(client, session, out, json=json)
    greeting, *shown = out.getvalue().splitlines()
    assert f"127.0.0.1:{port}" in greeting
    assert "HELP" in greeting
    return code, shown


def test_a_session(node: FakeNode) -> None:
    code, shown = interact(
        node.port,
        "put bob 'bob@gmail.com'\r", "GET bob\r", "\r", 'GET bob ""\r', "GET nobody\r", "FETCH\r",
        "DEL bob\r", "EXIT\r",
    )  # fmt: skip
    assert code == 0
    assert shown[:4] == ["OK", '"bob@gmail.com"', '"bob@gmail.com"', "(none)"]
    assert shown[4].startswith("error: 'FETCH' is no command: ")
    assert shown[5:] == ["OK"]


def test_ctrl_d_ends(node: FakeNode) -> None:
    assert interact(node.port, "PING\r", "\x04") == (0, ["PONG"])


def test_ctrl_c_drops_the_line_only(node: FakeNode) -> None:
    assert interact(node.port, "GET b", "\x03", "PING\r", "\x04") == (0, ["PONG"])


def test_ctrl_c_drops_the_call_only() -> None:
    def script(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        connection.respond(msgid, "PONG")
        connection.request()
        os.kill(os.getpid(), signal.SIGINT)
        connection.wait_closed()

    with FakeNode(script, store()) as node:
        lines = ["interrupted: the GET changed nothing", "PONG"]
        assert interact(node.port, "GET bob\r", "PING\r", "\x04") == (0, lines)


def test_an_unreachable_node_does_not_end_the_session() -> None:
    port = free_port()
    code, shown = interact(port, "PING\r", "GET a\r", "\x04")
    assert code == 0
    assert len(shown) == 3
    assert shown[0].startswith(f"Unreachable: 127.0.0.1:{port} cannot be reached")
    assert all(line.startswith("error: Unreachable: ") for line in shown[1:])


def test_what_is_pasted_is_run_line_by_line(node: FakeNode) -> None:
    block = "PUT a 1\nPUT b '2 3'\r\nGET a\rGET b"
    # The last line waits for Enter, and can be edited.
    code, shown = interact(node.port, f"\x1b[200~{block}\x1b[201~", " \r", "GET a\r", "\x04")
    echoed = ["OK", "> PUT b '2 3'", "OK", "> GET a", '"1"', '"2 3"', '"1"']
    assert (code, shown) == (0, echoed)


def test_a_paste_into_a_line(node: FakeNode) -> None:
    # Between "PUT " and " 2": what is behind the cursor goes to the end.
    code, shown = interact(
        node.port, "PUT  2", "\x1b[D" * 2, "\x1b[200~a 1\nPUT b\x1b[201~", "\r", "GET a\r", "GET b\r", "\x04"
    )
    assert (code, shown) == (0, ["OK", "OK", '"1"', '"2"'])


def test_a_paste_without_a_line_end_runs_nothing(node: FakeNode) -> None:
    assert interact(node.port, "\x1b[200~PING\x1b[201~", "\x03", "\x04") == (0, [])


def test_a_pasted_block_goes_on_after_an_error_and_ends_with_ctrl_c() -> None:
    def script(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        connection.respond(msgid, "PONG")
        connection.request()
        os.kill(os.getpid(), signal.SIGINT)
        connection.wait_closed()

    with FakeNode(script, store()) as node:
        code, shown = interact(node.port, "\x1b[200~GTE a\nDEL a\nPUT b 1\nPUT c 1\n\x1b[201~", "GET b\r", "\x04")
    assert code == 0
    assert shown == [
        "error: 'GTE' is no command: did you mean GET?",
        "> DEL a",
        "interrupted: the DEL may or may not have happened",
        "2 lines that were pasted behind it are not run",
        "(none)",
    ]


def test_tab_completes_at_once(node: FakeNode) -> None:
    code, shown = interact(node.port, "PUT bob 1\r", "pi\t\r", "\x04")
    assert (code, shown) == (0, ["OK", "PONG"])


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("", ""), ("P", ""), ("put", " key value"), ("PUT ", "key value"), ("PUT b", ""), ("PUT b ", "value"),
        ("PUT 'a b' ", "value"), ("PUT 'a b ", ""), ("PUT a b ", ""), ("scan 0 ", "match count"), ("PING ", ""),
        ("help ", "[command]"), ("x" * 2000 + " ", ""), ("FETCH ", ""), (" GET ", "key"), ("  ", ""),
    ],
)  # fmt: skip
def test_hints(line: str, shown: str) -> None:
    assert hint(line) == shown


def test_json_at_the_prompt(node: FakeNode) -> None:
    code, shown = interact(node.port, "PUT a 1\r", "GET a\r", "GET b\r", "GTE\r", "\x04", json=True)
    assert code == 0
    assert shown[:3] == ["true", '"1"', "null"]
    assert json.loads(shown[3]) == {"error": "'GTE' is no command: did you mean GET?", "written": "no"}


def test_colours_are_for_terminals(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    red = "\x1b[31merror: expected GET key\x1b[0m"
    plain = "error: expected GET key"
    assert interact(node.port, "GET\r", "\x04", out=TerminalText())[1] == [red]
    assert interact(node.port, "GET\r", "\x04")[1] == [plain]
    monkeypatch.setenv("NO_COLOR", "1")
    assert interact(node.port, "GET\r", "\x04", out=TerminalText())[1] == [plain]
    monkeypatch.setenv("NO_COLOR", "")  # which says nothing
    assert interact(node.port, "GET\r", "\x04", out=TerminalText())[1] == [red]
    monkeypatch.setenv("TERM", "dumb")
    assert interact(node.port, "GET\r", "\x04", out=TerminalText())[1] == [plain]


def test_a_node_that_is_back_is_told() -> None:
    def once(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        connection.respond(msgid, "PONG")
        connection.request()

    with FakeNode(once, store()) as node:
        _, shown = interact(node.port, "GET a\r", "GET a\r", "GET a\r", "\x04")
    assert shown[0].startswith("error: NodeLost: ")
    assert shown[1:] == [f"Connected to 127.0.0.1:{node.port} again.", "(none)", "(none)"]


@pytest.mark.parametrize("width", [20, 30, 60, 80, 200])
def test_help_breaks_between_words_only(width: int) -> None:
    text = help_text(width)
    assert text.split() == help_text().split()
    assert max(map(len, text.splitlines())) < width


def test_help_of_one_command() -> None:
    assert help_text(1000, "PUT") == (
        "PUT key value\nStore a value under a key, replacing what was there.\nAnswers true."
    )
    assert help_text(1000, "EXIT") == "EXIT\nLeave the shell, as Ctrl-D does."


@pytest.mark.parametrize("line", ["HELP PUT", "help put", "? PUT", '"?" put'])
def test_help_takes_a_command(node: FakeNode, line: str) -> None:
    assert lines(node.port, line + "\n") == (0, help_text(1000, "PUT").encode() + b"\n", "")


def completions(text: str) -> list[str]:
    return [completion.text for completion in CommandCompleter().get_completions(Document(text), CompleteEvent())]


def test_completion() -> None:
    assert completions("p") == ["PUT ", "PUTEX ", "PING", "PEEK "]
    assert completions("GE") == ["GET ", "GETDEL ", "GETEX "]
    assert completions("  ge") == ["GET ", "GETDEL ", "GETEX "]
    assert completions("HELP d") == ["DEL", "DELIFEQ", "DBSIZE", "DIGEST"]
    assert completions("help ") == [*COMMANDS, "HELP", "EXIT", "QUIT"]
    assert completions("help DEL ") == []
    assert completions("ex") == ["EXTEND ", "EXISTS ", "EXPIRE ", "EXPIRETIME ", "EXEC ", "EXIT"]
    assert completions("GET p") == []
    assert completions("GET ") == []


def test_the_history_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "history"
    kept_in(path).append_string("PUT secret 1")
    assert list(kept_in(path).load_history_strings()) == ["PUT secret 1"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_history_that_others_could_read_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.touch(0o644)
    path.chmod(0o644)
    kept = kept_in(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()  # and somebody makes it again
    path.touch(0o644)
    kept.append_string("PUT secret 1")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    kept.append_string("PUT secret 2")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_not_kept(tmp_path: Path) -> None:
    kept = kept_in(tmp_path / "history")
    for line in (" PUT secret 1", "PUT big " + "x" * 20_000, "GET a"):
        kept.append_string(line)
    assert list(kept.load_history_strings()) == ["GET a"]


def test_a_link_to_a_file_of_ours_is_followed(tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "history"
    target.touch(0o644)
    path.symlink_to(target)
    kept_in(path).append_string("GET a")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert "GET a" in target.read_text()


def test_a_device_keeps_nothing_and_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    before = stat.S_IMODE(os.stat("/dev/null").st_mode)
    kept_in(Path("/dev/null")).append_string("GET a")
    assert stat.S_IMODE(os.stat("/dev/null").st_mode) == before
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("what", ["folder", "missing folder", "pipe", "foreign file", "foreign link", "long name"])
def test_a_history_that_cannot_be_kept(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "history"
    match what:
        case "folder":
            path.mkdir()
        case "missing folder":
            path = path / "history"
        case "pipe":
            os.mkfifo(path)
        case "foreign file":
            path.touch(0o644)
            owner = os.geteuid()
            monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
        case "foreign link":
            (tmp_path / "target").touch(0o644)
            path.symlink_to(tmp_path / "target")
            owner = os.geteuid()
            monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
        case "long name":
            path = tmp_path / ("x" * 300)
    kept = kept_in(path)
    kept.append_string("PUT a 1")
    assert kept.get_strings() == ["PUT a 1"]
    errors = capsys.readouterr().err
    assert errors.startswith("ckv: no history is kept: ")
    assert errors.count("\n") == 1
    if "foreign" in what:
        assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_history_whose_disk_is_full_does_not_end_the_prompt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "history"
    kept = kept_in(path)
    path.unlink()
    path.mkdir()
    kept.append_string("GET a")
    kept.append_string("GET b")
    assert kept.get_strings() == ["GET a", "GET b"]
    assert capsys.readouterr().err.count("ckv: no history is kept: ") == 1


# --- the program in a terminal ---------------------------------------------------------------------------------------


class Terminal:
    """The shell as a process in a terminal of its own."""

    def __init__(self, *arguments: str, **environ: str) -> None:
        self._fd, inner = pty.openpty()
        self.shown = ""
        self.process = subprocess.Popen(
            [*ckv_command(), "shell", *arguments],
            stdin=inner, stdout=inner, stderr=inner, cwd=ROOT, start_new_session=True,
            env=ckv_environment({"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", **environ}),
        )  # fmt: skip
        os.close(inner)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def wait_for(self, text: str, timeout: float = 20) -> None:
        """Wait until the text is shown after what was waited for before."""
        deadline = time.monotonic() + timeout
        while text not in self.shown:
            ready, _, _ = select.select([self._fd], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"not shown: {text!r}; shown: {self.shown!r}"
            try:
                self.shown += os.read(self._fd, 65536).decode("utf-8", "replace")
            except OSError:
                raise AssertionError(f"ended without showing {text!r}; shown: {self.shown!r}") from None
        self.shown = self.shown.partition(text)[2]

    def forget(self) -> None:
        """What is shown up to now is not waited for any more."""
        while select.select([self._fd], [], [], 0)[0]:
            os.read(self._fd, 65536)
        self.shown = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)


def test_the_program_in_a_terminal(nodes: Nodes, tmp_path: Path) -> None:
    secondary = nodes.start_secondary()
    history = tmp_path / "history"
    with Terminal("localhost", str(secondary.port), CKV_HISTORY=str(history)) as terminal:
        terminal.wait_for(f"ckv localhost:{secondary.port}>")
        terminal.type("PUT bob 'two words'\r")
        terminal.wait_for("OK")
        terminal.type("GET bob\r")
        terminal.wait_for('"two words"')
        # Nothing that happens to the node ends the shell, and each command tries again.
        secondary.kill()
        terminal.type("GET bob\r")
        terminal.wait_for("error: ")  # of the connection that broke, if the node was gone within 20 ms of the GET
        terminal.forget()
        terminal.type("GET bob\r")
        terminal.wait_for("error: Unreachable: ")
        secondary.start()
        terminal.type("GET bob\r")
        terminal.wait_for("(none)")
        terminal.type("\x1b[A")  # up: the line before, from the history
        terminal.wait_for("GET bob")
        terminal.type("\x03")
        # That may be the line that was given up, drawn once more; the one after an answer is a new one.
        terminal.wait_for(f"ckv localhost:{secondary.port}>")
        terminal.type("PING\r")
        terminal.wait_for("PONG")
        terminal.wait_for(f"ckv localhost:{secondary.port}>")
        terminal.type("\x04")
        assert terminal.process.wait(20) == 0
    assert "+PUT bob 'two words'\n" in history.read_text()


def test_ctrl_c_during_a_call_in_a_terminal(tmp_path: Path) -> None:
    asked = threading.Event()

    def script(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        connection.respond(msgid, "PONG")
        connection.request()
        asked.set()
        connection.wait_closed()

    with (
        FakeNode(script, store()) as node,
        Terminal("127.0.0.1", str(node.port), "--timeout=60s", CKV_HISTORY=str(tmp_path / "history")) as terminal,
    ):
        terminal.wait_for(f"ckv 127.0.0.1:{node.port}>")
        terminal.type("GET bob\r")
        assert asked.wait(20)
        terminal.forget()
        terminal.process.send_signal(signal.SIGINT)
        terminal.wait_for(f"ckv 127.0.0.1:{node.port}>")
        terminal.type("PING\r")
        terminal.wait_for("PONG")
        # Typed any sooner it would not reach the prompt: the terminal itself takes Ctrl-D between two prompts.
        terminal.wait_for(f"ckv 127.0.0.1:{node.port}>")
        terminal.type("\x04")
        assert terminal.process.wait(20) == 0


def test_the_prompt_in_a_terminal(node: FakeNode, tmp_path: Path) -> None:
    with Terminal("127.0.0.1", str(node.port), CKV_HISTORY=str(tmp_path / "history"), NO_COLOR="") as terminal:
        prompt = f"ckv 127.0.0.1:{node.port}>"
        terminal.wait_for(prompt)
        terminal.type("PUT ")
        terminal.wait_for("key value")  # the hint
        terminal.type("bob 1\r")
        terminal.wait_for("OK")
        terminal.wait_for(prompt)
        terminal.type("\x1b[200~GET bob\nDEL bob\nGET bob\n\x1b[201~")
        for shown in ('"1"', "OK", "(none)", prompt):
            terminal.wait_for(shown)
        terminal.type("\x04")
        assert terminal.process.wait(20) == 0


def test_one_command_at_a_terminal_is_for_people(node: FakeNode) -> None:
    with Client("127.0.0.1", node.port) as client:
        client.put("red", "\x1b[31m")
    with Terminal("127.0.0.1", str(node.port), "GET", "red") as terminal:
        terminal.wait_for(r'"\x1b[31m"')
        assert terminal.process.wait(20) == 0
    with Terminal("127.0.0.1", str(node.port), "GET", "nobody") as terminal:
        terminal.wait_for("(none)")
        assert terminal.process.wait(20) == 1


@pytest.mark.parametrize(
    ("encoding", "shown"), [("latin-1", r'"\xe2\x82\xac'), ("ascii", r'"\xe2\x82\xac\xc3\xbc"'), ("utf-8", '"\u20acü"')]
)
def test_a_character_that_the_terminal_lacks_is_shown_as_it_can_be_typed(
    node: FakeNode, tmp_path: Path, encoding: str, shown: str
) -> None:
    environ = {"CKV_HISTORY": str(tmp_path / "history"), "PYTHONIOENCODING": encoding}
    with Client("127.0.0.1", node.port) as client, Terminal("127.0.0.1", str(node.port), **environ) as terminal:
        client.put("k", "\u20acü")
        terminal.wait_for(f"ckv 127.0.0.1:{node.port}>")
        terminal.type("GET k\r")
        terminal.wait_for(shown)
        terminal.wait_for(f"ckv 127.0.0.1:{node.port}>")
        terminal.type("EXIT\r")
        assert terminal.process.wait(20) == 0


@pytest.mark.parametrize(
    ("name", "result", "people", "script", "as_text"),
    [
        ("GETDEL", "a b", '"a b"', b"a b", '"a b"'),
        ("GETDEL", None, "(none)", b"(none)", "null"),
        ("GETEX", "a b", '"a b"', b"a b", '"a b"'),
        ("SET", [True, False, ""], "OK", b"OK", '[true, false, ""]'),
        (
            "SET",
            [False, True, "a b"],
            'not written, before "a b"',
            b'not written, before "a b"',
            '[false, true, "a b"]',
        ),
        ("DELIFEQ", True, "OK", b"1", "true"),
        ("DELIFEQ", False, "no", b"0", "false"),
        ("EXTEND", True, "OK", b"1", "true"),
        ("EXISTS", True, "yes", b"1", "true"),
        ("INCRBY", -3, "-3", b"-3", "-3"),
        ("INCRBYFLOAT", "0.5", "0.5", b"0.5", '"0.5"'),
        ("COUNT", [True, 7], "7", b"7", "[true, 7]"),
        ("COUNT", [False, 0], "not counted", b"not counted", "[false, 0]"),
    ],
)
def test_results_of_commands_that_read_before_they_write(
    name: str, result: object, people: str, script: bytes, as_text: str
) -> None:
    assert for_people(name, result) == people
    assert raw(name, result) == script
    assert as_json(name, result) == as_text


def test_they_are_typed_with_all_of_their_arguments(nodes: Nodes) -> None:
    node = nodes.start_secondary()
    script = 'SET k 1 0 NX "" ""\nINCRBY k 41\nSET k x 0 NX "" GET\nGETDEL k\nGETDEL k\nEXISTS k\nINCRBY k x\n'
    code, out, said = lines(node.port, script)
    assert (code, out) == (1, b'OK\n42\nnot written, before "42"\n42\n0\n')
    assert said == ("ckv: line 5: no such key\nckv: line 7: NotANumber: the value is not an integer or out of range\n")
