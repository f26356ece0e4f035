"use strict";
const test = require("node:test");
const assert = require("node:assert/strict");
const { openPage, openChat, key } = require("./page.js");

const ids = (events) => events.map(({ id }) => id);

test("what has no verdict when the page is hidden goes by beacon, as text, with the same ids and bytes", async () => {
  const page = await openChat();
  const second = page.thread.trackMessage({ role: "user", content: "two" });
  page.hide();
  assert.equal(page.beacons.length, 1);
  assert.equal(page.beacons[0].address, `https://gateway.test/v1/beacon?key=${key}`);
  assert.equal(typeof page.beacons[0].body, "string");
  assert.deepEqual(ids(page.beaconed), [page.firstID, second]);
  assert.deepEqual(page.beaconed[0], page.socket.batches[0].events[0]);
});

test("what has its verdict does not", async () => {
  const page = await openChat();
  page.socket.says({ type: "ack", batch: 1, credits: 1 });
  page.hide();
  page.fire("pagehide");
  assert.equal(page.beacons.length, 0);
});

test("`hidden` and `pagehide` in a row offer each event once; after the page was seen again, once more", async () => {
  const page = await openChat();
  page.hide();
  page.hide();
  page.fire("pagehide");
  assert.equal(page.beacons.length, 1);
  page.fire("pageshow");
  page.show();
  page.hide();
  assert.equal(page.beacons.length, 2);
  assert.deepEqual(ids(page.beaconed), [page.firstID, page.firstID]);
});

test("bodies keep to 16 KiB each and 60 KiB in all; messages go before custom events", async () => {
  const page = openPage();
  const thread = page.parley.openThread();
  for (let each = 0; each < 40; each++) thread.trackEvent("typed", { text: "x".repeat(1000) });
  const messages = Array.from({ length: 40 }, () => thread.trackMessage({ role: "user", content: "ü".repeat(500) }));
  page.hide();
  const taken = page.beacons.filter((beacon) => beacon.taken);
  assert.ok(taken.length >= 4);
  for (const { body } of taken) assert.ok(Buffer.byteLength(body) <= 16384);
  const total = taken.reduce((sum, { body }) => sum + Buffer.byteLength(body), 0);
  assert.ok(total <= 61440 && total > 58000, `${total} bytes`);
  assert.deepEqual(ids(page.beaconed).slice(0, 40), messages);
});

test("an event of more than 16 KiB goes in a body of its own", async () => {
  const page = openPage();
  const thread = page.parley.openThread();
  thread.trackMessage({ role: "user", content: "a" });
  thread.trackMessage({ role: "user", content: "x".repeat(40000) });
  thread.trackMessage({ role: "user", content: "b" });
  page.hide();
  assert.deepEqual(page.beacons.map(({ body }) => JSON.parse(body).events.length), [1, 1, 1]);
});

test("a beacon that is refused is halved", async () => {
  const page = openPage();
  const thread = page.parley.openThread();
  for (let each = 0; each < 8; each++) thread.trackMessage({ role: "user", content: "x".repeat(1000) });
  page.beaconRule = (body) => body.length < 4000;
  page.hide();
  assert.equal(page.beaconed.length, 8);
  assert.deepEqual(page.beacons.map(({ taken }) => taken), [false, false, true, true, false, true, true]);
});

test("a beacon taken is not a beacon delivered: the events still go by socket", async () => {
  const page = openPage();
  const id = page.parley.openThread().trackMessage({ role: "user", content: "a" });
  page.hide();
  await page.advance(10);
  page.socket.welcomes();
  assert.deepEqual(ids(page.socket.batches[0].events), [id]);
});

test("the socket is closed on pagehide and opened again on pageshow, with what is left", async () => {
  const page = await openChat();
  page.fire("pagehide");
  assert.equal(page.socket.closed, true);
  await page.advance(600000);
  assert.equal(page.sockets.length, 1);
  page.fire("pageshow");
  assert.equal(page.sockets.length, 2);
  page.socket.welcomes();
  assert.deepEqual(ids(page.socket.batches[0].events), [page.firstID]);
});

test("what the page tracks after pagehide leaves by beacon on the spot", async () => {
  const page = await openChat();
  page.socket.says({ type: "ack", batch: 1, credits: 1 });
  page.fire("pagehide");
  const id = page.thread.trackMessage({ role: "user", content: "one more thing" });
  assert.deepEqual(ids(page.beaconed), [id]);
});

test("drops are reported even if the page leaves first", async () => {
  const page = openPage();
  page.parley.openThread().trackMessage({ role: "user", content: 1n });
  page.hide();
  assert.deepEqual(page.beaconed.map(({ type, reasons }) => [type, reasons]), [["client_report", { unserializable: 1 }]]);
});

test("neither unload nor beforeunload is listened to", () => {
  const page = openPage();
  assert.deepEqual(Object.keys(page.windowTarget.heard).sort(), ["online", "pagehide", "pageshow"]);
});
