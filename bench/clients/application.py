"""One process of an application: greenlets that read and write.

``python -m bench.clients.application ckv PORT``, ``... direct PORT`` (the client asks the owners of keys) or
``... cache-aside CACHE-PORT DATABASE-PORT``, then the options. It prints ``ready``, starts when a line comes in, and
prints one JSON object in the end.
"""

from __future__ import annotations

# ruff: noqa: E402 - the sockets are patched before anybody imports them
from gevent import monkey

monkey.patch_all()

import argparse
import json
import random
import subprocess
import sys
import time

import gevent

from bench.clients.stores import CacheAside, Ckv, Store
from bench.data import record
from bench.generator import program


class Application:
    """What all greenlets of this process have in common."""

    def __init__(self, records: list[tuple[str, str]], get_share: float, seed: int) -> None:
        self._records = records
        self._next = 0
        self._get_share = get_share
        self._random = random.Random(seed)
        self.deadline = 0.0
        self.latencies: list[float] = []
        self.gets = 0

    def work(self, store: Store) -> None:
        """Call the store until the time is up. Raises :class:`AssertionError` on a wrong value."""
        while time.perf_counter() < self.deadline:
            key, value = self._records[self._next % len(self._records)]
            self._next += 1
            started = time.perf_counter()
            if self._random.random() < self._get_share:
                self.gets += 1
                found = store.get(key)
                assert found == value, f"{key}: wanted {value!r}, got {found!r}"
            else:
                store.put(key, value)
            self.latencies.append(time.perf_counter() - started)


def main() -> None:
    options = _parse()
    # Made beforehand: what a call costs is to be measured, not what its key and value do.
    choices = _choices(options.keys, options.zipf, options.seed, options.choices)
    made = {number: record(number) for number in set(choices)}
    application = Application([made[number] for number in choices], options.get_percent / 100, options.seed)
    stores: list[Store]
    if options.kind == "cache-aside":
        stores = [CacheAside(*options.ports) for _ in range(options.greenlets)]
    else:
        stores = [Ckv(options.ports[0], is_direct=options.kind == "direct")] * options.greenlets
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.perf_counter()
    application.deadline = started + options.seconds
    gevent.joinall([gevent.spawn(application.work, store) for store in stores], raise_error=True)
    seconds = time.perf_counter() - started
    report = {
        "seconds": seconds,
        "gets": application.gets,
        "hits": sum(store.hits for store in set(stores)),
        "latencies_us": [round(latency * 1e6, 1) for latency in application.latencies],
    }
    print(json.dumps(report))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("ckv", "direct", "cache-aside"))
    parser.add_argument("ports", type=int, nargs="+")
    parser.add_argument("--keys", type=int, required=True)
    parser.add_argument("--zipf", type=float, required=True)
    parser.add_argument("--get-percent", type=float, required=True)
    parser.add_argument("--greenlets", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--choices", type=int, required=True, help="keys to choose beforehand, to be used in turn")
    return parser.parse_args()


def _choices(keys: int, zipf: float, seed: int, count: int) -> list[int]:
    """The load generator's own choices, so that both choose alike."""
    arguments = ["--print-choices", f"--keys={keys}", f"--zipf={zipf}", f"--seed={seed}", f"--calls={count}"]
    done = subprocess.run([program("loadgen"), *arguments], capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


if __name__ == "__main__":
    main()
