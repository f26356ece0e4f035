"use strict";
const test = require("node:test");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { spawn } = require("node:child_process");
const { Backend, file, key } = require("./backend.js");

const uuid7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const said = [];
console.warn = (text) => said.push(text);

async function open(options) {
  const backend = new Backend();
  await backend.open(options);
  return backend;
}

// -------------------------------------------------------------------------------------- the cases that all clients pass

const corpus = JSON.parse(fs.readFileSync(path.join(__dirname, "../../protocol/conformance/client.json"), "utf8"));

/** Tracks an event of the corpus by the call an application would make. */
function track(parley, { type, thread, ...fields }) {
  if (type === "message") return parley.openThread({ id: thread }).trackMessage(fields);
  if (type === "event") return parley.openThread({ id: thread }).trackEvent(fields.name, fields.metadata);
  throw new Error("the harness tracks no " + type);
}

const BOUND = 600;
const BEYOND = "x".repeat(20971521);

async function play({ steps, receipts }) {
  let hook;
  const backend = await open({ receipts, queueEvents: BOUND, beforeSend: (event) => (hook ? hook(event) : event) });
  const { parley } = backend;
  // Name → id; a custom event's is seen in what is sent or told.
  const ids = {};
  const unnamed = [];
  const streams = {};
  const first = {};
  let seen = 0;
  let delivery;
  let open_ = 0;
  const texts = () => {
    const found = {};
    for (const post of backend.posts) {
      const inner = post.options.body.slice(post.options.body.indexOf("[") + 1, -2);
      let rest = inner;
      for (const event of post.events) {
        // The text of each is what lies before the next event's.
        const length = post.events.indexOf(event) === post.events.length - 1 ? rest.length : rest.indexOf(',{"type":');
        (found[event.id] = found[event.id] || []).push(rest.slice(0, length));
        rest = rest.slice(length + 1);
      }
    }
    return found;
  };
  const nameOf = ({ id, type }) => {
    const known = Object.keys(ids).find((name) => ids[name] === id);
    if (known) return known;
    if (type === "client_report") return "<client_report>";
    if (type === "event" && unnamed.length) {
      const name = unnamed.shift();
      ids[name] = id;
      return name;
    }
    return id;
  };
  const told = [];
  parley.on("verdict", ({ id, type, verdict, reason = "", receipt = reason }) => told.push([nameOf({ id, type }), verdict, ...(receipt ? [receipt] : [])]));

  for (const step of steps) {
    const at = JSON.stringify(step);
    if (step.track) {
      const event = JSON.parse(JSON.stringify(step.track).replace("${beyondEventBytes}", () => BEYOND));
      const times = step.times === "bound" ? BOUND : step.times;
      for (let turn = 0; turn < (times || 1); turn++) {
        const name = times ? step.as + turn : step.as;
        if (event.type === "event") unnamed.push(name);
        const id = track(parley, event);
        if (id) {
          ids[name] = id;
          told.forEach((each) => each[0] === id && (each[0] = name));
        }
      }
    } else if (step.sent) {
      await backend.advance(1000, () => backend.posts.length > seen);
      assert.ok(backend.posts.length > seen, "nothing was sent: " + at);
      delivery = backend.posts[seen++];
      const names = delivery.events.map(nameOf);
      const more = step.sent[step.sent.length - 1] === "...";
      const expected = more ? step.sent.slice(0, -1) : step.sent;
      assert.deepEqual(more ? names.slice(0, expected.length) : names, expected, at);
      for (const [id, all] of Object.entries(texts())) first[id] = all[0];
    } else if (step.same) {
      for (const name of step.same) assert.equal(texts()[ids[name]].pop(), first[ids[name]], at);
    } else if (step.report) {
      assert.deepEqual(delivery.events.find(({ type }) => type === "client_report").reasons, step.report, at);
    } else if ("asked" in step) {
      assert.equal(delivery.receipts || false, step.asked, at);
    } else if (step.fields) {
      for (const [name, fields] of Object.entries(step.fields)) {
        const event = delivery.events.find(({ id }) => id === ids[name]);
        for (const field of Object.keys(fields)) assert.deepEqual(event[field], fields[field], at);
      }
    } else if (step.answer) {
      const post = backend.posts[open_++];
      post.answer(200, { results: post.events.map(({ id }, place) => ({ id, ...(step.answer === "stored" ? { verdict: "stored" } : step.answer[place]) })) });
      await backend.settle();
    } else if (step.lost) {
      backend.posts[open_++].fails();
      await backend.settle();
    } else if (step.refused) {
      const { status, code, temporary, retryAfterMs } = step.refused;
      backend.posts[open_++].answer(status, { error: { code, message: "", temporary, retryAfterMs, doc: "" } });
      await backend.settle();
    } else if (step.advanceMs) {
      await backend.advance(step.advanceMs);
    } else if (step.quiet) {
      await backend.advance(step.quiet);
      assert.equal(backend.posts.length, seen, at);
    } else if (step.heard) {
      assert.deepEqual(told.splice(0).map(String).sort(), step.heard.map(String).sort(), at);
    } else if ("refuseToConnect" in step) {
      backend.refuses = step.refuseToConnect;
    } else if ("beforeSend" in step) {
      const { set, drop, throw: fails } = step.beforeSend || {};
      hook = (event) => {
        if (fails) throw new Error("the hook's own");
        return drop ? null : { ...event, ...set };
      };
    } else if (step.stream) {
      const { thread, ...options } = step.stream;
      streams[step.as] = parley.openThread({ id: thread }).streamMessage(options);
      ids[step.as] = streams[step.as].id;
    } else if (step.append) {
      streams[step.to].append(step.append);
    } else if (step.end) {
      assert.equal(streams[step.end].end(step.more), ids[step.end]);
    } else throw new Error("the harness knows no step " + at);
  }
}

