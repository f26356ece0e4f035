"use strict";
const test = require("node:test");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const vm = require("node:vm");
const { Page, openPage, importSource, key, url, uuid7 } = require("./page.js");

async function sent(page) {
  await page.advance(10);
  if (!page.socket.frames.length) page.socket.welcomes();
  return page.socket.batches.flatMap((batch) => batch.events);
}

test("the module can be imported and called where there is no window", async () => {
  assert.equal(typeof window, "undefined");
  const parley = await importSource();
  const client = parley.init({ key, url });
  const thread = parley.openThread({ user: { id: "u1" } });
  assert.match(thread.trackMessage({ role: "user", content: "a" }), uuid7);
  client.identify("u1");
  parley.trackFeedback("x", { thumb: "up" });
  assert.equal(await parley.flush(), true);
});

test("the types name what the module exports", async () => {
  const types = fs.readFileSync(path.join(__dirname, "../snippet.d.ts"), "utf8");
  const declared = [...types.matchAll(/^export (?:function|const) (\w+)/gm)].map((match) => match[1]);
  assert.deepEqual(declared.sort(), Object.keys(await importSource()).sort());
});

test("a message that the page says twice under its own id is one message", async () => {
  const page = openPage();
  const thread = page.parley.openThread({ id: "t-1" });
  const id = "0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d10";
  assert.equal(thread.trackMessage({ role: "user", content: "a", id }), id);
  page.now += 5;
  assert.equal(page.parley.openThread({ id: "t-1" }).trackMessage({ role: "user", content: "a", id }), id);
  assert.deepEqual((await sent(page)).map((event) => event.id), [id]);
});

test("pages whose libraries changed Array.from get UUIDs", async () => {
  const page = new Page();
  vm.runInContext('Array.from = (item) => [].slice.call(item)', page.globals);
  page.run("parley.js", { dataset: { key, url }, src: url + "/parley.js" });
  for (let n = 0; n < 100; n++) assert.match(page.parley.openThread().trackMessage({ role: "user", content: "a" }), uuid7);
});

test("init is idempotent per key; another key is another client", async () => {
  const page = openPage();
  const { parley } = page;
  const again = parley.init({ key, url });
  assert.equal(again, parley.init({ key, url }));
  const other = parley.init({ key: "pk_1", url });
  assert.notEqual(other, again);
  again.openThread().trackMessage({ role: "user", content: "a" });
  parley.openThread().trackMessage({ role: "user", content: "b" });
  other.openThread().trackMessage({ role: "user", content: "c" });
  await page.advance(10);
  assert.deepEqual(page.sockets.map(({ address }) => address.split("key=")[1]).sort(), [key, "pk_1"].sort());
});

test("what is tracked before init goes out after it", async () => {
  const page = new Page();
  page.run("parley.js");
  const id = page.parley.openThread().trackMessage({ role: "user", content: "early" });
  await page.advance(60000);
  assert.equal(page.sockets.length, 0);
  page.parley.init({ key, url });
  assert.deepEqual((await sent(page)).map((event) => event.id), [id]);
});

test("a secret key is refused and never leaves the page", async () => {
  const page = new Page();
  page.run("parley.js");
  page.parley.init({ key: "sk_secret", url });
  page.parley.openThread().trackMessage({ role: "user", content: "a" });
  await page.advance(60000);
  page.hide();
  assert.equal(page.sockets.length + page.posts.length + page.beacons.length, 0);
  assert.ok(page.warnings.some((text) => text.includes("public key")));
  assert.ok(!page.warnings.some((text) => text.includes("sk_secret")));
});

test("the address may be relative, end in a slash or lead through a path", async () => {
  for (const [given, expected] of [["/chat/", "wss://shop.test/chat/v1/socket"], ["http://127.0.0.1:8787/", "ws://127.0.0.1:8787/v1/socket"], ["https://a.test/p", "wss://a.test/p/v1/socket"]]) {
    const page = new Page();
    page.run("parley.js");
    page.parley.init({ key, url: given });
    page.parley.openThread().trackMessage({ role: "user", content: "a" });
    await page.advance(10);
    assert.equal(page.socket.address.split("?")[0], expected);
  }
});

