"""The peers that ckv is measured beside, as private processes on loopback ports."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from bench import newest
from bench.generator import program
from ckv.core import SWITCH
from tests.support.certificate import Certified
from tests.support.eventually import eventually
from tests.support.nodes import DEFAULT_CAPACITY, ROOT, Cluster, Node, Nodes, ckv_command, ckv_environment
from tests.support.ports import free_port
from tests.system.registered import Joined

# Debian puts servers into sbin, which is not on every user's PATH.
_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", "/usr/local/bin"))

STOP_TIMEOUT = 60.0
MEMCACHED_MIB = 4096
MEMCACHED_CONNECTIONS = 2048
MEMCACHED_MAX_ITEM = "2m"

PING = bytes([0x94, 0, 1, 0xA4, *b"PING", 0x90])
PONG = bytes([0x94, 1, 1, 0xC0, 0xA4, *b"PONG"])
"""msgpack-RPC: ``[0, 1, "PING", []]`` and ``[1, 1, nil, "PONG"]``."""

INTERPRETED = "ckv, interpreted"
"""The secondary as an interpreter runs it, without anything of it that is compiled."""

IN_RESP = "ckv, RESP"
"""The secondary as clients of Redis talk to it."""

REGISTERED = "ckv, registered"
"""A primary without a list, whose secondaries have joined it."""


def installed(name: str) -> str:
    """The path of a program. Raises :class:`FileNotFoundError`."""
    path = shutil.which(name, path=_PATH)
    if path is None:
        raise FileNotFoundError(f"{name} is not installed")
    return path


@dataclass(frozen=True)
class Contender:
    """Something that the generator can talk to."""

    name: str
    protocol: str
    port: int
    pids: tuple[int, ...]
    """The processes that serve it, whose CPU time counts as its own."""
    tls: bool = False
    """Whether the generator speaks TLS to it."""

    def cpu_seconds(self) -> float:
        """What its processes have used so far."""
        ticks = 0
        for pid in self.pids:
            # The second field is the name of the program, in parentheses, and may have blanks in it.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self) -> int:
        """The memory that its processes occupy now."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids)
        return pages * os.sysconf("SC_PAGE_SIZE")


def answers(port: int, send: bytes = b"", expect: bytes = b"") -> Callable[[], bool]:
    """A condition: somebody listens on the port, and answers ``send`` with something that begins with ``expect``."""

    def condition() -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(send)
            return not expect or connection.recv(len(expect)) == expect

    return condition


