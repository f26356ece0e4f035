// A page to put the scripts into: its own globals, a clock that only the test moves, and a network that only the test
// answers. No test here waits for real time or opens a real socket.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const vm = require("node:vm");
const { assemble } = require("../build.js");

// The sources, so that a stale dist/ cannot pass; with SNIPPET=dist what a page is really given, to see that the minifier
// changed no behaviour.
const dist = process.env.SNIPPET === "dist";
const files = Object.fromEntries(Object.entries(assemble()).map(([name, { text }]) => [name, dist ? fs.readFileSync(path.join(__dirname, "../dist", name), "utf8") : text]));
const key = "pk_0000000000000000000000000000";
const url = "https://gateway.test";

/** What a browser keeps for an origin. Its entries are its own properties, as in a browser. */
class Storage {
  setItem(name, value) {
    if (this.refuses) throw new Error("QuotaExceededError");
    this[name] = String(value);
  }
  getItem(name) {
    return Object.hasOwn(this, name) ? this[name] : null;
  }
  removeItem(name) {
    delete this[name];
  }
}

class Page {
  /** `storage`: another page's, for a later visit; null where the browser denies it. */
  constructor({ now = 1795229470887, storage = new Storage() } = {}) {
    this.now = now;
    this.storage = storage;
    this.timers = new Map();
    this.nextTimer = 1;
    this.sockets = [];
    this.posts = [];
    this.beacons = [];
    this.warnings = [];
    this.inserted = [];
    this.beaconRule = () => true;
    const page = this;

    class Target {
      constructor() {
        this.heard = {};
      }
      addEventListener(name, work) {
        (this.heard[name] = this.heard[name] || []).push(work);
      }
      fire(name) {
        for (const work of this.heard[name] || []) work({ type: name });
      }
    }
    this.windowTarget = new Target();
    this.document = Object.assign(new Target(), {
      hidden: false,
      currentScript: null,
      createElement: () => ({ dataset: {} }),
      head: { append: (element) => page.inserted.push(element) },
    });

    class WebSocket {
      constructor(address, protocol) {
        if (page.socketsForbidden) throw new Error("refused by CSP");
        Object.assign(this, { address, protocol, frames: [], closed: false });
        page.sockets.push(this);
      }
      send(text) {
        this.frames.push(JSON.parse(text));
      }
      close() {
        this.closed = true;
      }
      // What the far end does.
      says(frame) {
        this.onmessage({ data: JSON.stringify(frame) });
      }
      welcomes(more = {}) {
        this.onopen();
        this.says({ type: "welcome", session: "s_1", time: "2026-11-21T02:51:10.887Z", limits: { eventBytes: 65536, batchBytes: 262144, batchEvents: 500 }, credits: 1000, heartbeatMs: 25000, identity: "claimed", ...more });
      }
      closes(code) {
        this.onclose({ code });
      }
      get batches() {
        return this.frames.filter((frame) => frame.type === "batch");
      }
    }

    this.globals = vm.createContext({
      document: this.document,
      addEventListener: (name, work) => this.windowTarget.addEventListener(name, work),
      navigator: {
        sendBeacon: (address, body) => {
          const taken = page.beaconRule(body);
          page.beacons.push({ address, body, taken });
          return taken;
        },
      },
      location: { href: "https://shop.test/chat" },
      console: { warn: (text) => page.warnings.push(text) },
      crypto: globalThis.crypto,
      Date: { now: () => page.now, parse: Date.parse },
      fetch: (address, options) => new Promise((resolve, reject) => {
        const answer = (status, body, headers = {}) =>
          resolve({ status, headers: { get: (name) => headers[name] ?? null }, json: async () => (typeof body === "string" ? JSON.parse(body) : body) });
        page.posts.push({ address, options, answer, fails: () => reject(new TypeError("Failed to fetch")), ...JSON.parse(options.body) });
      }),
      setTimeout: (work, delay, ...args) => {
        page.timers.set(page.nextTimer, { at: page.now + delay, work: () => work(...args) });
        return page.nextTimer++;
      },
      clearTimeout: (id) => page.timers.delete(id),
      AbortSignal: { timeout: () => undefined },
      TextEncoder,
      URL,
      WebSocket,
    });
    Object.defineProperty(this.globals, "localStorage", {
      get() {
        if (!page.storage) throw new Error("SecurityError");
        return page.storage;
      },
    });
    this.globals.window = this.globals;
    vm.runInContext("Math.random = () => 0.5", this.globals);
  }

  /** Runs one of the built files the way a script tag with these attributes would. */
  run(name, tag = { dataset: {}, src: url + "/" + name }) {
    this.document.currentScript = tag;
    vm.runInContext(files[name], this.globals, { filename: name });
    this.document.currentScript = null;
  }

  get parley() {
    return this.globals.parley;
  }

  get socket() {
    return this.sockets[this.sockets.length - 1];
  }

  /** Moves the clock, running what falls due, and lets promises settle. */
  async advance(ms) {
    const end = this.now + ms;
    for (;;) {
      await this.settle();
      const due = [...this.timers].filter(([, timer]) => timer.at <= end).sort((a, b) => a[1].at - b[1].at)[0];
      if (!due) break;
      this.timers.delete(due[0]);
      this.now = Math.max(this.now, due[1].at);
      due[1].work();
    }
    this.now = end;
    await this.settle();
  }

  settle() {
    return new Promise((resolve) => setImmediate(resolve));
  }

  hide() {
    this.document.hidden = true;
    this.document.fire("visibilitychange");
  }

  show() {
    this.document.hidden = false;
    this.document.fire("visibilitychange");
  }

  fire(name) {
    this.windowTarget.fire(name);
  }

  /** What arrived by beacon, in order. */
  get beaconed() {
    return this.beacons.filter(({ taken }) => taken).flatMap(({ body }) => {
      const text = JSON.parse(body);
      return text.events || [text];
    });
  }
}

/** A page with the script in it and its client set up; `data` are more attributes of the script's tag. */
function openPage(data = {}, options = {}) {
  const page = new Page(options);
  page.run("parley.js", { dataset: { key, url, ...data }, src: url + "/parley.js" });
  page.notices = [];
  page.parley.on("verdict", (notice) => page.notices.push({ ...notice }));
  return page;
}

/** The same, with one message sent and the socket welcomed. */
async function openChat(welcome) {
  const page = openPage();
  page.thread = page.parley.openThread();
  page.firstID = page.thread.trackMessage({ role: "user", content: "Hello" });
  await page.advance(10);
  page.socket.welcomes(welcome);
  return page;
}

/** The source as an ES module, a new copy each time. */
let copies = 0;
function importSource() {
  const source = fs.readFileSync(path.join(__dirname, "../snippet.js"), "utf8");
  return import("data:text/javascript;base64," + Buffer.from(`${source}// ${copies++}`).toString("base64"));
}

const uuid7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

module.exports = { Page, Storage, openPage, openChat, importSource, key, url, uuid7 };
