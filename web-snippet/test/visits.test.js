"use strict";
// What is kept from one visit to the next, and what the visitor has a say in.
const test = require("node:test");
const assert = require("node:assert/strict");
const { Page, Storage, openPage, key, url } = require("./page.js");

const DAY = 86400000;
const kept = (page) => Object.keys(page.storage).filter((name) => name.startsWith("parley:"));
const say = (page, content) => page.parley.openThread({ id: "t-1" }).trackMessage({ role: "user", content });
const batches = (page) => page.sockets.flatMap((socket) => socket.batches).flatMap((batch) => batch.events);

async function visit(page, later = 60000, data = { storage: "" }) {
  const next = openPage(data, { now: page.now + later, storage: page.storage });
  await next.advance(10);
  if (next.socket) next.socket.welcomes();
  await next.advance(0);
  return next;
}

test("nothing is kept unless the page asks for it", async () => {
  const page = openPage();
  say(page, "a");
  await page.advance(2000);
  page.hide();
  page.fire("pagehide");
  assert.deepEqual(Object.keys(page.storage), []);
});

test("where acks come in time nothing is ever written", async () => {
  const page = openPage({ storage: "" });
  page.storage.setItem = () => assert.fail("written");
  say(page, "a");
  await page.advance(10);
  page.socket.welcomes();
  page.socket.says({ type: "ack", batch: 1, credits: 1 });
  await page.advance(5000);
  page.fire("pagehide");
});

test("what has no verdict is kept within a quarter of a second, and forgotten with its verdict", async () => {
  const page = openPage({ storage: "" });
  say(page, "a");
  await page.advance(250);
  assert.equal(kept(page).length, 1);
  page.socket.welcomes();
  await page.advance(0);
  page.socket.says({ type: "ack", batch: 1, credits: 1 });
  await page.advance(250);
  assert.deepEqual(kept(page), []);
});

test("what a page leaves behind the next one sends, the same to the byte, and learns its verdict", async () => {
  const page = openPage({ storage: "" });
  const id = say(page, "Hé \u2028 \ud83d\ude00\n");
  page.fire("pagehide");
  const next = await visit(page);
  assert.deepEqual(batches(next), [page.beaconed[0]]);
  next.socket.says({ type: "ack", batch: 1, credits: 1, results: [{ index: 0, id, verdict: "duplicate" }] });
  assert.deepEqual(next.notices.map(({ id, verdict }) => [id, verdict]), [[id, "duplicate"]]);
  await next.advance(250);
  assert.deepEqual(kept(next), []);
});

test("what two pages left goes once each, before what is new, and is kept again until it is acked", async () => {
  const storage = new Storage();
  const first = openPage({ storage: "" }, { storage });
  const second = openPage({ storage: "" }, { storage });
  const [a, b] = [say(first, "a"), say(second, "b")];
  first.fire("pagehide");
  second.fire("pagehide");
  assert.equal(kept(first).length, 2);
  const next = openPage({ storage: "" }, { now: first.now + 1, storage });
  const c = say(next, "c");
  await next.advance(10);
  next.socket.welcomes();
  await next.advance(250);
  const sent = batches(next).map(({ id }) => id);
  assert.deepEqual(sent.slice().sort(), [a, b, c].sort());
  assert.equal(sent.at(-1), c);
  assert.equal(kept(next).length, 1);
  assert.equal((await visit(next)).sockets.length, 1);
});

test("what is older than a day goes nowhere, and is reported", async () => {
  const page = openPage({ storage: "" });
  const id = say(page, "a");
  page.fire("pagehide");
  const next = await visit(page, DAY + 1000);
  const [report, ...rest] = batches(next).length ? batches(next) : (say(next, "b"), await next.advance(10), next.socket.welcomes(), await next.advance(0), batches(next).reverse());
  assert.deepEqual(report.reasons, { expired: 1 });
  assert.ok(!rest.some((event) => event.id === id));
  assert.deepEqual(kept(next).length <= 1, true);
});

