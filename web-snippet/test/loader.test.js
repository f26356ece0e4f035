"use strict";
const test = require("node:test");
const assert = require("node:assert/strict");
const { Page, key, url, uuid7 } = require("./page.js");

function openStub() {
  const page = new Page();
  page.run("parley-loader.js", { dataset: { key, url }, nonce: "r4nd0m" });
  return page;
}

/** The inserted script arrives. */
const arrive = (page) => page.run("parley.js", { dataset: {}, src: url + "/parley.js" });

async function sent(page) {
  await page.advance(10);
  page.socket.welcomes();
  return page.socket.batches.flatMap((batch) => batch.events);
}

test("the loader inserts the script with the page's nonce", () => {
  const page = openStub();
  assert.deepEqual(page.inserted.map(({ src, nonce }) => ({ src, nonce })), [{ src: url + "/parley.js", nonce: "r4nd0m" }]);
});

test("ids handed out before the script is there are the ids that are sent", async () => {
  const page = openStub();
  const thread = page.parley.openThread({ id: "t-1", tags: ["demo"], user: { id: "u1", props: { plan: "pro" } } });
  const question = thread.trackMessage({ role: "user", content: "Hello", metadata: { a: 1 } });
  const at = page.now;
  await page.advance(500);
  const answer = thread.trackMessage({ role: "assistant", content: "Hi", replyTo: question });
  thread.trackEvent("opened", { document: "terms" });
  page.parley.trackFeedback(answer, { thumb: "up" });
  arrive(page);
  const events = await sent(page);
  assert.deepEqual(events.map(({ type }) => type), ["thread", "message", "message", "event", "feedback"]);
  assert.deepEqual(events[1], { type: "message", id: question, at, thread: "t-1", role: "user", content: "Hello", user: { id: "u1" }, metadata: { a: 1 } });
  assert.equal(events[2].id, answer);
  assert.equal(events[2].at, at + 500);
  assert.equal(events[4].target, answer);
});

test("an id left undefined is made, not taken", () => {
  const page = openStub();
  const thread = page.parley.openThread({ id: undefined });
  assert.match(thread.id, uuid7);
  assert.match(thread.trackMessage({ role: "user", content: "a", id: undefined }), uuid7);
  assert.match(page.parley.openThread().trackMessage(), uuid7);
});

test("a thread that the stub opened works on, also through functions the page took out of it", async () => {
  const page = openStub();
  const stub = page.parley;
  const thread = stub.openThread({ id: "t-1" });
  const { trackMessage } = thread;
  arrive(page);
  assert.notEqual(page.parley, stub);
  const ids = [thread.trackMessage({ role: "user", content: "a" }), trackMessage({ role: "user", content: "b" })];
  const late = stub.openThread({ id: "t-2" });
  ids.push(late.trackMessage({ role: "user", content: "c" }));
  const retry = late.trackMessage({ role: "user", content: "c", isRetry: true });
  const events = await sent(page);
  assert.deepEqual(events.slice(0, 3).map(({ id, thread }) => [id, thread]), [[ids[0], "t-1"], [ids[1], "t-1"], [ids[2], "t-2"]]);
  assert.equal(events[3].id, retry);
  assert.equal(events[3].retryOf, ids[2]);
  assert.equal(stub.queue.length, 0);
});

test("listeners and flush wait for the script", async () => {
  const page = openStub();
  const heard = [];
  page.parley.on("verdict", ({ verdict }) => heard.push(verdict));
  page.parley.openThread().trackMessage({ role: "user", content: "a" });
  const flushed = page.parley.flush();
  arrive(page);
  await sent(page);
  page.socket.says({ type: "ack", batch: 1, credits: 1 });
  assert.equal(await flushed, true);
  assert.deepEqual(heard, ["stored"]);
});

test("who the visitor is, said before the script is there, holds for the messages after it", async () => {
  const page = openStub();
  page.parley.identify("u7", { plan: "free" });
  page.parley.openThread().trackMessage({ role: "user", content: "a" });
  arrive(page);
  const events = await sent(page);
  assert.deepEqual(events.map(({ type, user }) => [type, user]), [["identify", { id: "u7", props: { plan: "free" } }], ["message", { id: "u7" }]]);
});

test("a visitor who leaves before the script is there leaves the messages by beacon", () => {
  const page = openStub();
  const thread = page.parley.openThread({ user: { id: "u1" } });
  const ids = ["a", "b"].map((content) => thread.trackMessage({ role: "user", content }));
  page.parley.trackFeedback(ids[0], { thumb: "up" });
  page.fire("pagehide");
  assert.deepEqual(page.beacons.map(({ address }) => address), Array(2).fill(`${url}/v1/beacon?key=${key}`));
  assert.deepEqual(page.beaconed.map(({ type, id, thread, role, content, user }) => ({ type, id, thread, role, content, user })), ids.map((id, place) => (
    { type: "message", id, thread: thread.id, role: "user", content: "ab"[place], user: { id: "u1" } })));
});

test("once the script has taken over, the stub's own beacon is silent", async () => {
  const page = openStub();
  const id = page.parley.openThread().trackMessage({ role: "user", content: "a" });
  arrive(page);
  page.fire("pagehide");
  assert.deepEqual(page.beaconed.map((event) => event.id), [id]);
  assert.equal(page.beacons.length, 1);
});

test("a script that never comes costs 200 calls of memory; ids go on", () => {
  const page = openStub();
  const thread = page.parley.openThread();
  for (let each = 0; each < 1000; each++) assert.match(thread.trackMessage({ role: "user", content: "a" }), uuid7);
  assert.equal(page.parley.queue.length, 200);
});

test("loader twice, script twice: one client, one socket", async () => {
  const page = openStub();
  page.run("parley-loader.js", { dataset: { key, url }, nonce: "r4nd0m" });
  assert.equal(page.inserted.length, 1);
  arrive(page);
  const parley = page.parley;
  arrive(page);
  page.run("parley.js", { dataset: { key, url }, src: url + "/parley.js" });
  assert.equal(page.parley, parley);
  parley.openThread().trackMessage({ role: "user", content: "a" });
  await page.advance(1000);
  assert.equal(page.sockets.length, 1);
});

test("the stub does not throw at what it is given", () => {
  const { parley } = openStub();
  for (const given of [undefined, null, 1, "a", []]) {
    const thread = parley.openThread(given);
    assert.equal(typeof thread.id, "string");
    thread.trackMessage(given);
    thread.trackEvent(given);
    parley.trackFeedback(given, given);
    parley.identify(given);
    parley.on(given, given);
    parley.off(given, given);
    parley.init(given);
  }
});