for (const each of corpus.cases) test(`${each.clause}: ${each.name}`, () => play(each));

// ------------------------------------------------------------------------------------------------------------- receipts

test("a parent's receipt stands beside it in each part, and goes to no other", async () => {
  const backend = await open();
  const { parley } = backend;
  const { withParent } = await import(file);
  const run = parley.startRun({ kind: "llm", parent: "m-1", receipt: "r1.one" });
  run.startRun({ kind: "tool" });
  run.end();
  withParent("m-2", () => {
    parley.trackRun({ kind: "llm" });
    parley.trackRun({ kind: "llm", parent: "m-3" });
    parley.run({ kind: "chain", parent: null, receipt: "r1.lonely" }, () => {});
  }, "r1.two");
  await backend.advance(50);
  assert.deepEqual(backend.posts[0].events.map(({ parent, receipt }) => [parent, receipt]),
    [["m-1", "r1.one"], [run.id, undefined], ["m-1", "r1.one"], ["m-2", "r1.two"], ["m-3", undefined], [null, undefined], [null, undefined]]);
});

test("a receipt is checked by asking, and nothing is said where nobody answers", async () => {
  const backend = await open();
  const asked = [];
  const answers = [
    { status: 200, json: async () => ({ valid: true, at: "2026-11-21T12:00:00.000Z" }) }, { status: 200, json: async () => ({ valid: false }) },
    { status: 503, json: async () => ({ error: { code: "draining" } }) }, { status: 200, json: async () => JSON.parse("<html>") },
  ];
  const { init } = await import(file);
  const parley = init({ key, url: backend.address + "/receipts" }, { ...backend.machine, fetch: async (address, { body, headers }) => {
    asked.push([address, headers.Authorization, body]);
    if (!answers.length) throw new TypeError("fetch failed");
    return answers.shift();
  } });
  const said = [];
  for (let turn = 0; turn < 5; turn++) said.push(await parley.verifyReceipt("m-1", "r1.one"));
  assert.deepEqual(said, [{ valid: true, at: "2026-11-21T12:00:00.000Z" }, { valid: false }, null, null, null]);
  assert.deepEqual(asked[0], [backend.address + "/receipts/v1/receipts", "Bearer " + key, '{"id":"m-1","receipt":"r1.one"}']);
  await parley.close();
  assert.equal(await parley.verifyReceipt("m-1", "r1.one"), null);
  assert.equal(asked.length, 5);
});

// ---------------------------------------------------------------------------------------------------- what is tracked

