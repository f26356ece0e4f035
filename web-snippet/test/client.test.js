"use strict";
// The cases of protocol/conformance/client.json, which every client passes, against the snippet: over the socket, and over fetch
// where the page may open none.
const test = require("node:test");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { openPage, key } = require("./page.js");

const folder = path.join(__dirname, "../../protocol");
const { cases } = JSON.parse(fs.readFileSync(path.join(folder, "conformance/client.json"), "utf8"));
const reasons = Object.fromEntries(JSON.parse(fs.readFileSync(path.join(folder, "reasons.json"), "utf8")).reasons.map((reason) => [reason.code, reason]));
const BOUND = 500;
const EVENT_BYTES = 65536;

/** The far end over a socket. A delivery is `{items: [[id, json]], …}`. */
class OverSocket {
  constructor(page) {
    this.page = page;
    this.seen = new Map(); // socket → frames looked at
  }
  deliveries() {
    const fresh = [];
    for (const socket of this.page.sockets) {
      if (!this.seen.has(socket)) {
        this.seen.set(socket, 0);
        if (this.page.refusing) socket.closes(1006);
        else socket.welcomes();
      }
      for (const frame of socket.frames.slice(this.seen.get(socket))) {
        if (frame.type === "batch") fresh.push({ socket, batch: frame, events: frame.events });
        if (frame.type === "heartbeat" && !socket.closed) socket.says({ type: "heartbeat" });
      }
      this.seen.set(socket, socket.frames.length);
    }
    return fresh;
  }
  answer({ socket, batch, events }, results) {
    const told = results === "stored" ? [] : results.map((result, index) => ({ index, id: events[index].id, ...result })).filter(({ verdict, receipt }) => verdict !== "stored" || receipt);
    socket.says({ type: "ack", batch: batch.batch, credits: events.length, results: told });
  }
  asked({ socket }) {
    return socket.frames[0].receipts;
  }
  lose({ socket }) {
    socket.closes(1006);
  }
  refuse({ socket }, { code, retryAfterMs, temporary }) {
    const { closeCode: close } = reasons[code];
    socket.says({ type: "error", code: close, name: code, message: "", temporary, retryAfterMs });
    socket.closes(close);
  }
}

class OverFetch {
  constructor(page) {
    this.page = page;
    page.socketsForbidden = true;
    this.count = 0;
  }
  deliveries() {
    const fresh = this.page.posts.slice(this.count);
    this.count = this.page.posts.length;
    if (!this.page.refusing) return fresh.map((post) => ({ post, events: post.events }));
    fresh.forEach((post) => post.fails());
    return [];
  }
  answer({ post, events }, results) {
    const all = results === "stored" ? events.map(() => ({ verdict: "stored" })) : results;
    post.answer(200, { results: all.map((result, index) => ({ id: events[index].id, ...result })) });
  }
  asked({ post }) {
    return post.receipts;
  }
  lose({ post }) {
    post.fails();
  }
  refuse({ post }, { status, code, retryAfterMs, temporary }) {
    post.answer(status, { error: { code, message: "", temporary, retryAfterMs } });
  }
}

