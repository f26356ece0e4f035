"use strict";
const test = require("node:test");
const assert = require("node:assert/strict");
const { openPage, openChat, key } = require("./page.js");
const { version } = require("../build.js");

const idsOf = (batch) => batch.events.map((event) => event.id);

test("no socket is opened before there is something to say", async () => {
  const page = openPage();
  await page.advance(60000);
  page.parley.openThread();
  await page.advance(60000);
  assert.equal(page.sockets.length, 0);
});

test("hello goes first, then numbered batches once the welcome is there", async () => {
  const page = openPage();
  const thread = page.parley.openThread({ tags: ["demo"] });
  const id = thread.trackMessage({ role: "user", content: "Hello" });
  await page.advance(10);
  assert.equal(page.socket.address, `wss://gateway.test/v1/socket?key=${key}`);
  assert.equal(page.socket.protocol, "parley.v1");
  assert.deepEqual(page.socket.frames, []);
  page.socket.welcomes();
  const [hello, batch] = page.socket.frames;
  assert.deepEqual(hello, { type: "hello", client: "parley.js/" + version(), token: null });
  assert.equal(batch.batch, 1);
  assert.equal(batch.sentAt, page.now);
  assert.deepEqual(batch.events.map((event) => event.type), ["thread", "message"]);
  assert.equal(batch.events[1].id, id);
  thread.trackMessage({ role: "assistant", content: "Hi", replyTo: id });
  await page.advance(10);
  assert.deepEqual(page.socket.batches.map((batch) => batch.batch), [1, 2]);
});

test("an ack that names nobody means stored, and one that names an event means what it says", async () => {
  const page = await openChat();
  page.thread.trackMessage({ role: "assistant", content: "Hi" });
  const third = page.thread.trackMessage({ role: "user", content: "Again" });
  await page.advance(10);
  page.socket.says({ type: "ack", batch: 1, credits: 1 });
  page.socket.says({ type: "ack", batch: 2, credits: 2, results: [{ id: third, index: 1, verdict: "quarantined", reason: "weak_id" }] });
  assert.deepEqual(page.notices.map(({ verdict, reason }) => [verdict, reason]), [["stored", undefined], ["stored", undefined], ["quarantined", "weak_id"]]);
  assert.equal(await page.parley.flush(), true);
});

test("without an index the id says who is meant", async () => {
  const page = await openChat();
  page.socket.says({ type: "ack", batch: 1, credits: 1, results: [{ id: page.firstID, verdict: "conflict", reason: "id_conflict" }] });
  assert.deepEqual(page.notices, [{ id: page.firstID, type: "message", verdict: "conflict", reason: "id_conflict", receipt: undefined }]);
});

test("each event costs a credit; at zero the page waits for more", async () => {
  const page = openPage();
  const thread = page.parley.openThread();
  for (let each = 0; each < 5; each++) thread.trackMessage({ role: "user", content: String(each) });
  await page.advance(10);
  page.socket.welcomes({ credits: 2 });
  assert.deepEqual(page.socket.batches.map((batch) => batch.events.length), [2]);
  page.socket.says({ type: "ack", batch: 1, credits: 0 });
  await page.advance(1000);
  assert.equal(page.socket.batches.length, 1);
  page.socket.says({ type: "credits", credits: 1 });
  assert.deepEqual(page.socket.batches.map((batch) => batch.events.length), [2, 1]);
  page.socket.says({ type: "ack", batch: 2, credits: 64 });
  assert.deepEqual(page.socket.batches.map((batch) => batch.events.length), [2, 1, 2]);
});

test("a batch keeps to the limits that the welcome announced", async () => {
  const page = openPage();
  const thread = page.parley.openThread();
  for (let each = 0; each < 7; each++) thread.trackMessage({ role: "user", content: "x".repeat(1000) });
  await page.advance(10);
  page.socket.welcomes({ limits: { eventBytes: 65536, batchBytes: 4096, batchEvents: 500 } });
  assert.ok(page.socket.batches.length >= 3);
  for (const batch of page.socket.batches) assert.ok(Buffer.byteLength(JSON.stringify(batch)) <= 4096);
  assert.equal(page.socket.batches.flatMap(idsOf).length, 7);
});

test("`retry` comes again with the same id and the same content, after the time the gateway asked for", async () => {
  const page = await openChat();
  page.socket.says({ type: "ack", batch: 1, credits: 1, results: [{ id: page.firstID, index: 0, verdict: "retry", reason: "store_unavailable", retryAfterMs: 3000 }] });
  await page.advance(2999);
  assert.equal(page.socket.batches.length, 1);
  await page.advance(1);
  assert.deepEqual(page.socket.batches[1].events, page.socket.batches[0].events);
  page.socket.says({ type: "ack", batch: 2, credits: 1 });
  assert.deepEqual(page.notices.map((notice) => notice.verdict), ["retry", "stored"]);
});

test("what has no ack is sent again on the next socket, with the same ids, from batch 1", async () => {
  const page = await openChat();
  const second = page.thread.trackMessage({ role: "assistant", content: "Hi" });
  await page.advance(10);
  page.socket.says({ type: "ack", batch: 1, credits: 1 });
  page.socket.closes(1006);
  await page.advance(500);
  assert.equal(page.sockets.length, 2);
  page.socket.welcomes();
  assert.deepEqual(page.socket.batches.map(({ batch }) => batch), [1]);
  assert.deepEqual(idsOf(page.socket.batches[0]), [second]);
});