test("what is carried from visit to visit gets no younger", async () => {
  let page = openPage({ storage: "" });
  say(page, "a");
  page.fire("pagehide");
  for (let visits = 0; visits < 3; visits++) {
    page = openPage({ storage: "" }, { now: page.now + DAY / 2, storage: page.storage });
    page.fire("pagehide");
  }
  assert.deepEqual(page.notices.map(({ reason }) => reason).concat(page.beaconed.map(({ reasons }) => reasons)).filter(Boolean), [{ expired: 1 }]);
});

test("what neither a beacon took nor the caps hold is reported by the next page", async () => {
  const page = openPage({ storage: "" });
  page.beaconRule = () => false;
  for (let n = 0; n < 250; n++) say(page, String(n));
  page.hide();
  page.fire("pagehide");
  const next = await visit(page);
  const reports = batches(next).filter(({ type }) => type === "client_report");
  assert.deepEqual([batches(next).length, reports.map(({ reasons }) => reasons)], [201, [{ not_kept: 50 }]]);
});

test("a page that goes on after it was hidden reports nothing as lost", async () => {
  const page = openPage({ storage: "" });
  page.beaconRule = () => false;
  for (let n = 0; n < 250; n++) say(page, String(n));
  page.hide();
  assert.ok(!page.storage[kept(page)[0]].includes("client_report"));
});

test("200 events and 256 KB are kept, the newest", async () => {
  const page = openPage({ storage: "" });
  for (let n = 0; n < 300; n++) say(page, String(n));
  page.fire("pagehide");
  const lines = page.storage[kept(page)[0]].split("\n");
  assert.equal(JSON.parse(lines[199]).content, "299");
  // Beacons took what came first: nothing is lost, so nothing is said.
  assert.equal(lines.length, 200);
  const large = openPage({ storage: "" });
  for (let n = 0; n < 8; n++) say(large, "x".repeat(50000));
  large.fire("pagehide");
  assert.ok(large.storage[kept(large)[0]].length <= 262144 + 100);
});

test("storage that is denied, full or spoilt costs the page nothing", async () => {
  for (const storage of [null, Object.assign(new Storage(), { refuses: true }), Object.assign(new Storage(), { [`parley:${key}:x`]: "{]", [`parley:${key}:y`]: "{]\nnull", [`parley:${key}:z`]: "" })]) {
    if (storage && storage.refuses) Object.defineProperty(storage, "refuses", { enumerable: false });
    const page = openPage({ storage: "" }, { storage });
    const id = say(page, "a");
    await page.advance(300);
    page.socket.welcomes();
    await page.advance(300);
    assert.ok(batches(page).some((event) => event.id === id));
    page.hide();
    page.fire("pagehide");
    assert.deepEqual(page.warnings, []);
  }
});

test("another key's and another script's entries stay as they are", async () => {
  const storage = Object.assign(new Storage(), { "parley:pk_other:x": "{}", cart: "2" });
  const page = openPage({ storage: "" }, { storage });
  page.parley.setConsent(false);
  assert.deepEqual(Object.keys(storage), ["parley:pk_other:x", "cart"]);
});

test("before consent nothing leaves and nothing is kept; with it everything goes", async () => {
  const page = openPage({ storage: "", consent: "required" });
  const id = say(page, "a");
  await page.advance(5000);
  page.hide();
  page.fire("pagehide");
  page.fire("pageshow");
  page.show();
  assert.equal(page.sockets.length + page.posts.length + page.beacons.length, 0);
  assert.deepEqual(Object.keys(page.storage), []);
  page.parley.setConsent(true);
  await page.advance(10);
  page.socket.welcomes();
  await page.advance(0);
  assert.deepEqual(batches(page).map((event) => event.id), [id]);
  page.fire("pagehide");
  assert.equal(kept(page).length, 1);
});

