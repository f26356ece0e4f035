// A backend to put the client for node into: a clock that only the test moves, and a gateway that only the test answers.
"use strict";

const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { assemble } = require("../build.js");

const key = "sk_00000000000000000000000000000000000000";
const url = "https://gateway.test";

// From a folder of its own, as nothing else says that it is an ES module.
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "parley-node-"));
const file = path.join(folder, "parley-node.mjs");
process.on("exit", () => fs.rmSync(folder, { recursive: true }));

// The source; with SNIPPET=dist what the minifier made of it, where the build has it.
const built = process.env.SNIPPET === "dist" && assemble()["parley-node.mjs"];
fs.copyFileSync(path.join(__dirname, built ? "../dist/parley-node.mjs" : "../node.js"), file);

class Backend {
  constructor() {
    this.now = 1795229470887;
    this.timers = new Map();
    this.nextTimer = 1;
    this.posts = [];
    this.notices = [];
    this.refuses = false;
  }

  get machine() {
    return {
      now: () => this.now,
      clock: () => this.now,
      random: () => 0.5,
      setTimer: (work, ms) => {
        this.timers.set(this.nextTimer, { at: this.now + ms, work });
        return this.nextTimer++;
      },
      clearTimer: (timer) => this.timers.delete(timer),
      fetch: (address, options) => new Promise((resolve, reject) => {
        const fails = () => reject(new TypeError("fetch failed"));
        if (this.refuses) return fails();
        const answer = (status, body, headers = {}) =>
          resolve({ status, headers: { get: (name) => headers[name] ?? null }, json: async () => (typeof body === "string" ? JSON.parse(body) : body) });
        this.posts.push({ address, options, answer, fails, ...JSON.parse(options.body) });
      }),
    };
  }

  /** Starts a client of its own: the module gives one for each key and address. */
  async open(options = {}) {
    const module = await import(file);
    this.address = `${url}/${Backend.count = (Backend.count || 0) + 1}`;
    this.parley = module.init({ key, url: this.address, ...options }, this.machine);
    this.parley.on("verdict", (notice) => this.notices.push(notice));
    return this.parley;
  }

  get post() {
    return this.posts[this.posts.length - 1];
  }

  /** Moves the clock, running what falls due, and lets promises settle; stops early at `until`. */
  async advance(ms, until = () => false) {
    const end = this.now + ms;
    for (;;) {
      await this.settle();
      if (until()) return;
      const due = [...this.timers].filter(([, timer]) => timer.at <= end).sort((a, b) => a[1].at - b[1].at)[0];
      if (!due) break;
      this.timers.delete(due[0]);
      this.now = Math.max(this.now, due[1].at);
      due[1].work();
    }
    this.now = end;
    await this.settle();
  }

  async settle() {
    for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
  }

  /** Answers the last request with these verdicts: names, or whole results. */
  async answers(...verdicts) {
    const { events } = this.post;
    const results = events.map(({ id }, place) => {
      const verdict = verdicts[place] || "stored";
      return { id, ...(typeof verdict === "string" ? { verdict } : verdict) };
    });
    this.post.answer(200, { results });
    await this.settle();
  }
}

module.exports = { Backend, file, key, url };
