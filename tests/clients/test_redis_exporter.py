"""The exporter of Redis's figures for Prometheus, as Debian has it."""

from __future__ import annotations

import pytest
from redis import Redis, ResponseError

from tests.clients.exporter import exporting
from tests.clients.server import Server


def test_metrics(server: Server) -> None:
    """What Prometheus reads: `/metrics`, which the exporter makes of INFO and CONFIG"""
    with Redis(server.host, server.port) as client, exporting(server) as scrape:
        client.set("text", "a")
        with pytest.raises(ResponseError):
            client.incr("text")
        info = client.info()
        commands = client.info("commandstats")
        metrics = scrape("/metrics")
    assert metrics["up"] == 1
    assert metrics['commands_total{cmd="set"}'] >= commands["cmdstat_set"]["calls"] > 0
    assert metrics['commands_duration_seconds_total{cmd="set"}'] > 0
    assert metrics['errors_total{err="ERR"}'] >= info["errorstat_ERR"]["count"] > 0
    assert metrics['exporter_last_scrape_error{err=""}'] == 0
    assert metrics["process_id"] == info["process_id"]
    assert metrics["connected_clients"] >= 2
    assert metrics["config_maxclients"] == info["maxclients"]
    assert metrics["memory_used_bytes"] > 0
    assert metrics["cpu_user_seconds_total"] >= info["used_cpu_user"]
    (instance,) = [name for name in metrics if name.startswith("instance_info{")]
    assert f'redis_version="{info["redis_version"]}"' in instance
    assert f'run_id="{info["run_id"]}"' in instance


def test_several_nodes(server: Server, cluster: Server) -> None:
    """One exporter for all nodes: `/scrape?target=`, where a secondary tells of its keys, hits and misses"""
    target = f"/scrape?target={cluster.url}"
    # All keys of one slot are that node's own: a client in cluster mode would be sent elsewhere with others.
    with Redis(cluster.host, cluster.port) as client, exporting(server) as scrape:
        slot = client.execute_command("CLUSTER SLOTS")
        owned = next(first for first, _, owner, *_ in slot if int(owner[1]) == cluster.port)
        key = next(key for key in map(str, range(100_000)) if client.execute_command("CLUSTER KEYSLOT", key) == owned)
        before = scrape(target)
        client.set(key, "a")
        assert client.get(key) == b"a"
        after = scrape(target)
    assert after["up"] == 1
    # Those in memory, and those on their way to the database, which come and go.
    assert after['db_keys{db="db0"}'] >= 1
    assert after["keyspace_hits_total"] == before["keyspace_hits_total"] + 1


def test_keys(server: Server, prefix: str) -> None:
    """Values and lengths of keys: `-check-keys`, `-check-single-keys`, `-count-keys`, of all that SCAN tells"""
    with Redis(server.host, server.port) as client:
        client.mset({f"{prefix}many:{number}": number for number in range(100)} | {f"{prefix}one": "12345"})
    options = [
        f"-check-keys=db0={prefix}many:*",
        f"-check-single-keys=db0={prefix}one",
        f"-count-keys=db0={prefix}*",
    ]
    with exporting(server, *options) as scrape:
        metrics = scrape("/metrics")
    # A key that is on its way to the database may be told twice, as one of Redis while its table grows.
    assert metrics[f'keys_count{{db="db0",key="{prefix}*"}}'] >= 101
    assert metrics[f'key_value{{db="db0",key="{prefix}one"}}'] == 12345
    assert metrics[f'key_size{{db="db0",key="{prefix}one"}}'] == 5
    for number in range(100):
        assert metrics[f'key_value{{db="db0",key="{prefix}many:{number}"}}'] == number


def test_slow_requests(server: Server) -> None:
    """How many requests were slow: `redis_slowlog_length`, `redis_slowlog_last_id`"""
    with exporting(server) as scrape:
        metrics = scrape("/metrics")
    missing = {"slowlog_length", "slowlog_last_id"} - metrics.keys()
    assert not missing, f"there are no {sorted(missing)}"


def test_clients(server: Server) -> None:
    """Each client with its age: `-export-client-list`"""
    with exporting(server, "-export-client-list") as scrape:
        names = scrape("/metrics").keys()
    found = [name for name in names if name.startswith("connected_clients_details{")]
    assert any('name="redis_exporter"' in name for name in found), f"no details of clients: {found}"
