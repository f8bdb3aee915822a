// iovalkey, which began as ioredis.

import { Cluster, Redis } from "iovalkey";
import { runIoredis } from "./ioredis_like.mjs";
import { assert, records } from "./scenario.mjs";

const scenarios = {
  async values(client, prefix) {
    const all = records(prefix);
    assert.equal(await client.mset(all), "OK");
    assert.deepEqual(await client.mget(Object.keys(all)), Object.values(all));
    assert.equal(await client.exists(...Object.keys(all)), 100);
    assert.equal(await client.del(...Object.keys(all)), 100);
  },
  async pipeline(client, prefix) {
    const pipeline = client.pipeline();
    const all = Object.entries(records(prefix));
    for (const [key, value] of all) pipeline.set(key, value, "EX", 100).get(key);
    assert.deepEqual(await pipeline.exec(), all.flatMap(([, value]) => [[null, "OK"], [null, value]]));
  },
  async transaction(client, prefix) {
    assert.deepEqual(await client.multi().set(prefix, "1").incr(prefix).exec(), [[null, "OK"], [null, 2]]);
  },
};

await runIoredis(Redis, Cluster, scenarios);
