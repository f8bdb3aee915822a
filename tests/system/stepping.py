"""Clients of Redis that ask for several keys at once while a cluster changes, and check each answer."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import redis
from redis.cluster import RedisCluster
from redis.exceptions import TryAgainError

KEYS = 60
"""Of each client, of any node; and as many pairs that are on one."""


class Stepping:
    """Threads that use keys of their own: what each is answered follows from what it did before."""

    def __init__(self, port: int, clients: int = 3, *, cluster_clients: bool = False) -> None:
        """``cluster_clients``: they go to the owners of keys by themselves."""
        self._port = port
        self._stepper = _ToOwners if cluster_clients else _ToPrimary
        self._stop = threading.Event()
        self.wrong: list[str] = []
        """Errors, and answers that do not follow."""
        self.done: Counter[str] = Counter()
        """How many of each kind were answered."""
        self._threads = [threading.Thread(target=self._use, args=(number,)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends them, and checks that nothing was wrong."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert not self.wrong, (len(self.wrong), self.wrong[:5])

    def _use(self, number: int) -> None:
        with self._stepper.client(self._port) as client:
            one = self._stepper(client, number)
            while not self._stop.is_set():
                kind, step = one.choose()
                try:
                    step()
                except one.refusal:
                    continue  # Nothing was done, as what is read next shows.
                except Exception as error:  # noqa: BLE001 - whatever it is, the test has to see it
                    self.wrong.append(f"{kind}: {type(error).__name__}: {error}")
                self.done[kind] += 1
            try:
                one.check_all()
            except Exception as error:  # noqa: BLE001 - the same
                self.wrong.append(f"at the end: {type(error).__name__}: {error}")


class _ToPrimary:
    """One of them, which asks a primary for everything."""

    refusal: type[Exception] | tuple[()] = ()
    """What may refuse a request while slots move."""

    def __init__(self, client: Any, number: int) -> None:
        self._client = client
        self._chance = random.Random(number)
        self._any = [f"any:{number}:{key}" for key in range(KEYS)]
        self._pairs = [(f"{{pair:{number}:{key}}}a", f"{{pair:{number}:{key}}}b") for key in range(KEYS)]
        self._has: dict[str, str] = {}
        """What there is of its keys."""
        self._written = 0
        self._kinds = {
            "MSET": self._mset, "MGET": self._mget, "DEL": self._delete, "EXISTS": self._exists,
            "EXEC": self._exec, "WATCH": self._watch, "MSETNX": self._if_none, "INCR": self._count,
        }  # fmt: skip

    @staticmethod
    def client(port: int) -> Any:
        return redis.Redis(port=port, socket_timeout=20, decode_responses=True)

    def choose(self) -> tuple[str, Callable[[], None]]:
        return self._chance.choice(list(self._kinds.items()))

    def check_all(self) -> None:
        keys = self._any + [key for pair in self._pairs for key in pair]
        self._check(self._get(keys), keys)

    def _put(self, records: dict[str, str]) -> None:
        assert self._client.mset(records) is True

    def _get(self, keys: list[str]) -> object:
        return self._client.mget(keys)

    def _of_exec(self) -> list[str]:
        """Keys for one EXEC."""
        return self._some()

    def _some(self) -> list[str]:
        return self._chance.sample(self._any, self._chance.randint(2, 6))

    def _value(self) -> str:
        self._written += 1
        return str(self._written)

    def _check(self, found: object, keys: list[str]) -> None:
        wanted = [self._has.get(key) for key in keys]
        assert found == wanted, f"{keys} are {found} and not {wanted}"

    def _mset(self) -> None:
        records = {key: self._value() for key in self._some()}
        self._put(records)
        self._has |= records

    def _mget(self) -> None:
        keys = self._some()
        self._check(self._get(keys), keys)

    def _delete(self) -> None:
        keys = self._some()
        wanted = sum(self._has.pop(key, None) is not None for key in keys)
        assert self._client.delete(*keys) == wanted, keys

    def _exists(self) -> None:
        keys = self._some()
        assert self._client.exists(*keys) == sum(key in self._has for key in keys), keys

    def _exec(self) -> None:
        keys, value = self._of_exec(), self._value()
        with self._client.pipeline(transaction=True) as pipeline:
            for key in keys:
                pipeline.getset(key, value)
            self._check(pipeline.execute(), keys)
        self._has |= dict.fromkeys(keys, value)

    def _watch(self) -> None:
        pair, value = self._chance.choice(self._pairs), self._value()
        with self._client.pipeline(transaction=True) as pipeline:
            pipeline.watch(*pair)
            self._check([pipeline.get(key) for key in pair], list(pair))
            pipeline.multi()
            for key in pair:
                pipeline.set(key, value, ex=1000)
            pipeline.ttl(pair[0])
            left = pipeline.execute()[-1]
        assert 990 < left <= 1000, left
        self._has |= dict.fromkeys(pair, value)

    def _if_none(self) -> None:
        pair, value = self._chance.choice(self._pairs), self._value()
        free = not any(key in self._has for key in pair)
        assert self._client.msetnx(dict.fromkeys(pair, value)) is free, pair
        if free:
            self._has |= dict.fromkeys(pair, value)
        elif self._chance.random() < 0.5:
            assert self._client.delete(*pair) == 2
            for key in pair:
                del self._has[key]

    def _count(self) -> None:
        key = self._chance.choice(self._any)
        total = int(self._has.get(key, "0")) + 1
        assert self._client.incr(key) == total, key
        self._has[key] = str(total)


class _ToOwners(_ToPrimary):
    """One in cluster mode, where the keys of a transaction are of one slot; redis-py does not repeat it by itself."""

    refusal = TryAgainError

    @staticmethod
    def client(port: int) -> Any:
        return RedisCluster("127.0.0.1", port, socket_timeout=20, decode_responses=True)

    def _put(self, records: dict[str, str]) -> None:
        self._client.mset_nonatomic(records)

    def _get(self, keys: list[str]) -> object:
        return self._client.mget_nonatomic(keys)

    def _of_exec(self) -> list[str]:
        return list(self._chance.choice(self._pairs))