test("a no forgets what waits and what is kept, also of earlier visits; a later yes begins anew", async () => {
  const page = openPage({ storage: "" });
  say(page, "a");
  page.fire("pagehide");
  const next = openPage({ storage: "", consent: "required" }, { storage: page.storage });
  const id = say(next, "b");
  next.parley.setConsent(false);
  assert.deepEqual(Object.keys(page.storage), []);
  assert.deepEqual(next.notices.map(({ id, verdict, reason }) => [id, verdict, reason]), [[id, "dropped", "no_consent"]]);
  say(next, "c");
  await next.advance(60000);
  next.fire("pagehide");
  next.fire("pageshow");
  assert.equal(next.sockets.length + next.beacons.length, 0);
  next.parley.setConsent(true);
  const after = say(next, "d");
  await next.advance(10);
  next.socket.welcomes();
  await next.advance(0);
  assert.deepEqual(batches(next).map(({ id, type }) => type === "client_report" ? type : id), [after]);
});

test("consent to sending alone keeps nothing", async () => {
  const page = openPage({ storage: "", consent: "required" });
  page.parley.setConsent({ storage: false });
  say(page, "a");
  await page.advance(300);
  page.fire("pagehide");
  assert.deepEqual(kept(page), []);
  assert.equal(page.beacons.length, 1);
  page.parley.setConsent({ storage: true });
  page.fire("pageshow");
  say(page, "b");
  page.fire("pagehide");
  assert.equal(kept(page).length, 1);
});

test("what was tracked before init goes through its hook", async () => {
  const page = new Page();
  page.run("parley.js");
  page.parley.openThread({ id: "t-1" }).trackMessage({ role: "user", content: "secret" });
  page.parley.init({ key, url, beforeSend: (event) => ({ ...event, content: "[removed]" }) });
  await page.advance(10);
  page.socket.welcomes();
  await page.advance(0);
  assert.deepEqual(batches(page).map(({ content }) => content), ["[removed]"]);
});

test("a hook that answers a promise keeps the event back, rather than send it unseen", async () => {
  const page = openPage();
  page.parley.init({ beforeSend: async (event) => event });
  say(page, "a");
  assert.deepEqual(page.notices.map(({ reason }) => reason), ["before_send"]);
});

test("a hook may spoil its event, not the client", async () => {
  const page = openPage();
  page.parley.init({ beforeSend: (event) => { event.id = 1; event.big = 1n; return event; } });
  const id = say(page, "a");
  assert.deepEqual(page.notices.map(({ id, reason }) => [id, reason]), [[id, "unserializable"]]);
});

test("a proof goes into the hello, whether at hand or to be fetched, and again when it has run out", async () => {
  const page = openPage();
  page.parley.identify("u1", {}, { token: "a.b.c" });
  await page.advance(10);
  page.socket.welcomes();
  assert.equal(page.socket.frames[0].token, "a.b.c");
  let asked = 0;
  page.parley.identify("u2", {}, { token: async () => `t${++asked}` });
  await page.advance(0);
  assert.deepEqual(page.socket.frames.filter(({ type }) => type === "auth").map(({ token }) => token), ["t1"]);
  page.socket.closes(4202);
  await page.advance(0);
  page.socket.welcomes();
  await page.advance(10);
  assert.deepEqual([page.socket.frames[0].type, page.socket.frames[0].token, page.socket.batches.length], ["hello", "t2", 1]);
});

test("a proof that was told the socket goes with beacons too, in the body and in no address", async () => {
  const page = openPage();
  page.parley.identify("u1", {}, { token: async () => "a.b.c" });
  await page.advance(10);
  page.socket.welcomes();
  await page.advance(10);
  page.hide();
  assert.equal(JSON.parse(page.beacons[0].body).token, "a.b.c");
  assert.doesNotMatch(page.beacons[0].address, /a\.b\.c/);
});

