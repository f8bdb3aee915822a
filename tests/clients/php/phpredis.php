<?php
// Runs one scenario of the extension redis: php phpredis.php HOST PORT PREFIX SCENARIO. What it throws is the failure.

declare(strict_types=1);

[, $host, $port, $prefix, $scenario] = $argv;

function same(mixed $got, mixed $expected): void
{
    if ($got !== $expected) {
        throw new Exception('got ' . var_export($got, true) . ', not ' . var_export($expected, true));
    }
}

/** Some hundred records, more than the server keeps in memory. */
function records(string $prefix): array
{
    $records = [];
    foreach (range(0, 99) as $number) {
        $records["$prefix$number"] = "\r\n\x00\xff $number";
    }
    return $records;
}

$scenarios = [
    'values' => function (Redis $redis, string $prefix): void {
        $records = records($prefix);
        same($redis->mSet($records), true);
        same($redis->mGet(array_keys($records)), array_values($records));
        same($redis->set("{$prefix}0", 'other'), true);
        same($redis->get("{$prefix}0"), 'other');
        same($redis->get("{$prefix}none"), false);
        same($redis->exists("{$prefix}0", "{$prefix}none"), 1);
        same($redis->del(array_keys($records)), 100);
    },
    'counters' => function (Redis $redis, string $prefix): void {
        same($redis->incr($prefix), 1);
        same($redis->incrBy($prefix, 41), 42);
        same($redis->decr($prefix), 41);
    },
    'conditions' => function (Redis $redis, string $prefix): void {
        same($redis->set($prefix, 'a', ['nx']), true);
        same($redis->set($prefix, 'b', ['nx']), false);
        same($redis->set($prefix, 'b', ['xx', 'ex' => 100]), true);
        same($redis->getSet($prefix, 'c'), 'b');
    },
    'expiry' => function (Redis $redis, string $prefix): void {
        same($redis->setEx($prefix, 100, 'a'), true);
        same(in_array($redis->ttl($prefix), [99, 100], true), true);
        same($redis->persist($prefix), true);
        same($redis->ttl($prefix), -1);
        same($redis->expire($prefix, 100), true);
    },
    'pipeline' => function (Redis $redis, string $prefix): void {
        $pipeline = $redis->pipeline();
        foreach (records($prefix) as $key => $value) {
            $pipeline->set($key, $value);
        }
        same($pipeline->exec(), array_fill(0, 100, true));
    },
    'transaction' => function (Redis $redis, string $prefix): void {
        $redis->watch($prefix);
        same($redis->multi()->set($prefix, '1')->incr($prefix)->get($prefix)->exec(), [true, 2, '2']);
    },
    'scan' => function (Redis $redis, string $prefix): void {
        $records = records($prefix);
        $redis->mSet($records);
        $redis->setOption(Redis::OPT_SCAN, Redis::SCAN_RETRY);
        $found = [];
        $cursor = null;
        while (($keys = $redis->scan($cursor, "$prefix*")) !== false) {
            $found += array_flip($keys);
        }
        $found = array_keys($found);
        sort($found);
        $expected = array_keys($records);
        sort($expected);
        same($found, $expected);
    },
    'sessions' => function (Redis $redis, string $prefix) use ($host, $port): void {
        ini_set('session.save_handler', 'redis');
        ini_set('session.save_path', "tcp://$host:$port?prefix=" . urlencode($prefix));
        ini_set('session.use_cookies', '0');
        ini_set('redis.session.locking_enabled', '1');
        session_start();
        $id = session_id();
        $_SESSION['visits'] = 1;
        same($redis->exists("$prefix{$id}_LOCK"), 1);
        session_write_close();
        same($redis->exists("$prefix{$id}_LOCK"), 0);
        $_SESSION = [];
        session_id($id);
        session_start();
        same($_SESSION['visits'], 1);
        session_destroy();
        same($redis->exists("$prefix$id"), 0);
    },
    'cluster' => function (Redis $redis, string $prefix) use ($host, $port): void {
        $cluster = new RedisCluster(null, ["$host:$port"], 20, 20);
        same(count($cluster->_masters()), 3);
        foreach (records($prefix) as $key => $value) {
            same($cluster->set($key, $value), true);
            same($cluster->get($key), $value);
        }
    },
];

$redis = new Redis();
$redis->connect($host, (int) $port, 20);
$redis->setOption(Redis::OPT_READ_TIMEOUT, 20);
$scenarios[$scenario]($redis, $prefix);
