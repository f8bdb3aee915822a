// What ioredis and its fork iovalkey have in common: how they are started, and what they do in cluster mode.

import { readFileSync } from "node:fs";
import { assert, joining, records, run } from "./scenario.mjs";

// What asks the owner of each key by itself.
const cluster = {
  async cluster(client, prefix) {
    const all = Object.entries(records(prefix));
    for (const [key, value] of all) assert.equal(await client.set(key, value), "OK");
    for (const [key, value] of all) assert.equal(await client.get(key), value);
    assert.equal(client.nodes("master").length, 3);
  },
  joining,
};

/** As whom to log in, and whom to trust, where the server asks for it. */
function access() {
  const { CLIENT_USER: username, CLIENT_PASSWORD: password, CLIENT_CA: ca } = process.env;
  return ca ? { username, password, tls: { ca: readFileSync(ca) } } : {};
}

/** Runs one of the scenarios, or that of cluster mode, with the classes of the package. */
export async function runIoredis(Redis, Cluster, scenarios) {
  if (process.argv.at(-1) in cluster) {
    await run(cluster, (host, port) => new Cluster([{ host, port }]), (client) => client.quit());
    process.exit();
  }
  await run(
    scenarios,
    (host, port) => new Redis({ host, port, ...access(), retryStrategy: () => null, maxRetriesPerRequest: 0 }),
    (client) => client.quit(),
  );
}