test("a proof that fails or never comes holds nobody up for long", async () => {
  for (const token of [() => { throw new Error("no"); }, () => Promise.reject(new Error("no")), () => new Promise(() => {})]) {
    const page = openPage();
    page.parley.identify("u1", {}, { token });
    await page.advance(10);
    page.socket.welcomes();
    await page.advance(5000);
    assert.equal(page.socket.frames[0].type, "hello");
    assert.equal(page.socket.frames[0].token, null);
    assert.equal(page.socket.batches.length, 1);
  }
});

test("a streamed message left open is recorded as it stands; the rest is another try of it", async () => {
  const page = openPage();
  const stream = page.parley.openThread({ id: "t-1" }).streamMessage({ replyTo: "q", metadata: { model: "m" } });
  stream.append("Half of");
  page.fire("pagehide");
  const [part] = page.beaconed;
  assert.deepEqual([part.id, part.role, part.content, part.replyTo, part.metadata], [stream.id, "assistant", "Half of", "q", { model: "m", deltas: [[0, 7]], interrupted: true }]);
  page.fire("pageshow");
  stream.append(" it");
  const id = stream.end();
  assert.notEqual(id, stream.id);
  page.fire("pagehide");
  const whole = page.beaconed.find((event) => event.id === id);
  assert.deepEqual([whole.content, whole.retryOf, whole.metadata.interrupted], ["Half of it", stream.id, undefined]);
});

test("a long stream keeps its pace in 200 steps, the last one whole", async () => {
  const page = openPage();
  const stream = page.parley.openThread().streamMessage();
  for (let n = 0; n < 5000; n++) {
    stream.append("word ");
    page.now += 13;
  }
  stream.end({ tags: ["long"] });
  stream.append("more");
  stream.end();
  page.fire("pagehide");
  const [message, ...rest] = page.beaconed;
  assert.equal(rest.length, 0);
  const { deltas } = message.metadata;
  assert.ok(deltas.length <= 200 && deltas.length > 60, String(deltas.length));
  assert.deepEqual(deltas.at(-1), [4999 * 13, 25000]);
  assert.ok(deltas.every(([ms, count], place) => place === 0 || (ms > deltas[place - 1][0] && count > deltas[place - 1][1])));
  assert.deepEqual([message.tags, page.warnings.length], [["long"], 1]);
});

test("the loader's streams, hooks and consent reach the client in order", async () => {
  const page = new Page();
  page.run("parley-loader.js", { dataset: { key, url }, nonce: "n" });
  const { parley } = page;
  parley.init({ beforeSend: (event) => ({ ...event, tags: ["seen"] }) });
  const stream = parley.openThread({ id: "t-1" }).streamMessage({ role: "assistant" });
  stream.append("He");
  page.now += 300;
  stream.append("llo");
  stream.end();
  page.fire("pagehide");
  assert.equal(page.beacons.length, 0, "the page wanted to see events before they leave");
  page.run("parley.js", { dataset: {}, src: page.inserted[0].src });
  page.fire("pageshow");
  await page.advance(10);
  page.socket.welcomes();
  await page.advance(0);
  const [message] = batches(page);
  assert.deepEqual([message.id, message.content, message.tags, message.metadata.deltas], [stream.id, "Hello", ["seen"], [[0, 2], [300, 5]]]);
});

test("the loader says nothing before consent, and loads what its tag pins", () => {
  const page = new Page();
  page.run("parley-loader.js", { dataset: { key, url, consent: "required", src: "https://cdn.test/p.js", integrity: "sha384-x" }, nonce: "n" });
  page.parley.openThread().trackMessage({ role: "user", content: "a" });
  page.fire("pagehide");
  assert.equal(page.beacons.length, 0);
  const [script] = page.inserted;
  assert.deepEqual([script.src, script.integrity, script.crossOrigin, script.nonce], ["https://cdn.test/p.js", "sha384-x", "", "n"]);
});