class Servers:
    """Starts servers, and ends them when it is left. What is private to a server lies in a temporary folder."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._folder = Path()
        self._nodes = Nodes()
        self._last: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Servers:
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="ckv-bench-")))
        self._stack.enter_context(self._nodes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def start(self, command: Sequence[str], ready: Callable[[], object]) -> subprocess.Popen[bytes]:
        """Start a program and wait until it is ready; its output is shown when it does not get there."""
        with tempfile.TemporaryFile(dir=self._folder) as log:
            process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=ckv_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            self._stack.callback(stop, process)
            self._last = process
            try:
                eventually(ready, what=f"{command[0]} answers")
            except AssertionError as problem:
                log.seek(0)
                raise AssertionError(f"{problem}\n{log.read().decode(errors='replace')[-2000:]}") from None
        return process

    def stop_last(self) -> None:
        """End the peer that was started last, with SIGTERM, and wait for its end."""
        if self._last is not None:
            stop(self._last)

    def secondary(
        self,
        name: str = "ckv",
        *,
        persistent: str = "-",
        capacity: int = DEFAULT_CAPACITY,
        policy: str = "lru",
        pool_size: int = 1,
        options: Sequence[str] = (),
    ) -> Contender:
        """A ckv secondary."""
        return of_node(self.secondary_node(persistent, capacity, policy, pool_size, options), name)

    def secondary_node(
        self,
        persistent: str = "-",
        capacity: int = DEFAULT_CAPACITY,
        policy: str = "lru",
        pool_size: int = 1,
        options: Sequence[str] = (),
    ) -> Node:
        """The same, to be stopped by the caller."""
        return self._nodes.start_secondary(
            persistent=persistent, capacity=capacity, policy=policy, pool_size=pool_size, options=options
        )

    def in_resp(self, capacity: int = DEFAULT_CAPACITY) -> Contender:
        """A secondary that is asked in the protocol of Redis."""
        return replace(self.secondary(IN_RESP, capacity=capacity), protocol="resp")

    def interpreted(self, capacity: int = DEFAULT_CAPACITY) -> list[Contender]:
        """A secondary that this Python runs; none if that is what is measured anyway."""
        command = [sys.executable, str(ROOT / "ckv.py")]
        if ckv_command() == command:
            return []
        port = free_port()
        arguments = ["secondary", "127.0.0.1:8080", str(port), "-", str(capacity)]
        process = self.start(["env", f"{SWITCH}=off", *command, *arguments], answers(port, PING, PONG))
        return [Contender(INTERPRETED, "msgpack", port, (process.pid,))]

    def cluster(
        self,
        name: str = "ckv",
        *,
        secondaries: int = 2,
        capacity: int = DEFAULT_CAPACITY,
        primary_options: Sequence[str] = (),
    ) -> Contender:
        """A ckv primary in front of secondaries."""
        cluster: Cluster = self._nodes.start_cluster(secondaries, capacity=capacity, primary_options=primary_options)
        return of_nodes(name, cluster.primary, cluster.secondaries)

    def registered(self, name: str = REGISTERED, *, secondaries: int = 2) -> Contender:
        """A ckv primary that secondaries have joined, each of which has its share of the slots."""
        joined = Joined(self._nodes, None)
        names = [f"joined-{number}" for number in range(secondaries)]
        joined.add(*names)
        joined.wait_level(*names)
        return of_nodes(name, joined.primary, joined.secondaries.values())

    def redis(self, name: str = "Redis", *options: str) -> Contender:
        """Debian's Redis without persistence."""
        return self._redis(name, [installed("redis-server")], options)

    def redis_by_tls(self, certified: Certified, name: str = "Redis") -> Contender:
        """The same, asked by TLS, where it has this certificate and asks nobody for one."""
        port = free_port()
        files = ["--tls-cert-file", str(certified.path), "--tls-key-file", str(certified.key_path)]
        plain = self.redis(name, "--tls-port", str(port), *files, "--tls-auth-clients", "no")
        return replace(plain, port=port, tls=True)

    def _redis(self, name: str, program: Sequence[str], options: Sequence[str] = ()) -> Contender:
        port = free_port()
        command = [*program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", *options]
        process = self.start(command, answers(port, b"PING\r\n", b"+PONG"))
        return Contender(name, "resp", port, (process.pid,))

    def memcached(self) -> Contender:
        """Debian's memcached with one thread."""
        return self._memcached("memcached", [installed("memcached")])

    def newest(self, *names: str) -> list[Contender]:
        """Of these names of :mod:`bench.newest` those whose programs are there, as their older ones are run."""
        return [
            self._memcached(name, command) if name == newest.MEMCACHED else self._redis(name, command)
            for name in names
            if (command := newest.command(name)) is not None
        ]

    def _memcached(self, name: str, program: Sequence[str]) -> Contender:
        port = free_port()
        command = [*program, "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-t", "1"]
        command += ["-m", str(MEMCACHED_MIB), "-c", str(MEMCACHED_CONNECTIONS), "-I", MEMCACHED_MAX_ITEM]
        # It refuses to run as root unless it is told to.
        command += ["-u", "root"] if os.geteuid() == 0 else []
        process = self.start(command, answers(port, b"version\r\n", b"VERSION"))
        return Contender(name, "memcached", port, (process.pid,))

    def nutcracker(self, backends: Sequence[Contender], name: str = "nutcracker") -> Contender:
        """nutcracker (twemproxy) in front of some Redis."""
        port, figures_port = free_port(), free_port()
        servers = "".join(f"   - 127.0.0.1:{backend.port}:1\n" for backend in backends)
        file = self._folder / f"nutcracker-{port}.yml"
        file.write_text(
            f"pool:\n  listen: 127.0.0.1:{port}\n  redis: true\n  hash: fnv1a_64\n  distribution: ketama\n"
            f"  auto_eject_hosts: false\n  server_connections: 1\n  servers:\n{servers}"
        )
        command = [installed("nutcracker"), "-c", str(file), "-a", "127.0.0.1", "-s", str(figures_port)]
        process = self.start(command, answers(port))
        pids = (process.pid, *(pid for backend in backends for pid in backend.pids))
        return Contender(name, "resp", port, pids)

    def null(self, protocol: str, value_bytes: int) -> Contender:
        """The server that stores nothing."""
        process = subprocess.Popen(
            [program("nullserver"), protocol, str(value_bytes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._stack.callback(stop, process)
        assert process.stdout is not None
        return Contender(f"null server, {protocol}", protocol, int(process.stdout.readline()), (process.pid,))


def of_node(node: Node, name: str) -> Contender:
    """A ckv secondary as a contender."""
    return Contender(name, "msgpack", node.port, family(node.pid))


def of_nodes(name: str, primary: Node, secondaries: Iterable[Node]) -> Contender:
    """A ckv primary as a contender, with what is behind it."""
    pids = [pid for node in (primary, *secondaries) for pid in family(node.pid)]
    return Contender(name, "msgpack", primary.port, tuple(pids))


def family(pid: int) -> tuple[int, ...]:
    """A process and those that it started: a program that unpacks itself runs as the child of the unpacker."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (pid, *(grandchild for child in children for grandchild in family(int(child))))


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server; one that ended already is left alone."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
