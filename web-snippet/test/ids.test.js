"use strict";
const test = require("node:test");
const assert = require("node:assert/strict");
const { openPage, uuid7, Page, key, url } = require("./page.js");

const timeOf = (id) => parseInt(id.replace("-", "").slice(0, 12), 16);

test("an id is a UUIDv7 that carries the time", () => {
  const page = openPage();
  const id = page.parley.openThread().id;
  assert.match(id, uuid7);
  assert.equal(timeOf(id), page.now);
});

test("ids made within one millisecond stand in order and are unique", () => {
  const page = openPage();
  const thread = page.parley.openThread();
  const ids = Array.from({ length: 20000 }, () => thread.trackMessage({ role: "user", content: "" }));
  assert.deepEqual([...ids].sort(), ids);
  assert.equal(new Set(ids).size, ids.length);
});

test("a clock set back does not disturb the order", () => {
  const page = openPage();
  const before = page.parley.openThread().id;
  page.now -= 3600000;
  const after = page.parley.openThread().id;
  assert.ok(after > before);
});

test("the random part differs from id to id and from page to page", () => {
  const tails = new Set();
  for (let each = 0; each < 50; each++) tails.add(openPage().parley.openThread().id.slice(19));
  assert.equal(tails.size, 50);
});

test("all four variant digits and all random digits occur", () => {
  const thread = openPage().parley.openThread();
  const ids = Array.from({ length: 2000 }, () => thread.trackMessage({ role: "user", content: "" }));
  assert.equal(new Set(ids.map((id) => id[19])).size, 4);
  for (const place of [20, 21, 22, 24, 30, 35]) assert.equal(new Set(ids.map((id) => id[place])).size, 16);
});

test("the loader's ids are UUIDv7 in order, too", () => {
  const page = new Page();
  page.run("parley-loader.js", { dataset: { key, url }, nonce: "n" });
  const thread = page.parley.openThread();
  const ids = Array.from({ length: 100 }, () => thread.trackMessage({ role: "user", content: "" }));
  for (const id of ids) assert.match(id, uuid7);
  assert.deepEqual([...ids].sort(), ids);
  assert.equal(timeOf(thread.id), page.now);
});

test("the page's own id is used where it can be one", () => {
  const page = openPage();
  const thread = page.parley.openThread({ id: "support-4711" });
  assert.equal(thread.id, "support-4711");
  assert.equal(thread.trackMessage({ role: "user", content: "a", id: "msg_Zk3n8Qw9Lx2v" }), "msg_Zk3n8Qw9Lx2v");
  assert.match(thread.trackMessage({ role: "user", content: "a", id: 42 }), uuid7);
  assert.match(thread.trackMessage({ role: "user", content: "a", id: "x".repeat(129) }), uuid7);
});
