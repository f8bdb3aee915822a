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