test("messages carry the thread's user, or else the one identified", async () => {
  const page = openPage();
  page.parley.identify("u2", { plan: "pro" });
  page.parley.openThread({ user: { id: "u1", props: { plan: "free" } } }).trackMessage({ role: "user", content: "a" });
  page.parley.openThread().trackMessage({ role: "user", content: "b" });
  const events = await sent(page);
  assert.deepEqual(events.map(({ type, user }) => [type, user]), [
    ["identify", { id: "u2", props: { plan: "pro" } }],
    ["thread", { id: "u1", props: { plan: "free" } }],
    ["message", { id: "u1" }],
    ["message", { id: "u2" }],
  ]);
});

test("isRetry names the thread's last message of the same role", async () => {
  const page = openPage();
  const thread = page.parley.openThread();
  const question = thread.trackMessage({ role: "user", content: "a" });
  const answer = thread.trackMessage({ role: "assistant", content: "b", replyTo: question });
  thread.trackMessage({ role: "assistant", content: "c", replyTo: question, isRetry: true });
  thread.trackMessage({ role: "user", content: "d", retryOf: question });
  const events = await sent(page);
  assert.deepEqual(events.map((event) => event.retryOf), [undefined, undefined, answer, question]);
  assert.ok(!events.some((event) => "isRetry" in event));
});

test("nothing throws into the page, whatever it is given, and each complaint is made once", async () => {
  const page = openPage();
  const { parley } = page;
  const trap = new Proxy({}, { get() { throw new Error("trap"); }, ownKeys() { throw new Error("trap"); } });
  for (const given of [undefined, null, 0, 1n, "", "a", NaN, Symbol("s"), [], {}, () => 1, trap]) {
    for (let twice = 0; twice < 2; twice++) {
      parley.init(given);
      const thread = parley.openThread(given);
      assert.equal(typeof thread.id, "string");
      assert.equal(typeof thread.trackMessage(given), "string");
      thread.trackMessage({ role: given, content: given, tags: given, metadata: given });
      thread.trackEvent(given, given);
      parley.trackFeedback(given, given);
      parley.identify(given, given);
      parley.on(given, given);
      parley.off(given, given);
      await page.advance(10);
    }
  }
  assert.equal(new Set(page.warnings).size, page.warnings.length);
  assert.ok(page.warnings.length > 0);
});

test("a listener that throws disturbs neither the others nor the queue", async () => {
  const page = openPage();
  const heard = [];
  page.parley.on("verdict", () => { throw new Error("listener"); });
  page.parley.on("verdict", ({ verdict }) => heard.push(verdict));
  page.parley.openThread().trackMessage({ role: "user", content: "a" });
  await sent(page);
  page.socket.says({ type: "ack", batch: 1, credits: 1 });
  assert.deepEqual(heard, ["stored"]);
});

test("off stops a listener", async () => {
  const page = openPage();
  const heard = [];
  const listener = (notice) => heard.push(notice);
  page.parley.on("verdict", listener);
  page.parley.off("verdict", listener);
  page.parley.openThread().trackMessage({ role: "user", content: 1n });
  assert.deepEqual(heard, []);
});

test("flush answers false after ten seconds without a verdict", async () => {
  const page = openPage();
  page.parley.openThread().trackMessage({ role: "user", content: "a" });
  const flushed = page.parley.flush();
  await page.advance(10000);
  assert.equal(await flushed, false);
});

test("an empty vote takes the vote back", async () => {
  const page = openPage();
  page.parley.trackFeedback("0197f3c2-6a02-7d11-8f3b-0c9d2e5a4b61", {});
  assert.equal((await sent(page))[0].thumb, null);
});
