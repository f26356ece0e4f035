// The client of Parley for JavaScript backends: it records runs, and messages where the backend is the one that knows them.
//
//   import { init } from "./parley-node.mjs";
//   const parley = init({ key: process.env.PARLEY_SECRET_KEY, url: "https://chat.example.com" });
//   const run = parley.startRun({ kind: "llm", parent: messageId, input });
//   run.end({ output, usage });
//
// The path of an event: a tracking call gives it an id and returns at once → the queue (bounded) → POST /v1/events → its
// verdict. What has no verdict is sent again under the same id, with the same bytes; the gateway keeps the first of each.
//
// Two promises to the application: nothing in this file ever throws into it, and nothing in this file grows without bound.
// Its timers keep no process alive; what is still waiting when there is nothing else to do is sent before the process ends.

import { AsyncLocalStorage } from "node:async_hooks";
import { randomBytes } from "node:crypto";

// ---------------------------------------------------------------------------------------------------------- options

const version = "0.1";

// Minutes of a busy backend with the gateway away, and little beside a process that talks to models.
const QUEUE_EVENTS = 10000;
// 64 MiB. More than three events of the largest size.
const QUEUE_BYTES = 67108864;
// P-LIMIT-2: a body holds 20 MiB and 10,000 events. Smaller ones are on disk, and answered, sooner.
const BODY_EVENTS = 500;
const BODY_BYTES = 1048576;
// Room for the words around the events in a body; they need about 40 bytes.
const ENVELOPE = 128;
// P-LIMIT-1, less what a body of one event adds to it.
const EVENT_BYTES = 20971520 - ENVELOPE;
// A request's calls in one body. Shorter than anybody waits for a run to be shown.
const COALESCE_MS = 50;
// The gateway answers after commit, in milliseconds; what is silent for longer is gone.
const FETCH_MS = 30000;
// flush() answers false after this, rather than leave an `await` hanging.
const FLUSH_MS = 10000;
// What a process that has nothing else to do waits for its last events: supervisors kill after ten seconds.
const EXIT_MS = 5000;
// P-CLOSE-3: first delay, doubled each time, full jitter.
const RETRY_MS = 1000;
const RETRY_CAP_MS = 60000;
// What a gateway may ask for in Retry-After; past five minutes it is a mistake.
const RETRY_WISH_MS = 300000;
// Of a streamed message: enough to show its pace, 3 KB at most.
const DELTAS = 200;

// What a test replaces. `clock` only goes forward, whatever is done to the time of day. Timers keep no process alive.
const machine = {
  now: () => Date.now(),
  clock: () => performance.now(),
  random: () => Math.random(),
  fetch: (...args) => globalThis.fetch(...args),
  setTimer: (work, ms) => setTimeout(work, ms).unref(),
  clearTimer: (timer) => clearTimeout(timer),
};

// Says each thing once. Bound: 50 texts.
const warned = new Set();
function warn(text) {
  if (warned.size < 50 && !warned.has(text)) console.warn("[parley] " + text);
  warned.add(text);
}

// Every function that the application calls passes through here.
const guard = (work, otherwise = () => {}) => (...args) => {
  try {
    return work(...args);
  } catch (error) {
    warn("ignored: " + error);
    return otherwise();
  }
};

// -------------------------------------------------------------------------------------------------------------- ids

let lastMs = 0;
let counter = 0;

