// Keyv with its adapter for Redis, which Apollo, cacheable-request and others keep things in.

import KeyvRedis from "@keyv/redis";
import Keyv from "keyv";
import { assert, run } from "./scenario.mjs";

const names = Array.from({ length: 100 }, (_, number) => `${number}`);

const scenarios = {
  async values(keyv) {
    for (const name of names) assert.equal(await keyv.set(name, { name }), true);
    assert.deepEqual(await keyv.get(names), names.map((name) => ({ name })));
    assert.equal(await keyv.has("7"), true);
    assert.equal(await keyv.delete("7"), true);
    assert.equal(await keyv.get("7"), undefined);
  },
  async expiry(keyv) {
    assert.equal(await keyv.set("a", 1, 100_000), true);
    assert.equal(await keyv.get("a"), 1);
  },
  async many(keyv) {
    await keyv.setMany(names.map((key) => ({ key, value: key })));
    assert.deepEqual(await keyv.get(names), names);
  },
  async clear(keyv) {
    await keyv.set("a", 1);
    await keyv.clear();
    assert.equal(await keyv.get("a"), undefined);
  },
};

await run(
  scenarios,
  async (host, port, prefix) => {
    const store = new KeyvRedis(`redis://${host}:${port}`, { throwOnErrors: true });
    const keyv = new Keyv({ store, namespace: prefix, throwOnErrors: true });
    // Some errors it only tells.
    keyv.on("error", (error) => console.error(error));
    return keyv;
  },
  (keyv) => keyv.disconnect(),
);