test("4000-4099: the page does not come back, by any way", async () => {
  const page = await openChat();
  page.socket.says({ type: "error", code: 4001, name: "unknown_key", message: "No project has this key.", temporary: false, doc: "/docs/reasons#unknown_key" });
  page.socket.closes(4001);
  page.thread.trackMessage({ role: "user", content: "Anyone?" });
  await page.advance(600000);
  page.fire("online");
  page.hide();
  page.fire("pagehide");
  page.fire("pageshow");
  await page.advance(600000);
  assert.equal(page.sockets.length, 1);
  assert.equal(page.posts.length, 0);
  assert.equal(page.beacons.length, 0);
  assert.deepEqual(page.notices.map(({ verdict, reason }) => [verdict, reason]), [["dropped", "unknown_key"], ["dropped", "unknown_key"]]);
  assert.ok(page.warnings.some((text) => text.includes("unknown_key") && text.includes("No project has this key.")));
  assert.equal(await page.parley.flush(), false);
});

test("an error frame speaks for its close code where a proxy swallowed it", async () => {
  const page = await openChat();
  page.socket.says({ type: "error", code: 4003, name: "origin_forbidden", message: "m", temporary: false, doc: "d" });
  page.socket.closes(1006);
  await page.advance(600000);
  assert.equal(page.sockets.length, 1);
});

test("4100-4199 and the RFC's own codes: back off, twice as long each time", async () => {
  for (const code of [4100, 4101, 1002, 1009, 1006]) {
    const page = await openChat();
    const waits = [];
    for (let each = 0; each < 4; each++) {
      const before = page.sockets.length;
      page.socket.closes(code);
      let wait = 0;
      while (page.sockets.length === before && wait < 100000) {
        await page.advance(100);
        wait += 100;
      }
      waits.push(wait);
      page.socket.welcomes();
    }
    assert.deepEqual(waits, [500, 1000, 2000, 4000], `close ${code}`); // half of 1, 2, 4, 8 s: Math.random() is 0.5 here
    assert.equal(page.posts.length, 0); // an overloaded gateway is not asked by another way instead
  }
});

test("the gateway's own retryAfterMs goes before the page's guess", async () => {
  const page = await openChat();
  page.socket.says({ type: "error", code: 4100, name: "overloaded", message: "m", temporary: true, retryAfterMs: 7000, doc: "d" });
  page.socket.closes(4100);
  await page.advance(6999);
  assert.equal(page.sockets.length, 1);
  await page.advance(1);
  assert.equal(page.sockets.length, 2);
});

test("4200-4299: at once, or when the goodbye says; not in a circle", async () => {
  const page = await openChat();
  page.socket.says({ type: "ack", batch: 1, credits: 1 });
  page.socket.closes(4201);
  await page.advance(0);
  assert.equal(page.sockets.length, 2);
  page.socket.welcomes();
  page.socket.closes(4201);
  await page.advance(100);
  assert.equal(page.sockets.length, 2);
  await page.advance(2000);
  assert.equal(page.sockets.length, 3);
  page.socket.welcomes();
  page.socket.says({ type: "heartbeat", time: "2026-11-21T02:51:10.887Z" });
  page.socket.says({ type: "goodbye", code: 4200, reason: "draining", afterMs: 1234 });
  page.socket.closes(4200);
  await page.advance(1233);
  assert.equal(page.sockets.length, 3);
  await page.advance(1);
  assert.equal(page.sockets.length, 4);
});

test("a heartbeat goes out, the first at a random moment, and any frame answers it", async () => {
  const page = await openChat();
  const beats = () => page.socket.frames.filter((frame) => frame.type === "heartbeat").length;
  await page.advance(12500);
  assert.equal(beats(), 1);
  page.socket.says({ type: "heartbeat", time: "2026-11-21T02:51:10.887Z" });
  await page.advance(25000);
  page.socket.says({ type: "ack", batch: 1, credits: 1 });
  await page.advance(25000);
  assert.equal(beats(), 3);
  assert.equal(page.sockets.length, 1);
});

test("two heartbeats long without a frame: the socket is dead and another is opened", async () => {
  const page = await openChat();
  await page.advance(12500 + 50000);
  assert.equal(page.sockets[0].closed, true);
  assert.equal(page.sockets.length, 2);
  page.sockets[0].says({ type: "ack", batch: 1, credits: 1 }); // too late: another socket speaks now
  assert.deepEqual(page.notices, []);
  page.socket.welcomes();
  assert.deepEqual(idsOf(page.socket.batches[0]), [page.firstID]);
});

test("a frame that is no JSON, or of an unknown type, does no harm", async () => {
  const page = await openChat();
  page.socket.onmessage({ data: "{" });
  page.socket.says({ type: "news", text: "?" });
  page.socket.says({ type: "error", code: 0, name: "unknown_frame", message: "m", temporary: false, doc: "d" });
  page.socket.says({ type: "ack", batch: 99, credits: 0 });
  page.socket.says({ type: "ack", batch: 1, credits: 1 });
  assert.deepEqual(page.notices.map((notice) => notice.verdict), ["stored"]);
});

test("after eight failures the page is left in peace, until an event or `online`", async () => {
  const page = openPage();
  page.globals.fetch = () => Promise.reject(new TypeError("blocked"));
  const thread = page.parley.openThread();
  thread.trackMessage({ role: "user", content: "a" });
  await page.advance(10);
  for (let minutes = 0; minutes < 20; minutes++) {
    if (!page.socket.closed) page.socket.closes(1006);
    await page.advance(60000);
  }
  assert.equal(page.sockets.length, 8);
  thread.trackMessage({ role: "user", content: "b" });
  await page.advance(60000);
  assert.equal(page.sockets.length, 9);
  page.socket.closes(1006);
  await page.advance(600000);
  page.fire("online");
  assert.equal(page.sockets.length, 10);
});

test("`online` does not wait for the back-off", async () => {
  const page = await openChat();
  page.socket.closes(1006);
  page.fire("online");
  assert.equal(page.sockets.length, 2);
});
