"""The part of ``docs/clients.md`` about the tests of Redis and Valkey themselves, made of the lists beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tests.upstream import lists
from tests.upstream.lists import OK, Suite
from tests.upstream.reasons import REASONS
from tests.upstream.suites import FILES, SUITES


def page() -> str:
    """The part, from its heading on."""
    redis, valkey = (lists.read(name) for name in SUITES)
    counts = "\n".join(f"| `{unit}` | {_count(redis, unit)} | {_count(valkey, unit)} |" for unit in FILES)
    further = _only_in(valkey, redis)
    return f"""\
## The tests of Redis and Valkey themselves

`make test-redis` gets the tests of Redis {redis.version} and Valkey {valkey.version} from Debian's source packages, and
runs those files of them that are about what ckv has: against a secondary that has all records in memory, and against a
primary whose secondaries have next to none, so that records come from MariaDB. Each test has to end as this page says,
the same on both; one that is left out and passes is a failure until it is listed as passing.

| tests that pass | Redis {redis.version} | Valkey {valkey.version} |
|---|---|---|
{counts}

### What they ask for that ckv does not have

| what | tests of Redis | further ones of Valkey, or those with another outcome |
|---|---|---|
{_left_out(redis, further)}

### What passes

| file | tests of Redis | further ones of Valkey, or those with another outcome |
|---|---|---|
{_passing(redis, further)}
"""


def _count(suite: Suite, unit: str) -> str:
    keys = suite.files.get(unit, {}).values()
    return f"{sum(key == OK for key in keys)} of {len(keys)}"


def _only_in(suite: Suite, other: Suite) -> Suite:
    """What the other one does not say."""
    return Suite(
        suite.name,
        suite.version,
        {
            unit: {test: key for test, key in tests.items() if other.files.get(unit, {}).get(test) != key}
            for unit, tests in suite.files.items()
        },
    )


def _left_out(*suites: Suite) -> str:
    rows = []
    for reason in REASONS.values():
        cells = [
            "<br>".join(
                f"`{unit}`: {_names(names)}"
                for unit, tests in suite.files.items()
                if (names := [test for test, key in tests.items() if key == reason.key])
            )
            for suite in suites
        ]
        if any(cells):
            rows.append(f"| {reason.text} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _passing(*suites: Suite) -> str:
    rows = []
    for unit in FILES:
        cells = [_names(test for test, key in suite.files.get(unit, {}).items() if key == OK) for suite in suites]
        rows.append(f"| `{unit}` | {' | '.join(cells)} |")
    return "\n".join(rows)


def _names(names: Iterable[str]) -> str:
    return "; ".join(re.sub(r"([\\|*_<>\[\]`#~])", r"\\\1", name) for name in names)
