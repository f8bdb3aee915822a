// connect-redis, in which Express keeps sessions: behind a middleware, and by the calls of its own.

import { createServer } from "node:http";
import { promisify } from "node:util";
import { RedisStore } from "connect-redis";
import session from "express-session";
import { createClient } from "redis";
import { assert, run } from "./scenario.mjs";

const make = ({ client, prefix }) => new RedisStore({ client, prefix, ttl: 100 });

const scenarios = {
  async sessions(made) {
    const handle = session({ store: make(made), secret: "s", resave: false, saveUninitialized: false });
    const server = createServer((request, response) =>
      handle(request, response, () => {
        request.session.seen = (request.session.seen ?? 0) + 1;
        response.end(`${request.session.seen}`);
      }),
    );
    await new Promise((done) => server.listen(0, "127.0.0.1", done));
    const url = `http://127.0.0.1:${server.address().port}/`;
    const first = await fetch(url);
    assert.equal(await first.text(), "1");
    const cookie = first.headers.get("set-cookie").split(";")[0];
    assert.equal(await (await fetch(url, { headers: { cookie } })).text(), "2");
    assert.equal(await (await fetch(url)).text(), "1");
    await new Promise((done) => (server.close(done), server.closeAllConnections()));
  },
  async store(made) {
    const store = make(made);
    const call = (name, ...parts) => promisify(store[name].bind(store))(...parts);
    const cookie = { maxAge: 100_000 };
    for (let number = 0; number < 50; number++) await call("set", `${number}`, { cookie, number });
    assert.deepEqual(await call("get", "7"), { cookie, number: 7 });
    await call("touch", "7", { cookie: { expires: new Date(Date.now() + 50_000) } });
    const left = await made.client.ttl(`${made.prefix}7`);
    assert.ok(left > 40 && left <= 50, `${left}`);
    assert.equal(await call("length"), 50);
    assert.equal((await call("all")).length, 50);
    await call("destroy", "7");
    assert.ok(!(await call("get", "7")));
    await call("clear");
    assert.equal(await call("length"), 0);
  },
};

await run(
  scenarios,
  async (host, port, prefix) => ({ client: await createClient({ url: `redis://${host}:${port}` }).connect(), prefix }),
  ({ client }) => client.close(),
);
