// ioredis.

import { Cluster, Redis } from "ioredis";
import { runIoredis } from "./ioredis_like.mjs";
import { assert, records } from "./scenario.mjs";

const scenarios = {
  async values(client, prefix) {
    const all = records(prefix);
    assert.equal(await client.mset(all), "OK");
    assert.deepEqual(await client.mget(Object.keys(all)), Object.values(all));
    assert.equal(await client.set(`${prefix}é`, Buffer.from([0, 255, 13, 10])), "OK");
    assert.deepEqual(await client.getBuffer(`${prefix}é`), Buffer.from([0, 255, 13, 10]));
    assert.equal(await client.get(`${prefix}none`), null);
    assert.equal(await client.exists(...Object.keys(all)), 100);
    assert.equal(await client.del(...Object.keys(all)), 100);
  },
  async pipeline(client, prefix) {
    const pipeline = client.pipeline();
    const all = Object.entries(records(prefix));
    for (const [key, value] of all) pipeline.set(key, value).get(key);
    const answers = await pipeline.exec();
    assert.deepEqual(answers, all.flatMap(([, value]) => [[null, "OK"], [null, value]]));
  },
  async counters(client, prefix) {
    assert.equal(await client.incr(prefix), 1);
    assert.equal(await client.incrby(prefix, 10), 11);
  },
  async expiry(client, prefix) {
    assert.equal(await client.set(prefix, "1", "EX", 100), "OK");
    const left = await client.ttl(prefix);
    assert.ok(left > 90 && left <= 100);
  },
  async transaction(client, prefix) {
    assert.deepEqual(await client.multi().set(prefix, "1").get(prefix).exec(), [[null, "OK"], [null, "1"]]);
  },
  async scan(client, prefix) {
    await client.mset(records(prefix));
    const found = [];
    for await (const keys of client.scanStream({ match: `${prefix}*` })) found.push(...keys);
    assert.equal(new Set(found).size, 100);
  },
};

await runIoredis(Redis, Cluster, scenarios);
