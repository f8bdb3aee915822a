"""Private ZooKeeper servers, alone or as an ensemble, to be killed and paused at will.

Each has a folder and loopback ports of its own. Debian's package has the classes.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from kazoo.client import KazooClient
from kazoo.handlers.gevent import SequentialGeventHandler

from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.stopping import stop

CLASSES: Final = Path("/usr/share/java/zookeeper.jar")
LOGGING: Final = Path("/usr/share/java/slf4j-simple.jar")

TICK: Final = 0.5
"""Seconds. A session of 4 s is allowed with it; a follower that lags for four of them is left behind."""

START_TIMEOUT: Final = 60.0
STOP_TIMEOUT: Final = 30.0

# Small and quick to start.
_JAVA: Final = ("-Xmx64m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.net.preferIPv4Stack=true")
_PROPERTIES: Final = ("zookeeper.admin.enableServer=false", "zookeeper.preAllocSize=64", "readonlymode.enabled=true")


def missing() -> str | None:
    """What is needed and not there; ``None`` when a server can be started."""
    if shutil.which("java") is None:
        return "java"
    return None if CLASSES.exists() else str(CLASSES)


def can_be_installed() -> bool:
    """Whether `.ci/need-zookeeper` could have installed it."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


_NOTHING: Final[Mapping[str, str]] = {}


class ZooKeeper:
    """One server. :meth:`start` it again after :meth:`kill`: the folder and the ports stay the same."""

    def __init__(self, folder: Path, number: int = 1) -> None:
        """``folder`` is empty and belongs to this server, which is the ``number``-th of its ensemble, from 1 on."""
        self.port = free_port()
        self.peers = f"127.0.0.1:{free_port()}:{free_port()}"
        """Where the others of an ensemble reach it."""
        self._number = number
        self._folder = folder
        self.data = folder / "data"
        self._errors = folder / "error.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def launch(self, ensemble: list[ZooKeeper], shipped: Mapping[str, str] = _NOTHING) -> None:
        """Starts it as one of these; :meth:`wait_ready` waits until it answers. ``shipped``: settings that do not
        depend on where it runs."""
        self.data.mkdir(exist_ok=True)
        (self.data / "myid").write_text(f"{self._number}\n")
        settings: dict[str, object] = {
            "tickTime": int(TICK * 1000),
            "initLimit": 20,
            "syncLimit": 4,
            "maxClientCnxns": 0,
            "4lw.commands.whitelist": "srvr",
            **shipped,
            "dataDir": self.data,
            "clientPort": self.port,
            "clientPortAddress": "127.0.0.1",
        }
        if len(ensemble) > 1:
            settings |= {f"server.{server._number}": server.peers for server in ensemble}
        configuration = self._folder / "zoo.cfg"
        configuration.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        command = [
            *("java", *_JAVA, *(f"-D{each}" for each in _PROPERTIES), "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"),
            *("-cp", f"{CLASSES}:{LOGGING}", "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(configuration)),
        ]
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, cwd=self._folder
            )

    def start(self) -> None:
        """Starts it alone, and waits until it answers."""
        self.launch([self])
        self.wait_ready()

    def wait_ready(self) -> None:
        def ready() -> bool:
            if self._running().poll() is not None:
                raise RuntimeError(f"ZooKeeper ended:\n{self.error_log()}")
            return self.mode() in ("standalone", "leader", "follower")

        try:
            eventually(ready, START_TIMEOUT, f"ZooKeeper answers on port {self.port}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.error_log()}") from None

    def mode(self) -> str:
        """``standalone``, ``leader``, ``follower``, ``read-only``; empty where it serves nobody. Raises OSError."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as asked, asked.makefile("r") as answer:
            asked.sendall(b"srvr")
            lines = answer.read().splitlines()
        return next((line.partition(": ")[2] for line in lines if line.startswith("Mode: ")), "")

    def kill(self) -> None:
        """SIGKILL; a server that is down already is left alone."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(STOP_TIMEOUT)

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing, until :meth:`resume`."""
        stop(self._running().pid)

    def resume(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    @contextmanager
    def client(self, user: str = "") -> Iterator[Any]:
        """A client of kazoo's. ``user``: account and password, ``name:password``."""
        with connected(self.address, user) as client:
            yield client

    def error_log(self) -> str:
        """The last lines that the server wrote about itself."""
        if not self._errors.exists():
            return "(the server wrote no log)"
        return "\n".join(self._errors.read_text(errors="replace").splitlines()[-40:])

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process


class Ensemble:
    """Three servers that elect one of them."""

    def __init__(self, folder: Path) -> None:
        self.servers: list[ZooKeeper] = []
        for number in (1, 2, 3):
            (folder / str(number)).mkdir()
            self.servers.append(ZooKeeper(folder / str(number), number))

    @property
    def addresses(self) -> str:
        return ",".join(server.address for server in self.servers)

    def start(self, shipped: Mapping[str, str] = _NOTHING) -> None:
        for server in self.servers:
            server.launch(self.servers, shipped)
        for server in self.servers:
            server.wait_ready()

    def leader(self) -> ZooKeeper:
        """The one that leads; waits until there is one among those that answer."""

        def found() -> ZooKeeper | None:
            for server in self.servers:
                try:
                    if server.mode() == "leader":
                        return server
                except OSError:
                    continue
            return None

        leader = eventually(found, START_TIMEOUT, "one of the servers leads")
        assert leader is not None
        return leader

    def kill(self) -> None:
        for server in self.servers:
            server.kill()


@contextmanager
def connected(addresses: str, user: str = "") -> Iterator[Any]:
    """A client of kazoo's, connected."""
    handler = SequentialGeventHandler()
    client = KazooClient(addresses, handler=handler, auth_data=[("digest", user)] if user else None)
    assert client.start_async().wait(10), "it connects"
    try:
        yield client
    finally:
        client.stop()
        client.close()
