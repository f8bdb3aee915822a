"""Fail-overs, hundreds of them: an owner is stopped in the middle of its writes, loses its keys, and is woken.

.venv/bin/python -m tests.failures.failovers                # 300 of them, on a private MariaDB
.venv/bin/python -m tests.failures.failovers --unfenced     # the control: it has to end with 1
.venv/bin/python -m tests.failures.failovers --galera       # owners write to two servers of one Galera cluster

Two processes take one name in turn (:mod:`tests.failures.owner`). The one that has it saves batches over several
sessions until SIGSTOP hits it, at any moment. The other one fences it, reads what is there, saves newer values of some
keys, and then the first one is woken, and goes on with the batches that it had at hand. One of three is not stopped:
it is fenced while it saves, as one that is cut off from everything but the database. Two things have to be true after
each turn:

- What the first one was told is saved was there when the other one had fenced it.
- Each row is the newest that the other one has read or saved.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.failures.owner import KEYS, Ended, Order, Taken, Values, own
from tests.support.galera import GaleraCluster
from tests.support.mariadb import DATABASE, MariaDB
from tests.support.products import make_template
from tests.support.stopping import stop

ROUNDS: Final = 300

LATEST_STOP: Final = 0.02
"""Seconds for which an owner writes before it is stopped, at most; a transaction takes a few thousandths."""

SHARE_STOPPED: Final = 2 / 3
"""Of the owners that are fenced."""

PATIENCE: Final = 60.0
"""Seconds that an owner may take for anything."""


@dataclass
class Report:
    """What came of it."""

    rounds: int = 0
    stopped: int = 0
    """Rounds in which the owner was stopped."""
    in_transaction: int = 0
    """Those of them in which it was in the middle of a transaction, by what the server says."""
    fenced_after: list[float] = field(default_factory=list)
    """Seconds from the question for the name to the end of the process before, as the database knows it."""
    batches: int = 0
    """Transactions of owners that were told that they are saved."""
    refused: int = 0
    """Sessions of owners that were told that they are fenced."""
    codes: Counter[int] = field(default_factory=Counter)
    """How often a statement of an owner failed with which error number; 0 where the connection broke."""
    overwritten: int = 0
    """Rows that were not the newest in the end."""
    lost: int = 0
    """Values whose owner was told that they are saved, and that were not there when it was fenced."""

    @property
    def is_right(self) -> bool:
        return not self.overwritten and not self.lost

    def __str__(self) -> str:
        median = 1000 * statistics.median(self.fenced_after)
        codes = ", ".join(f"{code}: {count}" for code, count in sorted(self.codes.items()))
        return "\n".join(
            [
                f"fail-overs: {self.rounds}, stopped: {self.stopped}, within a transaction: {self.in_transaction}",
                f"saved batches: {self.batches:,}; statements that failed, by error number: {codes or 'none'}",
                f"sessions that heard that they are fenced: {self.refused}",
                f"to fence: median {median:.0f} ms, worst {1000 * max(self.fenced_after):.0f} ms",
                f"rows that are not the newest: {self.overwritten}; saved and lost: {self.lost}",
            ]
        )


class Owner:
    """One process that owns the keys from time to time."""

    def __init__(self, server: MariaDB, seed: int, *, fenced: bool) -> None:
        self._server = server
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=own, args=(theirs, server.address, seed, fenced), daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, order: Order) -> object:
        self._pipe.send(order)
        return self.answer()

    def answer(self) -> object:
        if not self._pipe.poll(PATIENCE):
            raise AssertionError(f"no answer within {PATIENCE:g} s")
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise AssertionError("an owner ended by itself; stderr has its reason") from None
        return answer

    def take(self) -> Taken:
        taken = self.ask("take")
        assert isinstance(taken, Taken)
        return taken

    def save_once(self) -> Values:
        """Newer values of some keys: those that were saved."""
        saved = self.ask("save")
        assert isinstance(saved, dict)
        return saved

    def write(self) -> None:
        """Goes on saving until it is fenced; returns when it does."""
        self.ask("write")

    def pause(self) -> int:
        """SIGSTOP; how many transactions it has open now."""
        assert self._process.pid is not None
        stop(self._process.pid)
        ((count,),) = self._server.query(
            "SELECT COUNT(*) FROM information_schema.innodb_trx JOIN information_schema.processlist"
            " ON id = trx_mysql_thread_id WHERE db = %s",
            (DATABASE,),
        )
        return int(count)

    def wake(self) -> Ended:
        """SIGCONT, and what came of its sessions, each of which has saved what it had at hand or was fenced."""
        self._pipe.send("end")
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGCONT)
        ended = self.answer()
        assert isinstance(ended, Ended)
        return ended

    def close(self) -> None:
        self._process.kill()
        self._process.join()


def run(servers: Sequence[MariaDB], rounds: int, *, fenced: bool = True, seed: int = 1) -> Report:
    """``rounds`` fail-overs over servers without a table of ckv's, to and fro between owners that write to the first
    and to the last of them. Not ``fenced``: owners do not look whether they are."""
    report = Report()
    choices = random.Random(seed)
    with ExitStack() as ends:
        owners = [
            Owner(server, seed + number, fenced=fenced) for number, server in enumerate((servers[0], servers[-1]))
        ]
        for each in owners:
            ends.callback(each.close)
        old, new = owners
        old.take()
        for _ in range(rounds):
            old.write()
            time.sleep(choices.uniform(0, LATEST_STOP))
            # One that never ends by itself, and is not stopped, would not let the other one have its rows.
            if not fenced or choices.random() < SHARE_STOPPED:
                report.stopped += 1
                report.in_transaction += old.pause() > 0
            taken = new.take()
            newest = taken.found | new.save_once()
            ended = old.wake()
            report.rounds += 1
            report.fenced_after.append(taken.fenced_after)
            report.batches += ended.batches
            report.refused += ended.fenced
            report.codes += ended.codes
            report.lost += sum(value > taken.found.get(key, "") for key, value in ended.saved.items())
            tables = [server.rows() for server in servers]
            report.overwritten += sum(
                any(rows.get(key.encode(), b"").decode() != newest.get(key, "") for rows in tables) for key in KEYS
            )
            old, new = new, old
    return report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.failures.failovers", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how many (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="when owners are stopped (default %(default)s)")
    parser.add_argument("--unfenced", action="store_true", help="owners do not look whether they are fenced")
    parser.add_argument("--galera", action="store_true", help="owners write to two nodes of one Galera cluster")
    arguments = parser.parse_args()
    # By default SIGTERM ends Python on the spot, and the servers would live on.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with TemporaryDirectory(prefix="ckv-failovers-") as folder, ExitStack() as ends:
        for name in ("template", "server"):
            (Path(folder) / name).mkdir()
        template = make_template(Path(folder) / "template")
        if arguments.galera:
            servers: Sequence[MariaDB] = ends.enter_context(GaleraCluster(Path(folder) / "server", template)).servers
        else:
            servers = [MariaDB(Path(folder) / "server", template)]
            servers[0].start()
            ends.callback(servers[0].kill)
        report = run(servers, arguments.rounds, fenced=not arguments.unfenced, seed=arguments.seed)
    print(report)
    return 0 if report.is_right else 1


if __name__ == "__main__":
    sys.exit(main())