// A UUIDv7 (RFC 9562, 5.7): 48 bits of time, a 12-bit counter that keeps the order within a millisecond (6.2, method
// 1), 62 random bits. A counter that runs over borrows the next millisecond; a clock set back changes nothing.
function newID() {
  const bytes = randomBytes(10);
  if (Date.now() > lastMs) {
    lastMs = Date.now();
    counter = bytes[0];
  } else if (++counter > 4095) {
    lastMs++;
    counter = 0;
  }
  const digits = lastMs.toString(16).padStart(12, "0") + (28672 + counter).toString(16) + "89ab"[bytes[1] & 3] + bytes.toString("hex").slice(5);
  return digits.replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

// The application's own id where it can be one, a new one where it cannot.
function idFrom(given) {
  if (typeof given === "string" && given && given.length <= 128) return given;
  if (given != null) warn("not an id: " + given);
  return newID();
}

// An Error has no fields that JSON would see.
const plain = (error) => (error instanceof Error ? { name: error.name, message: error.message, stack: error.stack } : error);

// ------------------------------------------------------------------------------------------------------------ parent

// The message or run that runs begun from here on are for, and its receipt. Follows promises, timers and callbacks.
const parents = new AsyncLocalStorage();

const withParent = (parent, work, receipt) => parents.run({ parent, receipt }, work);

// ------------------------------------------------------------------------------------------------------------ client

// Everything about one key: its queue, its requests, its retries.
function createClient({ now, clock, random, fetch, setTimer, clearTimer }) {
  let key;
  let base;
  let beforeSend;
  // Whether verdicts are to come with receipts (P-RCPT-1).
  let receipts;
  let queueEvents = QUEUE_EVENTS;
  let queueBytes = QUEUE_BYTES;
  // The reason nothing is sent any more, once there is one.
  let stopped;
  // Bound: what the application adds itself.
  const listeners = new Set();
  // Bound: each leaves at its timeout at the latest.
  const flushes = new Set();

  // ----------------------------------------------------------------------------------------------------------- queue

  // In the order of tracking. Bound: queueEvents and queueBytes, checked in admit(). At the bound the oldest custom event
  // that is not under way is dropped, then the oldest of any kind; drops are counted by reason and reported.
  const queue = new Set();
  let bytes = 0;
  let numbers = 0;
  let dropped = {};

  // The text is fixed here, once: every try sends the same bytes for the same id, or the gateway would see a conflict.
  function enqueue({ id, type }, json) {
    const item = { id, type, json, size: Buffer.byteLength(json), number: ++numbers };
    if (item.size > Math.min(EVENT_BYTES, queueBytes)) return settle(item, "dropped", "event_too_large");
    queue.add(item);
    bytes += item.size;
  }

  // What the application's hook makes of an event: its fields may change, its id and type may not.
  function hooked(json, { id, type }) {
    let reason = "before_send";
    try {
      const made = beforeSend(JSON.parse(json));
      if (made && typeof made === "object" && !made.then) return JSON.stringify({ ...made, id, type });
      if (made) warn("beforeSend gives the event back, or null, and nothing else");
    } catch (error) {
      warn("beforeSend failed: " + error);
      reason = "before_send_failed";
    }
    settle({ id, type }, "dropped", reason);
  }

  function admit(event) {
    if (stopped) return tell(event, "dropped", stopped);
    let json;
    try {
      json = JSON.stringify(event);
    } catch (error) {
      return settle(event, "dropped", "unserializable");
    }
    if (beforeSend) json = hooked(json, event);
    if (json) enqueue(event, json);
    while (queue.size > queueEvents || bytes > queueBytes) {
      const item = leastMissed();
      if (!item) break;
      settle(item, "dropped", "queue_full");
    }
    wake(COALESCE_MS);
  }

  // What is under way stays, as it may be stored already.
  function leastMissed() {
    let oldest;
    for (const item of queue) {
      if (item.sent) continue;
      if (item.type === "event") return item;
      oldest = oldest || item;
    }
    return oldest;
  }

  // The end of an event's way: out of the queue, told to whoever listens.
  function settle(item, verdict, reason, message = "", receipt) {
    if (queue.delete(item)) bytes -= item.size;
    if (verdict === "dropped") dropped[reason] = (dropped[reason] || 0) + 1;
    if (reason) warn(`${item.type} ${verdict}: ${reason}. ${message}`);
    tell(item, verdict, reason, receipt);
    flushes.forEach((check) => check());
  }

  function tell({ id, type }, verdict, reason, receipt) {
    listeners.forEach((listener) => guard(listener)({ id, type, verdict, reason, ...(receipt && { receipt }) }));
  }

  // What had to be dropped is itself an event, sent beside the next ones; past the bound, as it is one at most.
  function report() {
    if (!Object.keys(dropped).length || [...queue].some((item) => item.type === "client_report")) return;
    const event = { type: "client_report", id: newID(), at: now(), reasons: dropped };
    dropped = {};
    enqueue(event, JSON.stringify(event));
  }

  // The oldest that fit into a body: one at least.
  function take() {
    report();
    const items = [];
    let size = ENVELOPE;
    for (const item of queue) {
      size += item.size + 1;
      if (items.length && (items.length >= bodyEvents || size > BODY_BYTES)) break;
      items.push(item);
    }
    return items;
  }

  // --------------------------------------------------------------------------------------------------------- requests

  // One at a time, so that events arrive in the order they were tracked.
  let underWay;
  // Halved to find the one event for which a whole body is refused.
  let bodyEvents = BODY_EVENTS;
  let failures = 0;
  // Nothing is sent before.
  let heldUntil = 0;

  const hold = (ms) => (heldUntil = clock() + Math.min(ms, RETRY_WISH_MS));

  const request = (path, body, signal) => fetch(base + path, {
    method: "POST",
    body,
    headers: { "Authorization": "Bearer " + key, "Content-Type": "application/json", "User-Agent": "parley-node/" + version },
    // A redirect would make a GET of it, and take the key to wherever it points.
    redirect: "manual",
    signal,
  });

  async function ask(items, signal) {
    const reply = {};
    try {
      const asked = receipts ? '"receipts":true,' : "";
      const response = await request("/v1/events", `{${asked}"sentAt":${now()},"events":[${items.map((item) => item.json)}]}`, signal);
      reply.status = response.status;
      reply.after = response.headers.get("Retry-After");
      const { results, error } = await response.json();
      Object.assign(reply, { results, error });
    } catch (error) {
      // Away, or cut short: as good as no answer. A gateway's refusals can be read; a proxy's need not be.
      reply.failure = error;
    }
    return reply;
  }

  function post(items) {
    const abort = new AbortController();
    underWay = abort;
    const late = setTimer(() => abort.abort(), FETCH_MS);
    items.forEach((item) => (item.sent = true));
    ask(items, abort.signal).then(guard((reply) => {
      underWay = undefined;
      clearTimer(late);
      items.forEach((item) => (item.sent = false));
      if (!stopped) answered(items, reply);
      pump();
    }));
  }

  function answered(items, { status, after, results, error, failure }) {
    const { code = "http_" + status, message, retryAfterMs } = error || {};
    if (status === 200 && Array.isArray(results)) {
      failures = 0;
      bodyEvents = BODY_EVENTS;
      return items.forEach((item, place) => conclude(item, results[place] || { verdict: "retry" }));
    }
    if (status === 401 || status === 403 || status === 404) return stop(code, message);
    if (status >= 400 && status < 500 && status !== 408 && status !== 429) {
      bodyEvents = items.length >> 1 || BODY_EVENTS;
      return items.length === 1 && settle(items[0], "dropped", code, message);
    }
    const wish = retryAfterMs || (after > 0 ? after * 1000 : Date.parse(after) - now()) || 0;
    hold(Math.max(wish, random() * Math.min(RETRY_CAP_MS, RETRY_MS * 2 ** failures++)));
    const { cause = failure } = failure || {};
    warn(`no answer from ${base} yet: ${status ? "HTTP " + status : cause}. It is tried again.`);
  }

  function conclude(item, { verdict, reason, message, receipt, retryAfterMs = RETRY_MS }) {
    if (verdict !== "retry") return settle(item, verdict, reason, message, receipt);
    hold(retryAfterMs);
    tell(item, verdict, reason);
  }

  let timer;
  let timerAt = Infinity;

  function wake(ms) {
    if (clock() + ms >= timerAt) return;
    clearTimer(timer);
    timerAt = clock() + ms;
    timer = setTimer(guard(pump), ms);
  }

  // Looks at what could be sent now, sends it, or sets the one timer for what must wait.
  function pump() {
    clearTimer(timer);
    timerAt = Infinity;
    if (!key || stopped || underWay) return;
    if (clock() < heldUntil) return wake(Math.ceil(heldUntil - clock()));
    const items = take();
    if (items.length) post(items);
  }

  function stop(reason, message = "") {
    warn(`stopped: ${reason}. ${message}`);
    stopped = String(reason);
    clearTimer(timer);
    queue.forEach((item) => settle(item, "dropped", stopped));
  }

  function open(options, secretKey, url) {
    ({ beforeSend, receipts, queueEvents = QUEUE_EVENTS, queueBytes = QUEUE_BYTES } = options);
    // Tracked before there was a hook to go through.
    if (beforeSend) {
      const early = [...queue];
      queue.clear();
      bytes = 0;
      early.forEach((item) => admit(JSON.parse(item.json)));
    }
    key = secretKey;
    base = url;
    wake(0);
  }

  // Before the process ends by itself. Its promise keeps the process until it is kept.
  let left;
  function leave() {
    if (!key || stopped || left) return;
    report();
    if (!queue.size) return;
    left = true;
    client.flush(EXIT_MS).then((arrived) => {
      if (arrived) return (left = false);
      if (queue.size) warn(`${queue.size} events were not delivered when the process ended`);
      if (underWay) underWay.abort();
    });
  }

  // ------------------------------------------------------------------------------------------ what the application calls

  function track(type, fields, id = newID()) {
    admit({ type, id, ...fields });
    return id;
  }

  function openThread(options) {
    const { id, tags, metadata, user: own } = options || {};
    const thread = idFrom(id);
    // Role → the thread's last message of it.
    const last = {};
    const who = own && own.id ? { id: own.id } : undefined;
    if (tags || metadata || own) track("thread", { at: now(), thread, tags, user: own, metadata });

    const self = {
      id: thread,
      trackMessage: guard((message) => {
        const { role, content, id, at = now(), replyTo, retryOf, isRetry, tags, user = who, metadata, trace } = message || {};
        if (!/^(user|assistant|system|tool)$/.test(role) || content == null) warn("trackMessage needs a role and content");
        const again = retryOf || (isRetry ? last[role] : undefined);
        return (last[role] = track("message", { at, thread, role, content, replyTo, retryOf: again, tags, user, metadata, trace }, idFrom(id)));
      }, newID),
      streamMessage: guard((options) => stream(self, options || {}), () => self.streamMessage()),
      trackEvent: guard((name, metadata) => {
        if (!name) return warn("trackEvent needs a name");
        track("event", { at: now(), thread, name, user: who, metadata });
      }),
      startRun: (options) => client.startRun({ thread, user: who, ...options }),
      trackRun: (options) => client.trackRun({ thread, user: who, ...options }),
      run: (options, work) => client.run({ thread, user: who, ...options }, work),
    };
    return self;
  }

  // A message that comes piece by piece and is tracked once, whole, when it ends, with its pace: [milliseconds since the
  // first piece, UTF-16 units there by then]. Bound: DELTAS; past it every other is left out and the pause doubled.
  function stream(thread, options) {
    const id = idFrom(options.id);
    let text = "";
    let start;
    let deltas = [];
    let pause = 0;
    let over;
    return {
      id,
      append: guard((piece) => {
        if (over) return warn("a streamed message had ended already");
        start = start || now();
        text += piece;
        const passed = now() - start;
        const before = deltas.length - 2;
        if (before >= 0 && passed - deltas[before][0] < pause) deltas.pop();
        deltas.push([passed, text.length]);
        if (deltas.length > DELTAS) {
          pause = pause * 2 || 16;
          deltas = deltas.filter((each, place) => place % 2 === 0);
        }
      }),
      end: guard((more) => {
        const { interrupted, ...fields } = more || {};
        if (over) return warn("a streamed message had ended already"), id;
        over = true;
        const metadata = { ...options.metadata, ...fields.metadata, deltas, ...(interrupted && { interrupted: true }) };
        return thread.trackMessage({ role: "assistant", ...options, ...fields, id, at: start, content: text, metadata });
      }, () => id),
    };
  }

  // Where a part of a run is alone, the other having been lost, it still says whose it is.
  // P-RCPT-2: the parent's receipt stands beside it in each part.
  const placeOf = ({ kind, name, thread, parent, receipt, within, user }) => {
    if (!kind) warn("a run needs a kind: llm, agent, tool, chain, retriever or embedding");
    if (parent === undefined) ({ parent, receipt } = parents.getStore() || {});
    return { kind: kind || "chain", name, thread, parent, receipt: parent && receipt || undefined, within, user };
  };

  const workOf = ({ input, output, model, provider, usage, cost, success, error, tags, metadata, question, answer, trace, linkedTraces, extra }) =>
    ({ input, output, model, provider, usage, cost, success, error: plain(error), tags, metadata, question, answer, trace, linkedTraces, extra });

  function startRun(options) {
    const { id: given, startedAt = now(), ...fields } = options || {};
    const id = idFrom(given);
    const place = placeOf(fields);
    let over;
    track("run", { ...place, ...workOf(fields), startedAt }, id);
    return {
      id,
      startRun: (child) => client.startRun({ thread: place.thread, parent: id, user: place.user, ...child }),
      end: guard((ending) => {
        if (over) return warn("a run had ended already");
        over = true;
        const { endedAt = now(), ...more } = ending || {};
        track("run", { ...place, ...workOf({ success: more.error == null, ...more }), endedAt }, id);
      }),
      get ended() {
        return !!over;
      },
    };
  }

  function trackRun(options) {
    const { id, startedAt, endedAt = now(), ...fields } = options || {};
    return track("run", { ...placeOf(fields), ...workOf({ success: fields.error == null, ...fields }), startedAt, endedAt }, idFrom(id));
  }

  // What `work` throws is the application's own, and goes on to it.
  function run(options, work) {
    const run = client.startRun(options);
    const finish = (ending) => run.ended || run.end(ending);
    const failed = (error) => {
      finish({ error });
      throw error;
    };
    const done = (output) => {
      finish({ output });
      return output;
    };
    let answer;
    try {
      answer = withParent(run.id, () => work(run));
    } catch (error) {
      failed(error);
    }
    return answer && typeof answer.then === "function" ? answer.then(done, failed) : done(answer);
  }

  const client = {
    openThread: guard(openThread, () => openThread()),
    startRun: guard(startRun, () => startRun({ kind: "chain" })),
    trackRun: guard(trackRun, newID),
    run,
    withParent,

    trackFeedback: guard((target, vote) => {
      const { thumb = null, comment, author, user, thread, at = now() } = vote || {};
      if (!target) return warn("trackFeedback needs the id of a message or run");
      track("feedback", { at, target, thumb, comment, author, user, thread });
    }),

    trackScore: guard((target, score) => {
      const { name, value, category, reason, author, judge, removed, thread, at = now() } = score || {};
      if (!target || !name) return warn("trackScore needs the id of a thread, message or run, and a name");
      track("score", { at, target, name, value, category, reason, author, judge, removed, thread });
    }),

    // A backend speaks of many people: this tells what is known of one, and marks no thread.
    identify: guard((id, props) => {
      if (!id) return warn("identify needs an id");
      track("identify", { at: now(), user: { id: String(id), props } });
    }),

    // Whether a receipt is the gateway's word that this id is stored, and since when; null where it can't be asked (P-RCPT-3).
    verifyReceipt: async (id, receipt) => {
      const abort = new AbortController();
      const late = setTimeout(() => abort.abort(), FLUSH_MS);
      try {
        if (!key || stopped) throw new Error(stopped || "before init()");
        const response = await request("/v1/receipts", JSON.stringify({ id: String(id), receipt: String(receipt) }), abort.signal);
        const { valid, at } = await response.json();
        if (typeof valid !== "boolean") throw new Error("HTTP " + response.status);
        return valid ? { valid, at } : { valid };
      } catch (error) {
        warn("a receipt was not checked: " + error);
        return null;
      } finally {
        clearTimeout(late);
      }
    },

    // True when all that was tracked before the call has its verdict; false when it does not come in time.
    flush: (timeoutMs = FLUSH_MS) => new Promise((resolve) => {
      const mark = numbers;
      const done = (answer) => {
        clearTimeout(late);
        flushes.delete(check);
        resolve(answer);
      };
      const check = () => {
        const [oldest] = queue;
        if (stopped) done(false);
        else if (!oldest || oldest.number > mark) done(true);
      };
      // This timer does keep the process: somebody waits.
      const late = setTimeout(done, timeoutMs, false);
      flushes.add(check);
      check();
      pump();
    }),

    // Flushes, then ends the client; what is tracked from then on is dropped as `closed`. For a handler of SIGTERM.
    close: async (timeoutMs) => {
      report();
      const arrived = await client.flush(timeoutMs);
      if (!stopped) {
        stopped = "closed";
        clearTimer(timer);
        queue.forEach((item) => settle(item, "dropped", "closed"));
        if (underWay) underWay.abort();
      }
      clients.forEach((each, name) => each.client === client && clients.delete(name));
      if (first && first.client === client) first = undefined;
      return arrived;
    },

    // "verdict" is the only name.
    on(name, listener) {
      if (name === "verdict" && typeof listener === "function") listeners.add(listener);
      else warn('on needs "verdict" and a function');
    },

    off(name, listener) {
      listeners.delete(listener);
    },
  };

  return { client, open, stop, leave, isNew: () => !key && !stopped, isStopped: () => stopped };
}

// ------------------------------------------------------------------------------------------------ the module's surface

// Key and address → client. The process's, so that a second copy of this file, or a hot reload, makes no second client.
const registry = Symbol.for("parley.node");
if (!globalThis[registry]) {
  globalThis[registry] = new Map();
  process.on("beforeExit", () => globalThis[registry].forEach((each) => each.leave()));
}
const clients = globalThis[registry];

// The client that the functions below speak to. Made by the first call, so that it holds what is tracked before init().
let first;
const current = () => (first = first || createClient(machine));

const init = guard((options, replaced) => {
  const { key = process.env.PARLEY_SECRET_KEY, url = process.env.PARLEY_URL } = options || {};
  const address = String(url).replace(/\/+$/, "");
  const name = key + " " + address;
  if (clients.has(name)) return clients.get(name).client;
  const chosen = first && first.isNew() && !replaced ? first : createClient({ ...machine, ...replaced });
  if (!first || first.isStopped()) first = chosen;
  if (/^pk_/.test(key)) chosen.stop("secret_key_needed", "A public key (pk_…) is for pages; a backend's begins with sk_.");
  else if (!/^sk_/.test(key)) chosen.stop("secret_key_needed", "init needs a secret key, sk_….");
  else if (!/^https?:\/\/./.test(address)) chosen.stop("url_needed", "init needs the gateway's url, http(s)://….");
  else {
    clients.set(name, chosen);
    chosen.open(options || {}, key, address);
  }
  return chosen.client;
}, () => current().client);

const openThread = (options) => current().client.openThread(options);
const startRun = (options) => current().client.startRun(options);
const trackRun = (options) => current().client.trackRun(options);
const run = (options, work) => current().client.run(options, work);
const trackFeedback = (target, vote) => current().client.trackFeedback(target, vote);
const trackScore = (target, score) => current().client.trackScore(target, score);
const identify = (id, props) => current().client.identify(id, props);
const verifyReceipt = (id, receipt) => current().client.verifyReceipt(id, receipt);
const flush = (timeoutMs) => current().client.flush(timeoutMs);
const close = (timeoutMs) => current().client.close(timeoutMs);
const on = (name, listener) => current().client.on(name, listener);
const off = (name, listener) => current().client.off(name, listener);

export { init, openThread, startRun, trackRun, run, withParent, trackFeedback, trackScore, identify, verifyReceipt, flush, close, on, off, version };