async function run({ steps, receipts }, Far) {
  const page = openPage(receipts ? { receipts: "" } : {});
  const far = new Far(page);
  const threads = new Map();
  const names = new Map(); // id → the name the case calls it by
  const streams = new Map();
  const firstText = new Map();
  const unanswered = [];
  let pending = [];
  let last;
  const thread = (id) => threads.get(id) || threads.set(id, page.parley.openThread({ id })).get(id);
  const nameOf = ({ id, type }) => names.get(id) || `<${type}>`;
  const look = () => {
    for (const delivery of far.deliveries()) {
      for (const event of delivery.events) if (!firstText.has(event.id)) firstText.set(event.id, JSON.stringify(event));
      pending.push(delivery);
      unanswered.push(delivery);
    }
  };
  const pass = async (ms) => {
    // In steps, so that a connection is welcomed before the client gives up on it.
    for (let left = ms; left > 0; left -= 100) {
      await page.advance(Math.min(100, left));
      look();
    }
    await page.advance(0);
    look();
  };
  const follow = (given, name) => {
    const { type, thread: id, ...fields } = given;
    if (type === "event") {
      // Its id is not told to the page: the notices and deliveries name it.
      thread(id).trackEvent(fields.name, { case: name });
      return;
    }
    names.set(thread(id).trackMessage(fields), name);
  };

  for (const step of steps) {
    const word = JSON.stringify(step).slice(0, 120);
    if (step.track) {
      const given = JSON.parse(JSON.stringify(step.track).replace("${beyondEventBytes}", "x".repeat(EVENT_BYTES)));
      const times = step.times === "bound" ? BOUND : step.times;
      if (times) for (let n = 0; n < times; n++) follow(given, step.as + n);
      else follow(given, step.as);
    } else if (step.sent) {
      for (let waited = 0; !pending.length && waited < 1000; waited += 100) await pass(100);
      assert.ok(pending.length, `nothing was sent: ${word}`);
      last = pending.shift();
      for (const { id, type, metadata } of last.events) if (type === "event" && !names.has(id)) names.set(id, metadata.case);
      const sent = last.events.map(nameOf);
      if (step.sent.at(-1) === "...") assert.deepEqual(sent.slice(0, step.sent.length - 1), step.sent.slice(0, -1), word);
      else assert.deepEqual(sent, step.sent, word);
    } else if (step.report) {
      assert.deepEqual(last.events.find(({ type }) => type === "client_report").reasons, step.report);
    } else if (step.answer) {
      far.answer(unanswered.shift(), step.answer);
      await page.settle();
      await page.settle();
      look();
    } else if (step.lost) {
      far.lose(unanswered.shift());
      await page.settle();
      await page.settle();
    } else if (step.refused) {
      far.refuse(unanswered.shift(), step.refused);
      await page.settle();
      await page.settle();
    } else if (step.advanceMs) {
      await pass(step.advanceMs);
    } else if (step.quiet) {
      await pass(step.quiet);
      assert.equal(pending.length, 0, word);
    } else if (step.heard) {
      const heard = page.notices.splice(0).map(({ id, type, verdict, reason = "", receipt = reason }) => [names.get(id) || (type === "event" ? "e0" : `<${type}>`), verdict, ...(receipt ? [receipt] : [])]);
      assert.deepEqual(heard.sort(), step.heard.slice().sort(), word);
    } else if ("asked" in step) {
      assert.equal(far.asked(last) || false, step.asked, word);
    } else if (step.same) {
      for (const name of step.same) {
        const event = last.events.find((each) => nameOf(each) === name);
        assert.equal(JSON.stringify(event), firstText.get(event.id), word);
      }
    } else if ("refuseToConnect" in step) {
      page.refusing = step.refuseToConnect;
    } else if ("beforeSend" in step) {
      const rule = step.beforeSend;
      page.parley.init({ beforeSend: rule && ((event) => {
        if (rule.throw) throw new Error("the page's own");
        return rule.drop ? null : { ...event, ...rule.set };
      }) });
    } else if (step.fields) {
      for (const [name, fields] of Object.entries(step.fields)) {
        const event = last.events.find((each) => nameOf(each) === name);
        for (const [field, value] of Object.entries(fields)) assert.deepEqual(event[field], value, word);
      }
    } else if (step.stream) {
      const { thread: id, ...fields } = step.stream;
      const stream = thread(id).streamMessage(fields);
      streams.set(step.as, stream);
      names.set(stream.id, step.as);
    } else if (step.append !== undefined) {
      streams.get(step.to).append(step.append);
    } else if (step.end) {
      streams.get(step.end).end();
    } else assert.fail(`a step this test does not know: ${word}`);
  }
}

for (const [name, Far] of [["socket", OverSocket], ["fetch", OverFetch]]) {
  for (const each of cases) test(`${each.name} [${name}]`, () => run(each, Far));
}

test("the cases are there", () => assert.ok(cases.length >= 12 && key));
