"""How the program ends."""

from __future__ import annotations

import subprocess
import sys

from tests.support.nodes import ROOT

ENDING = """
import atexit, sys, time
from ckv import __main__ as program
import gevent

class Held:
    def __del__(self):
        print("taken apart", file=sys.stderr)

def main():
    program.held = Held()
    gevent.get_hub().threadpool.spawn(lambda: [time.time() for _ in iter(int, 1)])
    atexit.register(print, "told")
    print("done")
    return 3

program.cli.main = main
program.main()
"""
"""A thread of gevent's pool is at work for ever, and a module holds an object that tells when it is taken apart."""


def test_it_ends_with_its_code_and_its_output_and_takes_nothing_apart() -> None:
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (3, "done\ntold\n", "")