test("a run is a start and an end that share an id, and each says whose it is", async () => {
  const backend = await open();
  const { parley } = backend;
  const run = parley.startRun({ kind: "llm", name: "answer", parent: "m-1", thread: "t-1", model: "small-1", input: "Hello" });
  await backend.advance(800);
  await backend.answers();
  run.end({ output: "Hi!", usage: { inputTokens: 1 }, cost: 0.1 });
  await backend.advance(50);
  const [start] = backend.posts[0].events;
  const [end] = backend.posts[1].events;
  assert.match(run.id, uuid7);
  assert.deepEqual(start, { type: "run", id: run.id, kind: "llm", name: "answer", thread: "t-1", parent: "m-1", input: "Hello", model: "small-1", startedAt: 1795229470887 });
  assert.deepEqual(end, { type: "run", id: run.id, kind: "llm", name: "answer", thread: "t-1", parent: "m-1", output: "Hi!", usage: { inputTokens: 1 }, cost: 0.1, success: true, endedAt: 1795229471687 });
});

test("a run ends once, and an error is one that can be read", async () => {
  const backend = await open();
  const run = backend.parley.startRun({ kind: "tool" });
  run.end({ error: new RangeError("too far") });
  run.end({ output: "again" });
  assert.equal(run.ended, true);
  const id = backend.parley.trackRun({ kind: "retriever", startedAt: 1, endedAt: 2, output: [1] });
  await backend.advance(50);
  const [, end, whole] = backend.post.events;
  assert.equal(backend.post.events.length, 3);
  assert.deepEqual([end.success, end.error.name, end.error.message], [false, "RangeError", "too far"]);
  assert.deepEqual(whole, { type: "run", id, kind: "retriever", output: [1], success: true, startedAt: 1, endedAt: 2 });
});

test("runs begun in withParent have that parent, also across promises and timers", async () => {
  const backend = await open();
  const { parley } = backend;
  const begin = async () => {
    await null;
    await new Promise((done) => setTimeout(done, 1));
    parley.startRun({ kind: "llm", name: "inner" });
    parley.startRun({ kind: "llm", name: "other", parent: "m-9" });
    parley.startRun({ kind: "llm", name: "orphan", parent: null });
  };
  await Promise.all([parley.withParent("m-1", begin), parley.withParent("m-2", begin)]);
  parley.startRun({ kind: "llm", name: "outside" });
  await backend.advance(50);
  const pairs = backend.post.events.map(({ name, parent }) => `${name} ${parent}`).sort();
  assert.deepEqual(pairs, ["inner m-1", "inner m-2", "orphan null", "orphan null", "other m-9", "other m-9", "outside undefined"]);
});

test("run() records what the work answers, throws and begins, and hands it on", async () => {
  const backend = await open();
  const { parley } = backend;
  assert.equal(parley.run({ kind: "chain" }, () => 7), 7);
  const answer = await parley.withParent("m-1", () => parley.run({ kind: "agent" }, async (agent) => {
    parley.run({ kind: "tool", name: "look-up" }, (tool) => tool.end({ output: "own ending" }));
    return agent.id;
  }));
  const failure = new Error("no luck");
  assert.throws(() => parley.run({ kind: "tool" }, () => { throw failure; }), (error) => error === failure);
  await assert.rejects(parley.run({ kind: "tool" }, async () => { throw failure; }), (error) => error === failure);
  await backend.advance(50);
  const { events } = backend.post;
  assert.deepEqual(events.filter((event) => "endedAt" in event).map(({ kind, output, success }) => [kind, output, success]), [
    ["chain", 7, true], ["tool", "own ending", true], ["agent", answer, true], ["tool", undefined, false], ["tool", undefined, false],
  ]);
  assert.equal(events.find(({ kind }) => kind === "agent").parent, "m-1");
  assert.equal(events.find(({ name }) => name === "look-up").parent, answer);
});

