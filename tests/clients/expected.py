"""Which tests of clients are expected to fail, and what ckv lacks for them."""

from __future__ import annotations

from typing import Final

from tests.clients.lacks import Lack

SCRIPTS: Final = Lack("scripts in Lua", "ckv runs no Lua")
TYPES: Final = Lack("types other than strings", r"ckv keeps strings only")
LISTS: Final = Lack("lists", r"ckv keeps strings only, no lists")
HASHES: Final = Lack("hashes", r"ckv keeps strings only, no hashes")
SETS: Final = Lack("sets", r"ckv keeps strings only, no sets")
SORTED_SETS: Final = Lack("sorted sets", r"ckv keeps strings only, no sorted sets")
CHORDS: Final = Lack("sorted sets, in which workers keep the parts of a chord", r"TimeoutError")
TRACKING: Final = Lack("`CLIENT TRACKING`", r"CLIENT TRACKING|client-side caching is supported by Redis")
AGE_OF_CLIENTS: Final = Lack("`age` and `idle` in `CLIENT LIST`", r"no details of clients: \[\]")
DATABASES: Final = Lack("a database besides number 0", r"DB index is out of range")
ONE_NODE: Final = Lack("`WATCH` over keys of several nodes", r"CrossNode: ")
RENAME: Final = Lack("`RENAME`", r"two keys may be on two nodes")

EXPECTED: Final[dict[str, dict[str, Lack]]] = {
    "test_redis_py": {
        "test_scripts": SCRIPTS,
        "test_other_types": TYPES,
        "test_client_side_cache": TRACKING,
    },
    "test_limits": {
        "test_moving_window": SCRIPTS,
        "test_sliding_window": SCRIPTS,
    },
    "test_fastapi_cache": {
        "test_clear_of_a_namespace": SCRIPTS,
    },
    "test_celery": {
        "test_a_chord": CHORDS,
    },
    "test_dramatiq": {
        "test_a_task": SCRIPTS,
        "test_results": LISTS,
        "test_window": ONE_NODE,
    },
    "test_huey": {
        "test_a_task": LISTS,
    },
    "test_rq": {
        "test_a_task": SETS,
    },
    "test_walrus": {
        "test_lock": SCRIPTS,
        "test_rate_limit": LISTS,
    },
    "test_bullmq": {
        "test_a_task": SCRIPTS,
    },
    "test_redis_cli": {
        "test_other_database": DATABASES,
    },
    "test_redis_commander": {
        "test_rename": RENAME,
    },
    "test_redis_exporter": {
        "test_clients": AGE_OF_CLIENTS,
    },
}
"""By file and test. A test that lacks several things is named with the one that its error shows."""

OF_DJANGO_REDIS: Final[dict[Lack, str]] = {
    HASHES: """
        test_hset test_hdel test_hlen test_hkeys test_hexists test_hash_version_support
        test_hash_key_structure_in_redis
    """,
    SETS: """
        test_sadd test_scard test_sdiff test_sdiffstore test_sdiffstore_with_keys_version
        test_sdiffstore_with_different_keys_versions_without_initial_set_in_version
        test_sdiffstore_with_different_keys_versions_with_initial_set_in_version test_sinter
        test_interstore test_sismember test_smove test_spop_default_count test_spop
        test_srandmember_default_count test_srandmember test_srem test_sscan test_sscan_with_match
        test_sscan_iter test_sscan_iter_with_match test_smismember test_sunion test_sunionstore
    """,
    SORTED_SETS: """
        test_zadd_basic test_zadd_with_nx test_zadd_with_xx test_zadd_with_ch test_zcard test_zcount
        test_zincrby test_zpopmax test_zpopmin test_zrange_basic test_zrange_withscores test_zrange_desc
        test_zrangebyscore test_zrangebyscore_withscores test_zrangebyscore_pagination test_zrank
        test_zrem test_zremrangebyscore test_zrevrange test_zrevrange_withscores test_zrevrangebyscore
        test_zscore test_sorted_set_serialization test_sorted_set_version_support
        test_sorted_set_float_scores test_sorted_set_negative_scores test_zpopmin_empty_set
        test_zpopmax_empty_set
    """,
}
"""The tests of django-redis's own that are expected to fail, the same with each of its settings that are run."""

PASSES_OF_DJANGO_REDIS: Final = {"sqlite": 139, "sqlite_herd": 102}
"""By setting of django-redis's own tests that is run, how many pass; the rest of them it skips by itself."""

NOT_RUN_OF_DJANGO_REDIS: Final = {
    "sqlite_sentinel, sqlite_sentinel_opts": "they ask a Sentinel where the server is",
    "sqlite_sharding": "it wants two databases, and ckv has number 0 alone",
    "sqlite_usock": "ckv listens to no socket of Unix",
    "sqlite_gzip, sqlite_json, sqlite_lz4, sqlite_msgpack, sqlite_zlib, sqlite_zstd": (
        "they differ in the bytes of the values alone"
    ),
}
"""The other settings, and why they are not run."""
