"use strict";
const test = require("node:test");
const assert = require("node:assert/strict");
const { openPage } = require("./page.js");

const sentTypes = (page) => page.socket.batches.flatMap((batch) => batch.events).map((event) => event.type);

test("the queue holds 500 events and drops the oldest custom events first", async () => {
  const page = openPage();
  const thread = page.parley.openThread();
  for (let each = 0; each < 100; each++) thread.trackEvent("scrolled", { each });
  for (let each = 0; each < 450; each++) thread.trackMessage({ role: "user", content: String(each) });
  const lost = page.notices.filter((notice) => notice.reason === "queue_full");
  assert.equal(lost.length, 50);
  assert.deepEqual(new Set(lost.map((notice) => notice.type)), new Set(["event"]));
  await page.advance(10);
  page.socket.welcomes();
  const sent = page.socket.batches.flatMap((batch) => batch.events);
  assert.equal(sent.filter((event) => event.type === "message").length, 450);
  assert.deepEqual(sent.filter((event) => event.type === "event").map((event) => event.metadata.each), Array.from({ length: 50 }, (_, each) => each + 50));
});

test("the queue holds 512 KiB, and then the oldest messages go", async () => {
  const page = openPage();
  const thread = page.parley.openThread();
  const ids = Array.from({ length: 20 }, () => thread.trackMessage({ role: "user", content: "x".repeat(50000) }));
  const lost = page.notices.filter((notice) => notice.reason === "queue_full").map((notice) => notice.id);
  assert.ok(lost.length >= 9 && lost.length <= 11, `${lost.length} lost`);
  assert.deepEqual(lost, ids.slice(0, lost.length));
});

test("what is dropped is reported by reason, once, beside the next events", async () => {
  const page = openPage();
  const thread = page.parley.openThread();
  for (let each = 0; each < 503; each++) thread.trackMessage({ role: "user", content: "a" });
  thread.trackEvent("cyclic", (() => { const self = {}; self.self = self; return self; })());
  thread.trackMessage({ role: "user", content: "x".repeat(70000) });
  await page.advance(10);
  page.socket.welcomes();
  const reports = page.socket.batches.flatMap((batch) => batch.events).filter((event) => event.type === "client_report");
  assert.equal(reports.length, 1);
  assert.deepEqual(reports[0].reasons, { queue_full: 3, unserializable: 1, event_too_large: 1 });
  page.socket.says({ type: "ack", batch: 1, credits: 500 });
  page.socket.says({ type: "ack", batch: 2, credits: 1 });
  thread.trackMessage({ role: "user", content: "after" });
  await page.advance(10);
  assert.equal(sentTypes(page).filter((type) => type === "client_report").length, 1);
});

test("an event that is not JSON is dropped and the page hears of it by verdict, not by exception", () => {
  const page = openPage();
  const id = page.parley.openThread().trackMessage({ role: "user", content: 10n });
  assert.deepEqual(page.notices, [{ id, type: "message", verdict: "dropped", reason: "unserializable", receipt: undefined }]);
});

test("what was tracked is fixed at the call: a later change of the object is not sent", async () => {
  const page = openPage();
  const metadata = { page: "one" };
  page.parley.openThread().trackEvent("opened", metadata);
  metadata.page = "two";
  await page.advance(10);
  page.socket.welcomes();
  assert.equal(page.socket.batches[0].events[0].metadata.page, "one");
});