test("messages, votes with an author, scores and users go in the fields of the protocol", async () => {
  const backend = await open();
  const { parley } = backend;
  const thread = parley.openThread({ id: "t-1", tags: ["billing"], user: { id: "u1", props: { plan: "pro" } } });
  const asked = thread.trackMessage({ role: "user", content: "Hello", at: 5 });
  const again = thread.trackMessage({ role: "user", content: "Hello?", isRetry: true });
  thread.trackEvent("opened", { page: 1 });
  thread.trackRun({ kind: "llm", parent: asked });
  parley.trackFeedback(asked, { thumb: "up", author: "Ann" });
  parley.trackFeedback(asked, {});
  parley.trackScore(asked, { name: "helpfulness", value: 0.5, reason: "short" });
  parley.identify(7, { plan: "free" });
  await backend.advance(50);
  const at = 1795229470887;
  const bare = backend.post.events.map(({ id, ...fields }) => fields);
  assert.deepEqual(bare, [
    { type: "thread", at, thread: "t-1", tags: ["billing"], user: { id: "u1", props: { plan: "pro" } } },
    { type: "message", at: 5, thread: "t-1", role: "user", content: "Hello", user: { id: "u1" } },
    { type: "message", at, thread: "t-1", role: "user", content: "Hello?", retryOf: asked, user: { id: "u1" } },
    { type: "event", at, thread: "t-1", name: "opened", user: { id: "u1" }, metadata: { page: 1 } },
    { type: "run", kind: "llm", thread: "t-1", parent: asked, user: { id: "u1" }, success: true, endedAt: at },
    { type: "feedback", at, target: asked, thumb: "up", author: "Ann" },
    { type: "feedback", at, target: asked, thumb: null },
    { type: "score", at, target: asked, name: "helpfulness", value: 0.5, reason: "short" },
    { type: "identify", at, user: { id: "7", props: { plan: "free" } } },
  ]);
  assert.notEqual(again, asked);
});

test("a streamed message keeps its pace within 200 entries, and ends once", async () => {
  const backend = await open();
  const message = backend.parley.openThread().streamMessage({ replyTo: "m-1" });
  for (let piece = 0; piece < 5000; piece++) {
    message.append("ab");
    backend.now += 7;
  }
  message.end({ interrupted: true, metadata: { model: "small-1" } });
  message.append("late");
  assert.equal(message.end(), message.id);
  await backend.advance(50);
  const [event] = backend.post.events;
  const { deltas, interrupted, model } = event.metadata;
  assert.equal(backend.post.events.length, 1);
  assert.deepEqual([event.role, event.replyTo, event.content.length, event.at, interrupted, model], ["assistant", "m-1", 10000, 1795229470887, true, "small-1"]);
  assert.ok(deltas.length <= 200 && deltas.length > 50, String(deltas.length));
  assert.deepEqual([deltas[0], deltas[deltas.length - 1]], [[0, 2], [34993, 10000]]);
  for (let place = 1; place < deltas.length; place++) assert.ok(deltas[place][0] > deltas[place - 1][0] && deltas[place][1] > deltas[place - 1][1]);
});

// --------------------------------------------------------------------------------------------------- what is delivered

test("the key travels in a header, and nothing follows a redirect", async () => {
  const backend = await open();
  backend.parley.openThread().trackEvent("opened");
  await backend.advance(50);
  assert.equal(backend.post.address, backend.address + "/v1/events");
  assert.equal(backend.post.options.headers.Authorization, "Bearer " + key);
  assert.equal(backend.post.options.redirect, "manual");
  backend.post.answer(307, "not JSON");
  await backend.advance(1000);
  assert.equal(backend.posts.length, 2);
});

test("delays double up to a minute, with no end of trying", async () => {
  const backend = await open();
  backend.parley.openThread().trackEvent("opened");
  const at = [];
  for (let turn = 0; turn < 12; turn++) {
    await backend.advance(60000, () => backend.posts.length > turn);
    at.push(backend.now);
    backend.post.answer(503, {});
    await backend.settle();
  }
  assert.deepEqual(at.slice(1).map((time, place) => time - at[place]), [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000, 30000, 30000]);
});

test("Retry-After is obeyed as seconds and as a date, up to five minutes", async () => {
  for (const [header, ms] of [["7", 7000], [new Date(1795229480000).toUTCString(), 9000], ["99999", 300000]]) {
    const backend = await open();
    backend.parley.openThread().trackEvent("opened");
    await backend.advance(50);
    backend.post.answer(429, {}, { "Retry-After": header });
    await backend.advance(ms - 100);
    assert.equal(backend.posts.length, 1, header);
    await backend.advance(200);
    assert.equal(backend.posts.length, 2, header);
  }
});

