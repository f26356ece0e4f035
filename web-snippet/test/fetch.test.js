"use strict";
const test = require("node:test");
const assert = require("node:assert/strict");
const { openPage, key } = require("./page.js");

/** A page whose socket has just been refused, with two messages waiting. */
async function openWithoutSocket() {
  const page = openPage();
  page.thread = page.parley.openThread();
  page.ids = ["one", "two"].map((content) => page.thread.trackMessage({ role: "user", content }));
  await page.advance(10);
  page.socket.closes(1006);
  return page;
}

const stored = (post) => ({ results: post.events.map(({ id }) => ({ id, verdict: "stored" })) });
const last = (page) => page.posts[page.posts.length - 1];

test("a socket that cannot be had is replaced by fetch, as a request without preflight", async () => {
  const page = await openWithoutSocket();
  assert.equal(page.posts.length, 1);
  const { address, options, events } = page.posts[0];
  assert.equal(address, `https://gateway.test/v1/events?key=${key}`);
  assert.equal(options.method, "POST");
  assert.equal(options.headers, undefined);
  assert.equal(typeof options.body, "string");
  assert.equal(options.credentials, "omit");
  assert.deepEqual(events.map(({ id }) => id), page.ids);
  assert.equal(JSON.parse(options.body).sentAt, page.now);
  page.posts[0].answer(200, stored(page.posts[0]));
  await page.settle();
  assert.deepEqual(page.notices.map((notice) => notice.verdict), ["stored", "stored"]);
});

test("a page whose CSP forbids the socket, and one that hangs, use fetch", async () => {
  const forbidden = openPage();
  forbidden.socketsForbidden = true;
  forbidden.parley.openThread().trackMessage({ role: "user", content: "a" });
  await forbidden.advance(10);
  assert.equal(forbidden.posts.length, 1);

  const hanging = openPage();
  hanging.parley.openThread().trackMessage({ role: "user", content: "a" });
  await hanging.advance(9999);
  assert.equal(hanging.posts.length, 0);
  await hanging.advance(1);
  assert.equal(hanging.posts.length, 1);
  assert.equal(hanging.sockets[0].closed, true);
});

test("one request at a time; what comes meanwhile goes with the next", async () => {
  const page = await openWithoutSocket();
  const third = page.thread.trackMessage({ role: "user", content: "three" });
  await page.advance(20);
  assert.equal(page.posts.length, 1);
  page.posts[0].answer(200, stored(page.posts[0]));
  await page.settle();
  assert.deepEqual(last(page).events.map(({ id }) => id), [third]);
});

test("the socket is tried again, and when it is welcomed fetch rests", async () => {
  const page = await openWithoutSocket();
  page.posts[0].answer(200, stored(page.posts[0]));
  await page.advance(1000);
  assert.equal(page.sockets.length, 2);
  page.socket.welcomes();
  page.thread.trackMessage({ role: "user", content: "three" });
  await page.advance(10);
  assert.equal(page.posts.length, 1);
  assert.equal(page.socket.batches.length, 1);
});

test("429 and 503 wait for Retry-After, in seconds or as a date", async () => {
  for (const header of ["7", new Date(1795229470887 + 8000).toUTCString()]) {
    const page = await openWithoutSocket();
    page.posts[0].answer(429, { error: { code: "rate_limited", message: "m", temporary: true } }, { "Retry-After": header });
    await page.advance(6000);
    assert.equal(page.posts.length, 1);
    await page.advance(2000);
    assert.equal(page.posts.length, 2, header);
    assert.deepEqual(page.posts[1].events.map(({ id }) => id), page.ids);
  }
});

test("no answer is tried again, twice as late each time", async () => {
  const page = await openWithoutSocket();
  page.posts[0].fails();
  await page.advance(499);
  assert.equal(page.posts.length, 1);
  await page.advance(1);
  assert.equal(page.posts.length, 2);
  page.posts[1].answer(502, "no JSON");
  await page.advance(999);
  assert.equal(page.posts.length, 2);
  await page.advance(1);
  assert.equal(page.posts.length, 3);
});

test("401, 403 and 404 stop the page's sending", async () => {
  for (const status of [401, 403, 404]) {
    const page = await openWithoutSocket();
    page.posts[0].answer(status, { error: { code: "origin_forbidden", message: "m", temporary: false } });
    await page.advance(600000);
    page.thread.trackMessage({ role: "user", content: "more" });
    await page.advance(600000);
    assert.equal(page.posts.length, 1);
    assert.equal(page.notices.filter((notice) => notice.reason === "origin_forbidden").length, 3);
  }
});

test("another 4xx is halved until the one event that is refused is found; the rest goes through", async () => {
  const page = openPage();
  const thread = page.parley.openThread();
  const ids = Array.from({ length: 5 }, (_, each) => thread.trackMessage({ role: "user", content: String(each) }));
  await page.advance(10);
  page.socket.closes(1006);
  for (let turn = 0; turn < 20; turn++) {
    const post = last(page);
    if (post.done) break;
    post.done = true;
    if (post.events.some(({ id }) => id === ids[3])) post.answer(400, { error: { code: "too_deep", message: "m", temporary: false } });
    else post.answer(200, stored(post));
    await page.settle();
  }
  const verdicts = Object.fromEntries(page.notices.map(({ id, verdict }) => [id, verdict]));
  assert.deepEqual(ids.map((id) => verdicts[id]), ["stored", "stored", "stored", "dropped", "stored"]);
});

test("a 200 that leaves an event out is no verdict on it", async () => {
  const page = await openWithoutSocket();
  page.posts[0].answer(200, { results: [{ id: page.ids[0], verdict: "stored" }] });
  await page.advance(1000);
  assert.deepEqual(page.notices.map((notice) => notice.verdict), ["stored", "retry"]);
  assert.deepEqual(last(page).events.map(({ id }) => id), [page.ids[1]]);
});

test("an event too large for a beacon goes by fetch at once, even with a socket", async () => {
  const page = openPage();
  const id = page.parley.openThread().trackMessage({ role: "assistant", content: "x".repeat(62000) });
  await page.advance(10);
  assert.deepEqual(page.posts.map((post) => post.events.map((event) => event.id)), [[id]]);
  page.socket.welcomes();
  assert.equal(page.socket.batches.length, 0);
  page.posts[0].answer(200, stored(page.posts[0]));
  await page.settle();
  assert.deepEqual(page.notices.map((notice) => notice.verdict), ["stored"]);
});

test("a fetch that the page has patched to throw does no harm", async () => {
  const page = openPage();
  page.globals.fetch = () => { throw new Error("patched"); };
  page.socketsForbidden = true;
  page.parley.openThread().trackMessage({ role: "user", content: "a" });
  await page.advance(60000);
  assert.deepEqual(page.notices, []);
});
