// Valkey GLIDE, the package `@valkey/valkey-glide` of npm.

import {
  Batch, ClusterBatch, ClusterScanCursor, Decoder, GlideClient, GlideClusterClient, Script, TimeUnit,
} from "@valkey/valkey-glide";
import { assert, joining, records, run } from "./scenario.mjs";

// Milliseconds that a request may take.
const requestTimeout = 20_000;

const connect = (host, port) => GlideClient.createClient({ addresses: [{ host, port }], requestTimeout });

const UNLOCK = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end";

const scenarios = {
  async values(client, prefix) {
    const all = records(prefix);
    assert.equal(await client.mset(all), "OK");
    assert.deepEqual(await client.mget(Object.keys(all)), Object.values(all));
    assert.equal(await client.set(`${prefix}bytes`, Buffer.from([0, 255, 13, 10])), "OK");
    const bytes = await client.get(`${prefix}bytes`, { decoder: Decoder.Bytes });
    assert.deepEqual(bytes, Buffer.from([0, 255, 13, 10]));
    assert.equal(await client.get(`${prefix}none`), null);
    assert.equal(await client.exists(Object.keys(all)), 100);
    assert.equal(await client.del(Object.keys(all)), 100);
  },
  async many_at_a_time(client, prefix) {
    const all = Object.entries(records(prefix));
    // One after the other: calls that it was given at the same time leave it in any order.
    await Promise.all(all.map(([key, value]) => client.set(key, value)));
    const answers = await Promise.all(all.map(([key]) => client.get(key)));
    assert.deepEqual(answers, all.map(([, value]) => value));
  },
  async counters(client, prefix) {
    assert.equal(await client.incr(prefix), 1);
    assert.equal(await client.incrBy(prefix, 10), 11);
  },
  async expiry(client, prefix) {
    assert.equal(await client.set(prefix, "1", { expiry: { type: TimeUnit.Seconds, count: 100 } }), "OK");
    const left = await client.ttl(prefix);
    assert.ok(left > 90 && left <= 100);
  },
  async batch(client, prefix) {
    const all = Object.entries(records(prefix));
    for (const atomic of [false, true]) {
      const batch = new Batch(atomic);
      for (const [key, value] of all) batch.set(key, value).get(key);
      assert.deepEqual(await client.exec(batch, true), all.flatMap(([, value]) => ["OK", value]));
    }
  },
  async lock(client, prefix) {
    const options = { conditionalSet: "onlyIfDoesNotExist", expiry: { type: TimeUnit.Milliseconds, count: 20_000 } };
    assert.equal(await client.set(prefix, "mine", options), "OK");
    assert.equal(await client.set(prefix, "theirs", options), null);
    const unlock = new Script(UNLOCK);
    assert.equal(await client.invokeScript(unlock, { keys: [prefix], args: ["theirs"] }), 0);
    assert.equal(await client.invokeScript(unlock, { keys: [prefix], args: ["mine"] }), 1);
  },
  async scan(client, prefix) {
    await client.mset(records(prefix));
    const found = new Set();
    let cursor = "0";
    do {
      const [next, keys] = await client.scan(cursor, { match: `${prefix}*` });
      keys.forEach((key) => found.add(key));
      cursor = next;
    } while (cursor !== "0");
    assert.equal(found.size, 100);
  },
  async channels(client, prefix) {
    const [, host, port] = process.argv.slice(1);
    const subscriber = await connect(host, Number(port));
    try {
      await subscriber.subscribe([prefix], requestTimeout);
      assert.equal(await client.publish("hello", prefix), 1);
      assert.equal((await subscriber.getPubSubMessage()).message, "hello");
    } finally {
      subscriber.close();
    }
  },
};

// What asks the owner of each key by itself.
const cluster = {
  async cluster(client, prefix) {
    const all = Object.entries(records(prefix));
    for (const [key, value] of all) assert.equal(await client.set(key, value), "OK");
    assert.deepEqual(await client.mget(all.map(([key]) => key)), all.map(([, value]) => value));
    const batch = new ClusterBatch(false);
    for (const [key] of all) batch.get(key);
    assert.deepEqual(await client.exec(batch, true), all.map(([, value]) => value));
    const found = new Set();
    let cursor = new ClusterScanCursor();
    while (!cursor.isFinished()) {
      const [next, keys] = await client.scan(cursor, { match: `${prefix}*` });
      keys.forEach((key) => found.add(key));
      cursor = next;
    }
    assert.equal(found.size, 100);
  },
  joining,
};

const close = (client) => client.close();

if (process.argv.at(-1) in cluster) {
  const connectCluster = (host, port) =>
    GlideClusterClient.createClient({ addresses: [{ host, port }], requestTimeout });
  await run(cluster, connectCluster, close);
} else {
  await run(scenarios, connect, close);
}
process.exit();
