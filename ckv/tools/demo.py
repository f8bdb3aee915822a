"""The demo: starts a whole cluster for a moment, shows what it does, and removes it again.

With an address it runs the same script there, with keys of its own that it deletes. The first difference ends it.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TypeVar

import ckv
from ckv.address import Address
from ckv.client import Client
from ckv.errors import CkvError, to_wire
from ckv.exits import Exit
from ckv.persistent.opening import open_tier
from ckv.settings.roles import DemoSettings
from ckv.tools import about, status
from ckv.tools.shell.commands import run_line
from ckv.values import Value

T = TypeVar("T")

CAPACITY = 5
NAMES = ("alice", "bob", "charles", "daniel", "frey", "eduard")
"""One more than the capacity, so that the first one is evicted."""

PATIENCE = 20.0
"""Seconds that something which happens by itself may take: a start, a connection, a write to the table, a stop."""


class Difference(Exception):
    """Something was not as the script expects it."""


def run(settings: DemoSettings) -> int:
    """Runs the demo; the exit code."""
    note_signals()
    try:
        there = _cluster() if settings.address is None else nullcontext((settings.address, None))
        with there as (address, persistent), Client(address.host, address.port) as client:
            _script(client, persistent)
    except (CkvError, Difference) as error:
        sys.stdout.flush()
        what = to_wire(error) if isinstance(error, CkvError) else str(error)
        print(f"ckv: the demo failed: {what}", file=sys.stderr)
        return Exit.FAILED
    _say("Congratulation, databases are working!")
    return Exit.FINE


def _script(client: Client, persistent: str | None) -> None:
    # The braces make all of the keys one node's (Redis Cluster's hash tags), so that they compete for its memory.
    prefix = "{demo}" if persistent else f"{{ckv-demo-{secrets.token_hex(8)}}}"
    steps = _Steps(client)
    try:
        _say("One record: put it, get it, delete it.")
        steps.run(f"PUT {prefix}bob bob@gmail.com")
        steps.run(f"GET {prefix}bob", "bob@gmail.com")
        steps.run(f"GET {prefix}nobody")
        steps.run(f"DEL {prefix}bob", True)
        steps.run(f"GET {prefix}bob")
        steps.run(f"DEL {prefix}bob", False)
        if persistent is None:
            _say("More records. Whether this cluster evicts one of them depends on its capacity.")
        else:
            _say(f"One record more than a secondary holds in memory ({CAPACITY}), so one must go.")
        records = {prefix + name: f"{name}@gmail.com" for name in NAMES}
        alice, bob, *_ = records
        for key, value in records.items():
            steps.run(f"PUT {key} {value}")
        _table(persistent, records, {alice}, "the least recently used record is there, and no other")
        steps.run(f"GET {alice}", records[alice])
        _table(persistent, records, {alice, bob}, "back in memory, it took the place of the next one")
        _say("Every record can be read, wherever it is.")
        for key, value in records.items():
            steps.run(f"GET {key}", value)
    finally:
        if persistent is None and steps.wrote:
            _clean(client, prefix)


class _Steps:
    """Commands that are shown with what came back."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.wrote = False
        """Whether there may be a record."""

    def run(self, line: str, expected: object = None) -> None:
        """Runs a command as the shell does. Raises what the client raises, and Difference for another result."""
        try:
            name, got = run_line(self._client, line)
        except CkvError as error:
            self.wrote |= error.written != "no"
            raise
        self.wrote |= name == "PUT"
        _say(f"  {line} -> {'OK' if name == 'PUT' else repr(got)}")
        if got != expected:
            raise Difference(f"{line}: expected {expected!r}, got {got!r}")


def _clean(client: Client, prefix: str) -> None:
    failing = sys.exc_info()[0] is not None
    try:
        # Before anything is said: a signal makes that raise, and so does a reader who has gone.
        with client.pipeline() as batch:
            for name in NAMES:
                batch.delete(prefix + name)
    except CkvError as error:
        # Not on top of an error of the script, which says more.
        if not failing:
            raise
        print(f"ckv: records may be left under {prefix}: {to_wire(error)}", file=sys.stderr)
    if not failing:
        _say("Deleted the records of the demo.")


