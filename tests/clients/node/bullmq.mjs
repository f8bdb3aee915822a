// BullMQ, a queue of tasks.

import { Queue } from "bullmq";
import { assert, run } from "./scenario.mjs";

const scenarios = {
  async task(queue) {
    await queue.add("name", { value: 1 });
    assert.equal(await queue.count(), 1);
  },
};

await run(
  scenarios,
  async (host, port, prefix) => {
    // A name of BullMQ has no colons.
    const queue = new Queue(prefix.replaceAll(":", "."), { connection: { host, port, maxRetriesPerRequest: 1 } });
    queue.on("error", (error) => console.error(error));
    return queue;
  },
  (queue) => queue.close(),
);
