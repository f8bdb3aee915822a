"""ckv as real processes: single nodes, whole clusters, and commands that run to their end.

The program under test is ``ckv.py`` with the Python that runs the tests; ``CKV_COMMAND`` names another one, for
instance a compiled binary: ``CKV_COMMAND=dist/ckv make test``.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.support.ports import free_port
from tests.support.stopping import stop

ROOT = Path(__file__).resolve().parents[2]

READY = re.compile(r"ready on \S*:(\d+)")
READY_TIMEOUT = 30.0
EXIT_TIMEOUT = 60.0

DEFAULT_CAPACITY = 1_000_000

NOWHERE = "127.0.0.1:1"
"""A primary that is not there. No port at which somebody may have one: whoever names it would be taken in."""


def ckv_command() -> list[str]:
    """How ckv is started, without its arguments."""
    named = os.environ.get("CKV_COMMAND")
    return shlex.split(named) if named else [sys.executable, str(ROOT / "ckv.py")]


def ckv_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a ckv process: ours without any ``CKV_`` setting of the person who runs the tests."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("CKV_")}
    return {**plain, **(extra or {})}


def run_ckv(
    *arguments: str, stdin: str = "", timeout: float = EXIT_TIMEOUT, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ckv to its end, with ``stdin`` piped into it: usage pages, bad settings, the shell, the demo."""
    return subprocess.run(
        [*ckv_command(), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=timeout,
        env=ckv_environment(env),
        cwd=ROOT,
    )


class Node:
    """One process of a role that listens. Its log lines (stderr) are collected while it runs, across restarts."""

    def __init__(
        self,
        arguments: Sequence[str],
        port_at: int,
        env: Mapping[str, str] | None = None,
        name: str | None = None,
        command: Sequence[str] = (),
    ) -> None:
        """``arguments`` follow the command; the port stands at ``port_at`` among them and may be ``0``.

        A restart listens on the port that the first start was given. ``command``: another one than usual.
        """
        self.name = name or arguments[0]
        self.port = int(arguments[port_at])
        self.log: list[str] = []
        self._arguments = list(arguments)
        self._port_at = port_at
        self._env = env
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._more = threading.Condition()
        self._log_ended = False

    @property
    def address(self) -> str:
        """``127.0.0.1:port``."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._started().pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, wait: bool = True) -> Node:
        """Start the process, also again after its end; with ``wait`` return when it is ready."""
        if self._process is not None:
            raise RuntimeError(f"{self.name} is already started")
        self._arguments[self._port_at] = str(self.port)
        self._log_ended = False
        since = len(self.log)
        self._process = subprocess.Popen(
            [*(self._command or ckv_command()), *self._arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            env=ckv_environment(self._env),
            cwd=ROOT,
        )
        self._reader = threading.Thread(target=self._collect, args=(self._process,), daemon=True)
        self._reader.start()
        if wait:
            self.wait_ready(since=since)
        return self

    def wait_ready(self, timeout: float = READY_TIMEOUT, since: int = 0) -> None:
        """Wait for the start-up line and learn the port from it."""
        found = READY.search(self.wait_for_log("ready on", timeout, since))
        assert found, f"no port in the start-up line of {self.name}\n{self.tail()}"
        self.port = int(found[1])

    def wait_for_log(self, text: str, timeout: float = 10.0, since: int = 0) -> str:
        """The first log line at or after position ``since`` that holds ``text``.

        To wait for something that happens from now on, take ``since = len(node.log)`` before causing it. A process
        that ends without the line fails at once.
        """
        deadline = time.monotonic() + timeout
        with self._more:
            while True:
                for line in self.log[since:]:
                    if text in line:
                        return line
                left = deadline - time.monotonic()
                if self._log_ended:
                    raise AssertionError(f"{self.name} ended without logging {text!r}\n{self.tail()}")
                if left <= 0:
                    raise AssertionError(f"{self.name} did not log {text!r} within {timeout:g} s\n{self.tail()}")
                self._more.wait(left)

    def wait_peer(self, address: str, timeout: float = 10.0, since: int = 0) -> None:
        """Wait until this primary is connected to the secondary at ``address``; see :meth:`wait_for_log`."""
        self.wait_for_log(f"peer {address} connected", timeout, since)

    def terminate(self, timeout: float = EXIT_TIMEOUT, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask the process to stop, in the way an operator does; returns its exit code."""
        self._started().send_signal(how)
        return self.wait(timeout)

    def wait(self, timeout: float = EXIT_TIMEOUT) -> int:
        """Wait for an end that the test expects; returns the exit code, negative for a signal."""
        process = self._started()
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {timeout:g} s\n{self.tail()}") from None
        self._join()
        return code

    def kill(self) -> None:
        """SIGKILL, as when the machine loses power."""
        process = self._started()
        process.kill()
        process.wait()
        self._join()

    def restart(self, wait: bool = True) -> Node:
        """Start again on the same port with the same arguments; a process that still runs is killed first."""
        if self._process is not None:
            self.kill()
        return self.start(wait)

    def signal(self, number: signal.Signals) -> None:
        self._started().send_signal(number)

    def pause(self) -> None:
        """SIGSTOP: its connections stay open and it does nothing, until :meth:`resume`."""
        stop(self._started().pid)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def rss_bytes(self) -> int:
        """The memory that the process occupies now, in bytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def threads(self) -> int:
        """How many threads the process has now."""
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def tail(self, lines: int = 50) -> str:
        """The end of the log, for the message of a failed assert."""
        return "\n".join([f"--- the log of {self.name} {self.address} ---", *self.log[-lines:]])

    def died(self) -> str | None:
        """What to say when the process ended and the test has not waited for that; ``None`` when all is well."""
        if self._process is None or self._process.poll() is None:
            return None
        code = self._process.returncode
        self._join()
        return f"{self.name} ended by itself with exit code {code}\n{self.tail()}"

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running\n{self.tail()}")
        return self._process

    def _collect(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                with self._more:
                    self.log.append(line.rstrip("\n"))
                    self._more.notify_all()
        with self._more:
            self._log_ended = True
            self._more.notify_all()

    def _join(self) -> None:
        if self._reader is not None:
            self._reader.join()
        self._process = self._reader = None


class Cluster:
    """A primary and its secondaries."""

    def __init__(self, primary: Node, secondaries: Sequence[Node]) -> None:
        self.primary = primary
        self.secondaries = list(secondaries)

    @property
    def address(self) -> str:
        """Where clients connect: the primary."""
        return self.primary.address


class Nodes:
    """Starts nodes and sees to their end: the ``nodes`` fixture.

    Leaving it kills whatever still runs, and fails if a node ended that no test had told or expected to.
    """

    def __init__(self) -> None:
        self._nodes: list[Node] = []

    def start(
        self,
        arguments: Sequence[str],
        port_at: int,
        *,
        env: Mapping[str, str] | None = None,
        name: str | None = None,
        wait: bool = True,
        command: Sequence[str] = (),
    ) -> Node:
        """Any role that listens; see :class:`Node`."""
        node = Node(arguments, port_at, env, name, command)
        self._nodes.append(node)
        return node.start(wait)

    def start_secondary(
        self,
        *,
        primary: str = NOWHERE,
        port: int = 0,
        persistent: str = "-",
        capacity: int = DEFAULT_CAPACITY,
        policy: int | str = 1,
        pool_size: int = 1,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        wait: bool = True,
        name: str | None = None,
        command: Sequence[str] = (),
    ) -> Node:
        """``ckv secondary`` on a free port, or on ``port``; ``options`` are long ones, like ``--drain-timeout=2``."""
        positional = (primary, port or free_port(), persistent, capacity, policy, pool_size)
        return self.start(
            ["secondary", *options, *map(str, positional)],
            2 + len(options),
            env=env,
            wait=wait,
            name=name,
            command=command,
        )

    def start_primary(
        self,
        *secondaries: Node | str,
        port: int = 0,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        wait: bool = True,
        name: str | None = None,
        command: Sequence[str] = (),
    ) -> Node:
        """``ckv primary`` on a free port, or on ``port``, over nodes or addresses."""
        addresses = [node.address if isinstance(node, Node) else node for node in secondaries]
        arguments = ["primary", *options, str(port or free_port()), *addresses]
        return self.start(arguments, 1 + len(options), env=env, wait=wait, name=name, command=command)

    def start_cluster(
        self,
        secondaries: int = 2,
        *,
        persistent: str = "-",
        capacity: int = DEFAULT_CAPACITY,
        policy: int | str = 1,
        pool_size: int = 1,
        secondary_options: Sequence[str] = (),
        primary_options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> Cluster:
        """A primary that is connected to that many secondaries; the capacity is that of each secondary."""
        port = free_port()
        started = [
            self.start_secondary(
                primary=f"127.0.0.1:{port}",
                persistent=persistent,
                capacity=capacity,
                policy=policy,
                pool_size=pool_size,
                options=secondary_options,
                env=env,
                name=f"secondary {number}",
                wait=False,
            )
            for number in range(1, secondaries + 1)
        ]
        for node in started:
            node.wait_ready()
        router = self.start_primary(*started, port=port, options=primary_options, env=env)
        # A primary is ready at once and looks for its secondaries afterwards.
        for node in started:
            router.wait_peer(node.address)
        return Cluster(router, started)

    def tails(self) -> str:
        """The end of every node's log."""
        return "\n".join(node.tail() for node in self._nodes)

    def __enter__(self) -> Nodes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        died = [message for node in self._nodes if (message := node.died()) is not None]
        for node in self._nodes:
            if node.running:
                node.kill()
        if not died:
            return
        if error is None:
            raise AssertionError("\n".join(died))
        # What is on its way says more: a signal to the whole group, as `timeout` and Ctrl-C send it, ends nodes too.
        error.add_note("\n".join(died))