def _table(persistent: str | None, records: Mapping[str, Value], expected: set[str], why: str) -> None:
    """Waits until the table, if it is the demo's own, has just these of the records, byte for byte: an evicted one gets
    there a moment later."""
    if persistent is None:
        return
    wanted = {key: records[key] for key in expected}
    with closing(open_tier(persistent).connect()) as session:
        got = _eventually(lambda: session.load_many(list(records)), lambda got: got == wanted)
    if got != wanted:
        raise Difference(f"the table: expected {wanted!r}, got {got!r}")
    _say(f"  SELECT kv_key FROM CelonisData -> {', '.join(sorted(got))}  ({why})")


@contextmanager
def _cluster() -> Iterator[tuple[Address, str | None]]:
    """Two secondaries and a primary; its address, and that of the persistent tier. Nothing of them stays."""
    with tempfile.TemporaryDirectory(prefix="ckv-demo-") as name, ExitStack() as nodes:
        folder = Path(name)
        persistent = f"sqlite:{folder / 'records.db'}"
        _say(f"Starting a cluster: two secondaries with room for {CAPACITY} records each, the others in {persistent}")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = Address("127.0.0.1", probe.getsockname()[1])
        secondaries = [
            nodes.enter_context(_node(folder, number, "secondary", str(address), "0", persistent, str(CAPACITY), "lru"))
            for number in (1, 2)
        ]
        nodes.enter_context(_node(folder, 0, "primary", str(address.port), *secondaries))
        with Client(address.host, address.port) as client:
            connected = _eventually(lambda: status.read(client)["peers_connected"], lambda count: count == 2)
        if connected != 2:
            raise Difference(f"the secondaries that the primary reaches: expected 2, got {connected}")
        yield address, persistent
        _say("Stopping the cluster.")


@contextmanager
def _node(folder: Path, number: int, role: str, *arguments: str) -> Iterator[str]:
    """A node as a process of its own; where it listens. Its end is its stop, whatever happens."""
    log = folder / f"{role}-{number}.log"
    # A setting of whoever runs the demo is not meant for its nodes.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CKV_")}
    command, places = program()
    environ |= places
    with log.open("wb") as errors:
        # In a session of its own Ctrl-C does not reach it, so that it always stops after the demo, and in order.
        process = subprocess.Popen(
            [*command, role, "--bind=127.0.0.1", "--drain-timeout=10s", *arguments],
            stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, env=environ, start_new_session=True,
        )  # fmt: skip
    try:
        address = _ready(process, log)
        _say(f"  {role} ready on {address}")
        yield address
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
        if process.returncode != Exit.FINE:
            raise Difference(f"the exit code of the {role}: expected 0, got {process.returncode}\n{_tail(log)}")
    finally:
        # Does nothing to one that has stopped. After a failure there is nothing to save, and Ctrl-C may come twice.
        process.kill()
        process.wait()


def program() -> tuple[list[str], dict[str, str]]:
    """How this program starts itself: the command without arguments, and what the environment must have for it."""
    if about.compiled():
        return [about.executable()], {}
    source = str(Path(ckv.__file__).parents[1])
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    return [sys.executable, "-m", "ckv"], {"PYTHONPATH": path}


def _ready(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where the node listens, from its start-up line."""
    found = _eventually(
        lambda: re.search(r" ready on (\S+)", log.read_text("utf-8", "replace")),
        lambda found: found is not None or process.poll() is not None,
    )
    if found is None:
        raise Difference(f"the start of a node: expected a line 'ready on', got {_tail(log)}")
    return found[1]


def _tail(log: Path) -> str:
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-10:])


def _eventually(look: Callable[[], T], fine: Callable[[T], bool]) -> T:
    """What was seen last, when it was as it should be or :data:`PATIENCE` was over."""
    deadline = time.monotonic() + PATIENCE
    while not fine(seen := look()) and time.monotonic() <= deadline:
        _leave_if_told()
        time.sleep(0.02)
    return seen


def _say(line: str) -> None:
    _leave_if_told()
    # At once, for whoever watches through a pipe.
    print(line, flush=True)


# Which of SIGINT, SIGTERM and SIGHUP came. A handler that raised at once could do so in the middle of starting a
# process, which nobody would know of then, or where Python ignores exceptions. So it takes a note, and the demo leaves
# at the next line that it says, or the next time that it waits.
_told: list[int] = []


def _leave_if_told() -> None:
    if _told:
        number = _told.pop()
        _told.clear()
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def note_signals() -> None:
    """Has the demo leave in order when it is told to, from now on."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as it is under nohup
            signal.signal(number, lambda number, _frame: _told.append(number))
