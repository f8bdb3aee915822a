"""Both tiers as the program runs them: under gevent's patched sockets and locks, many greenlets in one thread."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.persistent.conftest import pause
from tests.support.mariadb import MariaDB

PROGRAM = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from ckv.errors import TierUnavailable
from ckv.persistent import open_tier

tier = open_tier(sys.argv[1], environ={})

def work(number):
    session = tier.connect()
    for turn in range(20):
        rows = {f"{number}-{turn}-{row}": (b"bin", "str", "", b"")[row % 4] for row in range(50)}
        session.save_many(list(rows.items()))
        assert session.load_many(list(rows)) == rows
    session.close()

ticks = 0
def tick():
    global ticks
    while True:
        ticks += 1
        gevent.sleep(0)

ticker = gevent.spawn(tick)
workers = [gevent.spawn(work, number) for number in range(4)]
gevent.joinall(workers, raise_error=True)
ticker.kill()
assert ticks > 80, ticks  # The loop turned between the calls and during them.

# A call that its greenlet gives up leaves nothing behind, and the session is over.
session = tier.connect()
call = gevent.spawn(session.save_many, [("given up", "x" * 2**20)] + [(f"g{n}", "") for n in range(2000)])
gevent.sleep(0)
call.kill()
session.close()
try:
    session.count()
except TierUnavailable:
    pass
else:
    raise AssertionError("the session lives on")
session = tier.connect()
assert session.count() in (4000, 6001), session.count()
session.close()
print("fine")
"""


@pytest.mark.parametrize("kind", ["mysql", "sqlite"])
def test_patched(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if kind == "mysql":
        server: MariaDB = request.getfixturevalue("mariadb")
        address = server.address
    else:
        address = f"sqlite:{tmp_path / 'records.db'}"
    done = subprocess.run([sys.executable, "-c", PROGRAM, address], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("fine\n", "")


KILLED = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from ckv.persistent import open_tier

session = open_tier(sys.argv[1], environ={}).connect()
print("connected", flush=True)
sys.stdin.readline()

def work():
    try:
        session.save_many([("k", "v" * 2**24)])
    finally:
        session.close()

call = gevent.spawn(work)
gevent.sleep(0.5)
assert not call.ready()
call.kill(timeout=15)  # The time-out of a write is 30 seconds.
print("killed" if call.dead else "hangs", flush=True)
"""


def test_a_kill_does_not_wait_for_a_server_that_has_stopped_reading(private_mariadb: MariaDB) -> None:
    command = [sys.executable, "-c", KILLED, private_mariadb.address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdin is not None
            assert program.stdout is not None
            assert program.stdout.readline() == "connected\n"
            pause(private_mariadb)
            program.stdin.write("go\n")
            program.stdin.flush()
            assert program.stdout.readline() == "killed\n"
        finally:
            program.kill()
