"""What the log is written to: nobody is waited for, and what cannot be written is kept within a bound, or counted."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import socket
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from ckv.stderr import Output
from tests.support.eventually import eventually

LINE = "a line that somebody may want to read\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            pass


def fill(output: Output, lines: int) -> None:
    for number in range(lines):
        output.write(f"{number} {LINE}")


def read_all(fd: int, output: Output) -> str:
    """What can be read while the output goes on writing."""
    os.set_blocking(fd, False)
    found = b""
    while True:
        try:
            found += os.read(fd, 1 << 16)
        except BlockingIOError:
            before = len(found)
            output.flush()
            try:
                found += os.read(fd, 1 << 16)
            except BlockingIOError:
                return found.decode()
            assert len(found) > before


def test_a_pipe_that_nobody_reads_is_not_waited_for_and_its_oldest_lines_go(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    output = Output(writer, max_waiting_bytes=10_000)
    fill(output, 10_000)
    assert output.dropped > 5_000
    assert not fcntl.fcntl(writer, fcntl.F_GETFL) & os.O_NONBLOCK, "others have this open file too"
    lines = read_all(reader, output).splitlines()
    numbers = [int(line.split()[0]) for line in lines if LINE.strip() in line]
    assert numbers[0] == 0
    assert numbers[-1] == 9_999
    assert numbers == sorted(numbers)
    (told,) = [re.fullmatch(r"(\d+) lines of the log were dropped.*", line) for line in lines if "dropped" in line]
    assert told is not None
    assert int(told[1]) == output.dropped == 10_000 - len(numbers)
    assert len(lines) == len(numbers) + 1, "no line is torn"


def test_a_pipe_that_is_another_users_is_not_waited_for(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = pipe

    def refuse(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    output = Output(writer, max_waiting_bytes=10_000)
    fill(output, 10_000)
    assert output.dropped > 5_000
    assert read_all(reader, output).splitlines()[-1] == f"9999 {LINE.strip()}"


def test_a_pipe_whose_reader_is_gone_costs_lines_only(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    output = Output(writer, max_waiting_bytes=1000)
    os.close(reader)
    fill(output, 1000)
    assert output.dropped > 900
    output.finish()


def test_a_socket_that_nobody_reads() -> None:
    """As a journal is."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        output = Output(ours.fileno(), max_waiting_bytes=10_000)
        fill(output, 10_000)
        assert output.dropped > 1_000
        assert ours.getblocking()
        assert read_all(theirs.fileno(), output).splitlines()[-1] == f"9999 {LINE.strip()}"


def test_a_terminal_that_was_stopped() -> None:
    master, slave = pty.openpty()
    try:
        output = Output(slave, max_waiting_bytes=10_000)
        termios.tcflow(slave, termios.TCOOFF)  # Ctrl-S
        fill(output, 10_000)
        assert output.dropped > 5_000
        termios.tcflow(slave, termios.TCOON)
        assert read_all(master, output).splitlines()[-1] == f"9999 {LINE.strip()}"
    finally:
        os.close(master)
        os.close(slave)


def test_a_full_disk_costs_lines_only() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        output = Output(full, max_waiting_bytes=1000)
        fill(output, 1000)
        assert output.dropped > 900
        output.finish()
    finally:
        os.close(full)


def test_the_last_lines_are_written_when_somebody_reads_in_the_end(pipe: tuple[int, int], tmp_path: Path) -> None:
    reader, writer = pipe
    output = Output(writer)
    fill(output, 10_000)
    output.write("the end\n")
    shown = tmp_path / "shown"
    with shown.open("wb") as file, subprocess.Popen(["cat"], stdin=reader, stdout=file) as cat:
        output.finish()
        eventually(lambda: shown.read_text().endswith("\nthe end\n"), what="the last line")
        cat.kill()
    assert output.dropped == 0


def test_characters_that_the_terminal_does_not_have(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    Output(writer, "latin-1").write("\N{EURO SIGN} \udcff\n")
    assert os.read(reader, 100) == b"\\u20ac \\udcff\n"
