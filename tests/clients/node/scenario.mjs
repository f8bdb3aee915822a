// Runs one scenario of a file: node FILE HOST PORT PREFIX SCENARIO. What it throws is the test's failure.

import assert from "node:assert/strict";

export { assert };

/** Some hundred records, more than the server keeps in memory. */
export function records(prefix) {
  return Object.fromEntries(Array.from({ length: 100 }, (_, number) => [`${prefix}${number}`, `value ${number}`]));
}

/** `connect(host, port)` gives a client, `close(client)` ends it. */
export async function run(scenarios, connect, close) {
  const [host, port, prefix, name] = process.argv.slice(2);
  const client = await connect(host, Number(port), prefix);
  try {
    await scenarios[name](client, prefix);
  } finally {
    await close(client);
  }
}

/** Does `step` again and again until the test closes stdin. What it throws ends that at once. */
async function untilStdinEnds(step) {
  let ended = false;
  process.stdin.on("end", () => (ended = true)).resume();
  while (!ended) await step();
}

/** Of a client in cluster mode: writes and reads the records until the test closes stdin, in which time a node joins. */
export async function joining(client, prefix) {
  const keys = Object.keys(records(prefix));
  let count = 0;
  await untilStdinEnds(async () => {
    count += 1;
    const value = String(count);
    await Promise.all(keys.map(async (key) => assert.equal(await client.set(key, value), "OK")));
    await Promise.all(keys.map(async (key) => assert.equal(await client.get(key), value)));
  });
  assert.ok(count > 0);
}