test("a body that is refused is halved until the guilty event is alone, and only that is dropped", async () => {
  const backend = await open();
  const thread = backend.parley.openThread();
  const ids = Array.from({ length: 9 }, (_, number) => thread.trackMessage({ role: "user", content: number === 5 ? "guilty" : "fine" }));
  await backend.advance(50);
  for (let turn = 0; turn < 30 && backend.posts.length > turn; turn++) {
    if (backend.post.events.some(({ content }) => content === "guilty")) backend.post.answer(400, { error: { code: "too_deep", message: "" } });
    else await backend.answers();
    await backend.settle();
  }
  const dropped = backend.notices.filter(({ verdict }) => verdict === "dropped");
  assert.deepEqual(dropped, [{ id: ids[5], type: "message", verdict: "dropped", reason: "too_deep" }]);
  assert.equal(backend.notices.filter(({ type, verdict }) => type === "message" && verdict === "stored").length, 8);
});

test("bodies stay within their limits, one after the other, in order", async () => {
  const backend = await open();
  const thread = backend.parley.openThread();
  const ids = Array.from({ length: 1200 }, () => thread.trackMessage({ role: "user", content: "x" }));
  ids.push(thread.trackMessage({ role: "user", content: "y".repeat(3000000) }), thread.trackMessage({ role: "user", content: "z" }));
  await backend.advance(50);
  const lengths = [];
  while (lengths.length < backend.posts.length) {
    lengths.push(backend.post.events.length);
    await backend.answers();
  }
  assert.deepEqual(lengths, [500, 500, 200, 1, 1]);
  assert.deepEqual(backend.posts.flatMap(({ events }) => events.map(({ id }) => id)), ids);
});

test("the queue is bounded in bytes, and what is under way stays", async () => {
  const backend = await open({ queueBytes: 2000 });
  const thread = backend.parley.openThread();
  const sent = thread.trackMessage({ role: "user", content: "s".repeat(500) });
  await backend.advance(50);
  for (let turn = 0; turn < 10; turn++) thread.trackMessage({ role: "user", content: "x".repeat(500) });
  thread.trackMessage({ role: "user", content: "y".repeat(3000) });
  assert.equal(backend.notices.filter(({ reason }) => reason === "queue_full").length, 8);
  assert.equal(backend.notices.filter(({ reason }) => reason === "event_too_large").length, 1);
  assert.ok(!backend.notices.some(({ id }) => id === sent));
  await backend.answers();
  assert.deepEqual(backend.post.events[2].reasons, { queue_full: 8, event_too_large: 1 });
});

test("flush is true after the verdicts, false in time without them; close drops the rest", async () => {
  const backend = await open();
  const { parley } = backend;
  assert.equal(await parley.flush(), true);
  parley.openThread().trackEvent("opened");
  const flushed = parley.flush();
  await backend.settle();
  await backend.answers();
  assert.equal(await flushed, true);
  parley.openThread().trackEvent("opened");
  assert.equal(await parley.flush(20), false);
  assert.equal(await parley.close(20), false);
  assert.deepEqual(backend.notices.map(({ reason }) => reason), [undefined, "closed"]);
  parley.openThread().trackEvent("late");
  assert.equal(backend.notices[2].reason, "closed");
});

test("nothing that is handed in wrong throws", async () => {
  const backend = await open();
  const { parley } = backend;
  const hostile = new Proxy({}, { get() { throw new Error("hostile"); }, ownKeys() { throw new Error("hostile"); } });
  for (const bad of [undefined, null, 7, "text", () => {}, hostile, { id: {}, role: 1, kind: 2, get metadata() { throw new Error("getter"); } }]) {
    const thread = parley.openThread(bad);
    assert.equal(typeof thread.id, "string");
    assert.equal(typeof thread.trackMessage(bad), "string");
    thread.trackEvent(bad, bad);
    const stream = thread.streamMessage(bad);
    stream.append(bad === hostile ? "x" : bad);
    assert.equal(typeof stream.end(bad), "string");
    assert.equal(typeof parley.startRun(bad).id, "string");
    parley.startRun({ kind: "llm" }).end(bad);
    assert.equal(typeof parley.trackRun(bad), "string");
    parley.trackFeedback(bad, bad);
    parley.trackScore(bad, bad);
    parley.identify(bad === hostile ? 1 : bad, bad);
    parley.on(bad, bad);
    parley.off(bad, bad);
  }
  const cycle = {};
  cycle.self = cycle;
  parley.openThread().trackEvent("cycle", cycle);
  parley.openThread().trackEvent("big", { big: 1n });
  parley.on("verdict", () => { throw new Error("a listener's own"); });
  assert.equal(backend.notices.filter(({ reason }) => reason === "unserializable").length >= 2, true);
  await backend.advance(50);
  assert.ok(backend.post.events.length > 20);
  await backend.answers();
});

