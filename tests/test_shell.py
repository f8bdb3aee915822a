"""The shell: at a prompt, and as a command in scripts."""

from __future__ import annotations

import io
import os
import pty
import select
import shlex
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
from prompt_toolkit import PromptSession
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from ckv import Client
from ckv.roles import shell
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
        ("it\\'s", "it's"),
        ('"say \\"hi\\""', 'say "hi"'),
        ("a'b'\"c\"", "abc"),
        ("'#1'", "#1"),
        ("#1", "#1"),
        ("a\\ b", "a b"),
        ("$HOME", "$HOME"),
        ("ü", "ü"),
    ],
)
def test_words_are_quoted_as_in_a_posix_shell(node: FakeNode, words: str, value: str) -> None:
    assert lines(node.port, f"PUT key {words}\nGET key\n") == (0, f"OK\n{value}\n".encode(), "")


@given(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=30))
def test_any_word_can_be_quoted(value: str) -> None:
    class Recorder:
        def put(self, *arguments: str) -> None:
            assert arguments == ("key", value)

    client = Recorder()
    assert shell.run_line(client, f"PUT key {shlex.quote(value)}") == ("PUT", None)  # type: ignore[arg-type]


def test_bytes_that_are_not_utf_8_stay_as_they_are(node: FakeNode) -> None:
    assert lines(node.port, b"PUT \xff\xfe a\xffb\nGET \xff\xfe\n") == (0, b"OK\na\xffb\n", "")


def test_a_binary_value_is_written_as_it_is(node: FakeNode) -> None:
    value = bytes(range(256))
    with Client("127.0.0.1", node.port) as client:
        client.put("binary", value)
        client.put("text", "\x1b[31m\n")
    assert lines(node.port, "GET binary\n") == (0, value + b"\n", "")
    assert lines(node.port, "GET text\n") == (0, b"\x1b[31m\n\n", "")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("FETCH a", "'FETCH' is no command: allowed is PUT, GET, DEL, PING, INFO, RETRY, PEEK, SCAN, HELP, EXIT, QUIT"),
        ("GET", "expected GET key"),
        ("GET a b", "expected GET key"),
        ('GET a "" b', "expected GET key"),
        ("PUT a", "expected PUT key value"),
        ("PUT a b c", "expected PUT key value"),
        ("GET 'a", "No closing quotation: quote as in a shell, with '...' or \"...\""),
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
        ("GET", "ü\u202e\U0001f600", '"ü\\u202e\U0001f600"'),
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
        ("SCAN", [7, [["a\n", "clean", b"\x01"], ["b", "absent", b""]]], '"a\\n" clean 01\n"b" absent\nnext cursor 7'),
    ],
)
def test_results_for_people(name: str, result: object, shown: str) -> None:
    assert shell.for_people(name, result) == shown


@given(st.text(max_size=30) | st.binary(max_size=30))
def test_a_value_never_upsets_a_terminal(value: str | bytes) -> None:
    assert shell.quoted(value).isprintable()


@contextmanager
def prompt(*typed: str) -> Iterator[PromptSession[str]]:
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        for text in typed:
            keys.send_text(text)
        yield PromptSession()


def interact(port: int, *typed: str) -> tuple[int, list[str]]:
    """The exit code, and the lines shown after the greeting."""
    out = io.StringIO()
    with prompt(*typed) as session, Client("127.0.0.1", port) as client:
        code = shell.interact(client, session, out)
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
        assert interact(node.port, "GET bob\r", "PING\r", "\x04") == (0, ["PONG"])


def test_an_unreachable_node_does_not_end_the_session() -> None:
    port = free_port()
    code, shown = interact(port, "PING\r", "GET a\r", "\x04")
    assert code == 0
    assert len(shown) == 3
    assert shown[0].startswith(f"Unreachable: 127.0.0.1:{port} cannot be reached")
    assert all(line.startswith("error: Unreachable: ") for line in shown[1:])


def completions(text: str) -> list[str]:
    return [completion.text for completion in shell.COMPLETER.get_completions(Document(text), CompleteEvent())]


def test_completion() -> None:
    assert completions("p") == ["PUT", "PING", "PEEK"]
    assert completions("GE") == ["GET"]
    assert completions("ex") == ["EXIT"]
    assert completions("GET p") == []
    assert completions("GET ") == []


def test_the_history_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "history"
    shell.history(path).append_string("PUT secret 1")
    assert list(shell.history(path).load_history_strings()) == ["PUT secret 1"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_history_that_cannot_be_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell.history(tmp_path).append_string("PUT a 1")
    assert capsys.readouterr().err.startswith("ckv: no history is kept: ")


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
