// node-redis, the package `redis` of npm.

import { setTimeout } from "node:timers/promises";
import { createClient, createCluster } from "redis";
import { assert, joining, records, run } from "./scenario.mjs";

const scenarios = {
  async values(client, prefix) {
    const all = records(prefix);
    assert.equal(await client.mSet(all), "OK");
    assert.deepEqual(await client.mGet(Object.keys(all)), Object.values(all));
    assert.equal(await client.set(`${prefix}é`, "grün"), "OK");
    assert.equal(await client.get(`${prefix}é`), "grün");
    assert.equal(await client.get(`${prefix}none`), null);
    assert.equal(await client.exists(Object.keys(all)), 100);
    assert.equal(await client.del(Object.keys(all)), 100);
  },
  async many_at_a_time(client, prefix) {
    const all = Object.entries(records(prefix));
    const answers = await Promise.all(all.flatMap(([key, value]) => [client.set(key, value), client.get(key)]));
    assert.deepEqual(answers, all.flatMap(([, value]) => ["OK", value]));
  },
  async counters(client, prefix) {
    assert.equal(await client.incr(prefix), 1);
    assert.equal(await client.incrBy(prefix, 10), 11);
  },
  async expiry(client, prefix) {
    assert.equal(await client.set(prefix, "1", { expiration: { type: "EX", value: 100 } }), "OK");
    const left = await client.ttl(prefix);
    assert.ok(left > 90 && left <= 100);
  },
  async transaction(client, prefix) {
    assert.deepEqual(await client.multi().set(prefix, "1").get(prefix).exec(), ["OK", "1"]);
  },
  async scan(client, prefix) {
    await client.mSet(records(prefix));
    const found = [];
    for await (const keys of client.scanIterator({ MATCH: `${prefix}*` })) found.push(...keys);
    assert.equal(new Set(found).size, 100);
  },
  async channels(client, prefix) {
    const subscriber = client.duplicate();
    await subscriber.connect();
    try {
      const heard = new Promise((resolve, reject) => {
        subscriber.subscribe(prefix, resolve).then(() => client.publish(prefix, "hello")).catch(reject);
      });
      assert.equal(await heard, "hello");
    } finally {
      subscriber.destroy();
    }
  },
};

/** Does a call until it is not answered TRYAGAIN, and gives its result. */
async function again(call) {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!error.message.startsWith("TRYAGAIN")) throw error;
      await setTimeout(10);
    }
  }
}

// What asks the owner of each key by itself.
const cluster = {
  async cluster(client, prefix) {
    const all = Object.entries(records(prefix));
    for (const [key, value] of all) assert.equal(await client.set(key, value), "OK");
    for (const [key, value] of all) assert.equal(await client.get(key), value);
    assert.equal(client.masters.length, 3);
  },
  // TRYAGAIN, which an owner answers while a slot is on its way, the package hands to its caller.
  async joining(client, prefix) {
    const set = (key, value) => again(() => client.set(key, value));
    const get = (key) => again(() => client.get(key));
    await joining({ set, get }, prefix);
  },
};

if (process.argv.at(-1) in cluster) {
  const connect = (host, port) => createCluster({ rootNodes: [{ url: `redis://${host}:${port}` }] }).connect();
  await run(cluster, connect, (client) => client.close());
  process.exit();
}

await run(
  scenarios,
  (host, port) => createClient({ socket: { host, port, reconnectStrategy: false } }).connect(),
  (client) => client.close(),
);
