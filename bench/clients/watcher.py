"""One process that writes and reads while a cluster changes, so many calls a second, and tells what it saw.

``python -m bench.clients.watcher PORT --keys=N --rate=N --first=N [--cluster]``. It prints ``ready``, works until its
standard input ends, and prints one JSON object in the end. Each key is its own: what it reads has to be what it wrote
last. A time counts from when a call was due, so a pause is seen by all calls that it made late.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import threading
import time
from typing import Any

import redis
from redis.cluster import RedisCluster

TIMEOUT = 20.0
"""Seconds for one call."""


def main() -> None:
    options = _parse()
    client: Any = (
        RedisCluster("127.0.0.1", options.port, socket_timeout=TIMEOUT)
        if options.cluster
        else redis.Redis(port=options.port, socket_timeout=TIMEOUT)
    )
    keys = [f"watched:{options.first + number}" for number in range(options.keys)]
    latest = dict.fromkeys(keys, b"0")
    for key in keys:
        client.set(key, b"0")
    print("ready", flush=True)
    is_over = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        is_over.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    chance = random.Random(options.first)
    latencies, errors, wrong = [], [], 0
    began = time.perf_counter()
    for number in itertools.count(1):
        due = began + number / options.rate
        if is_over.wait(max(0.0, due - time.perf_counter())):
            break
        key = chance.choice(keys)
        try:
            if number % 10 == 0:
                value = str(number).encode()
                client.set(key, value)
                latest[key] = value
            else:
                wrong += client.get(key) != latest[key]
        except redis.RedisError as error:
            errors.append(f"{type(error).__name__}: {error}")
            latest[key] = client.get(key)  # it may have been carried out
        latencies.append(time.perf_counter() - due)
    print(json.dumps({"latencies_ms": [latency * 1e3 for latency in latencies], "errors": errors, "wrong": wrong}))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--keys", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="calls a second")
    parser.add_argument("--first", type=int, required=True, help="number of its first key")
    parser.add_argument("--cluster", action="store_true", help="ask the owners, as clients in cluster mode do")
    return parser.parse_args()


if __name__ == "__main__":
    main()