test("a public key, no key and no url are named, and what is tracked is told as dropped", async () => {
  const { init } = await import(file);
  for (const [options, reason] of [[{ key: "pk_0", url: "http://x" }, "secret_key_needed"], [{ url: "http://x" }, "secret_key_needed"], [{ key, url: "x" }, "url_needed"]]) {
    const parley = init(options, new Backend().machine);
    const notices = [];
    parley.on("verdict", (notice) => notices.push(notice.reason));
    parley.openThread().trackEvent("opened");
    assert.deepEqual(notices, [reason]);
    assert.equal(await parley.flush(), false);
  }
  assert.ok(said.some((text) => text.includes("sk_")));
});

test("init is idempotent for a key and address", async () => {
  const { init } = await import(file);
  const { machine } = new Backend();
  assert.equal(init({ key, url: "https://same.test/" }, machine), init({ key, url: "https://same.test" }, machine));
});

// -------------------------------------------------------------------------------------------------- real processes

/** A gateway that stores everything; answers `status` to the first `refusals` requests. */
function gateway(refusals = 0) {
  const stored = [];
  const server = http.createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += chunk));
    request.on("end", () => {
      if (refusals-- > 0) return response.writeHead(503).end("{}");
      const { events } = JSON.parse(body);
      stored.push(...events);
      response.end(JSON.stringify({ results: events.map(({ id }) => ({ id, verdict: "stored" })) }));
    });
  });
  return new Promise((done) => server.listen(0, "127.0.0.1", () => done({ stored, server, url: "http://127.0.0.1:" + server.address().port })));
}

/** Runs a module to its end; answers how long it took, in milliseconds, and what it said. */
function run(source) {
  const began = Date.now();
  const child = spawn(process.execPath, ["--input-type=module", "-e", `import * as parley from ${JSON.stringify(file)};\n${source}`]);
  let text = "";
  child.stderr.on("data", (chunk) => (text += chunk));
  child.stdout.on("data", (chunk) => (text += chunk));
  return new Promise((done) => child.on("exit", (code) => done({ code, text, ms: Date.now() - began })));
}

test("a process that ends right after tracking loses nothing", async () => {
  const { stored, server, url } = await gateway();
  const { code, text } = await run(`parley.init({ key: "${key}", url: "${url}" });
    const thread = parley.openThread();
    for (let n = 0; n < 1234; n++) thread.trackMessage({ role: "user", content: "n" + n });`);
  server.close();
  assert.deepEqual([code, text, stored.length, new Set(stored.map(({ id }) => id)).size], [0, "", 1234, 1234]);
});

test("a process that ends while the gateway is busy tries again before it does", async () => {
  const { stored, server, url } = await gateway(2);
  const { code } = await run(`parley.init({ key: "${key}", url: "${url}" }); parley.openThread().trackEvent("opened");`);
  server.close();
  assert.deepEqual([code, stored.length], [0, 1]);
});

test("an idle client keeps no process, and one whose gateway is gone keeps it five seconds, then says so", async () => {
  const { server, url } = await gateway();
  server.close();
  const idle = await run(`parley.init({ key: "${key}", url: "${url}" });`);
  assert.ok(idle.code === 0 && idle.ms < 3000, JSON.stringify(idle));
  const gone = await run(`parley.init({ key: "${key}", url: "${url}" }); parley.openThread().trackEvent("opened");`);
  assert.ok(gone.code === 0 && gone.ms >= 4900 && gone.ms < 15000, JSON.stringify(gone));
  assert.match(gone.text, /1 events were not delivered/);
});

test("an await of flush is answered in a process that does nothing else", async () => {
  const { stored, server, url } = await gateway(1);
  const { code, text } = await run(`parley.init({ key: "${key}", url: "${url}" }); parley.openThread().trackEvent("opened"); console.log(await parley.flush());`);
  server.close();
  assert.equal(code, 0);
  assert.match(text, /true/);
  assert.equal(stored.length, 1);
});
