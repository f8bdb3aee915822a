"""Both tiers as the program runs them: under gevent's patched sockets and locks, many greenlets in one thread."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.mariadb import MariaDB

PROGRAM = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from ckv.errors import TierUnavailable
from ckv.persistent.opening import open_tier

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
        # Not 0: a thread that spins takes Python's lock away from SQLite's, for 5 ms at each row.
        gevent.sleep(0.001)

ticker = gevent.spawn(tick)
workers = [gevent.spawn(work, number) for number in range(4)]
gevent.joinall(workers, raise_error=True)
ticker.kill()
assert ticks > 20, ticks  # The loop turned during the calls: without that there would be none.

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
