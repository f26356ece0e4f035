// The browser client of Parley: it records the messages of a chat where they happen, in the page.
//
// The path of an event: a tracking call gives it an id and returns at once → the queue (bounded) → the socket, or
// fetch where no socket can be had, or a beacon as the page leaves → its verdict. The id is the same on every path and
// the gateway keeps the first of each, so nothing here asks whether a copy might already have arrived.
//
// Two promises to the page: nothing in this file ever throws into it, and nothing in this file grows without bound.
// It keeps nothing on the visitor's machine unless the page says that it may. Importing it touches no `window`.

// ---------------------------------------------------------------------------------------------------------- options

const version = "0.2.0";

// The protocol's limits, until the welcome says otherwise.
const LIMITS = { eventBytes: 65536, batchBytes: 262144, batchEvents: 500 };
// A long chat with the network away. A tab is killed for its memory long before it is slow, so this is kept small.
const QUEUE_EVENTS = 500;
// 512 KiB: two socket batches.
const QUEUE_BYTES = 524288;
// Fetch standard: beacons and keepalive requests share 64 KiB in flight per page. 4 KiB of it stay the page's own.
const BEACON_TOTAL = 61440;
// Chromium refuses a beacon whole that would pass the shared 64 KiB: small pieces lose little to a refusal.
const BEACON_PIECE = 16384;
// An event past BEACON_TOTAL (less ENVELOPE) can never leave by beacon, so it goes by fetch the moment it exists.
const AT_ONCE = 61300;
// Room for the words around the events in a frame or a body; they need about 70 bytes.
const ENVELOPE = 128;
// One render's calls in one frame. HTML standard: timers nested five deep are 4 ms apart at least, so 0 gains nothing.
const COALESCE_MS = 10;
// A proxy that swallows the upgrade leaves a WebSocket connecting for minutes: browsers set no limit a page can rely on.
const WELCOME_MS = 10000;
// The gateway waits ten seconds for a hello; a page's own backend may not be the reason that a visitor is not heard.
const TOKEN_MS = 5000;
// Browsers let a silent request live for minutes (Chromium and Firefox: 300 s); a chat cannot wait that long.
const FETCH_MS = 30000;
// flush() answers false after this, rather than leave an `await` in the page hanging.
const FLUSH_MS = 10000;
// What is kept on the visitor's machine for the next visit: a chat's last words, not an archive. A day, since nobody
// expects a page they left yesterday to speak of it.
const STORE_EVENTS = 200;
const STORE_BYTES = 262144;
const STORE_AGE_MS = 86400000;
// An ack takes a tenth of that; so in the good case nothing is ever written.
const STORE_MS = 250;
// Of a streamed message: enough to show its pace, 3 KB at most.
const DELTAS = 200;
// First delay, doubled each time, full jitter, so that a restart is not met by every page at once.
const RETRY_MS = 1000;
// Chromium wakes the timers of a long-hidden page once a minute: a longer delay would only be less even.
const RETRY_CAP_MS = 60000;
// About a minute of waiting on average; then silence until an event, `online` or a return to the page, since a
// blocked address writes a line to the visitor's console for each attempt.
const RETRY_TRIES = 8;
// What a gateway may ask for in Retry-After; past five minutes it is a mistake.
const RETRY_WISH_MS = 300000;

const inPage = typeof document === "object";
const sizeOf = (text) => new TextEncoder().encode(text).length;
const bodyOf = (items) => `"sentAt":${Date.now()},"events":[${items.map((item) => item.json)}]}`;

// The console is the page's own: it gets one line, and all of them, each once, where the page asked for them. Bound: 50.
const warned = new Set();
let debug;
function warn(text) {
  if (warned.size < (debug ? 50 : 1) && !warned.has(text)) {
    warned.add(text);
    console.warn(`[parley] ${text} (${debug ? version : "see debug: true"})`);
  }
}

// Every function that the page or the browser calls passes through here.
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
  const bytes = crypto.getRandomValues(new Uint8Array(10));
  // Not by Array.from: MooTools and Prototype.js put their own in its place.
  const random = bytes.reduce((text, byte) => text + byte.toString(16).padStart(2, "0"), "");
  if (Date.now() > lastMs) {
    lastMs = Date.now();
    counter = bytes[0];
  } else if (++counter > 4095) {
    lastMs++;
    counter = 0;
  }
  const digits = lastMs.toString(16).padStart(12, "0") + (28672 + counter).toString(16) + "89ab"[bytes[1] & 3] + random.slice(5);
  return digits.replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

// The page's own id where it can be one, a new one where it cannot.
function idFrom(given) {
  if (typeof given === "string" && given && given.length <= 128) return given;
  if (given != null) warn("not an id: " + given);
  return newID();
}

// ------------------------------------------------------------------------------------------------------------- retry

// When a lane may be tried again. `failed` takes the gateway's own wish in milliseconds, where it had one.
const createRetry = () => ({
  at: 0,
  failures: 0,
  fine() {
    this.at = this.failures = 0;
  },
  failed(wish) {
    const delay = Math.random() * Math.min(RETRY_CAP_MS, RETRY_MS * 2 ** this.failures++);
    this.at = Date.now() + (wish >= 0 ? Math.min(wish, RETRY_WISH_MS) : delay);
  },
  again() {
    this.failures = Math.min(this.failures, RETRY_TRIES - 1);
  },
  next() {
    return this.failures < RETRY_TRIES ? this.at : Infinity;
  },
});

// Everything about one key: its queue, its socket, its retries. A page has one, as a rule.
function createClient() {
  let key;
  let base;
  // From identify(), for threads opened without a user of their own; and what proves it: a token or a function for one.
  let user;
  let proof;
  // The proof as it was last, for what leaves by other ways than a socket.
  let token = null;
  // The page's hook on each event.
  let beforeSend;
  // Undefined: nothing may leave or be kept yet. False: nothing is recorded.
  let consent = true;
  // Whether the page wants what is unacked kept on the visitor's machine.
  let storage;
  // Whether it wants the gateway's word for what is stored (P-RCPT-1).
  let receipts;
  let limits = LIMITS;
  // The reason this page must not come back, once the gateway has said so.
  let stopped;
  // Between pagehide and pageshow.
  let away;
  // Bound: what the page adds itself.
  const listeners = new Set();
  // Bound: each leaves after FLUSH_MS at the latest.
  const flushes = new Set();

  // ----------------------------------------------------------------------------------------------------------- queue

  // Bound: QUEUE_EVENTS and QUEUE_BYTES, checked in admit(). At the bound the oldest custom event that is not under
  // way is dropped, then the oldest of any kind; drops are counted by reason and reported.
  const queue = [];
  let dropped = {};
  const waiting = () => queue.filter((item) => !item.sent);
  const overfull = () => queue.length > QUEUE_EVENTS || queue.reduce((sum, item) => sum + item.size, 0) > QUEUE_BYTES;

  const itemOf = (json, { id, type, at }) => ({ id, type, at, json, size: sizeOf(json) });

  // The text is fixed here, once: every path sends the same bytes for the same id, or the gateway would see a conflict.
  function enqueue(event) {
    const item = itemOf(JSON.stringify(event), event);
    if (item.size > limits.eventBytes) settle(item, "dropped", "event_too_large");
    else queue.push(item);
  }

  // What the page's hook makes of an event: its fields are the page's to change, its id and type are not.
  function hooked(event) {
    let reason = "before_send";
    try {
      const made = beforeSend(event);
      if (made && !made.then) return { ...made, id: event.id, type: event.type };
    } catch (error) {
      reason = "before_send_failed";
    }
    settle(event, "dropped", reason);
  }

  function admit(event) {
    if (!inPage) return;
    if (stopped || consent === false) return tell(event, "dropped", stopped || "no_consent");
    const { id, type } = event;
    if (beforeSend) event = hooked({ ...event });
    if (!event) return;
    try {
      enqueue(event);
    } catch (error) {
      return settle({ id, type }, "dropped", "unserializable");
    }
    bound();
    sockets.again();
    posts.again();
    keepSoon();
    if (away) leave();
    else wake(document.hidden ? 0 : COALESCE_MS);
  }

  function bound() {
    while (overfull()) {
      const idle = waiting();
      settle(idle.find((item) => item.type === "event") || idle[0], "dropped", "queue_full");
    }
  }

  // The end of an event's way: out of the queue, told to whoever listens.
  function settle(item, verdict, reason, message = "") {
    const place = queue.indexOf(item);
    if (place >= 0) queue.splice(place, 1);
    if (verdict === "dropped") dropped[reason] = (dropped[reason] || 0) + 1;
    if (reason) warn(`${item.type} ${verdict}: ${reason}. ${message}`);
    tell(item, verdict, reason);
    keepSoon();
    flushes.forEach((check) => check());
  }

  function tell({ id, type, receipt }, verdict, reason) {
    listeners.forEach((listener) => guard(listener)({ id, type, verdict, reason, receipt }));
  }

  // What had to be dropped is itself an event, sent beside the next ones; past the bound, as it is one at most.
  const reportOf = (reasons) => ({ type: "client_report", id: newID(), at: Date.now(), reasons });

  function report() {
    if (!Object.keys(dropped).length || queue.some((item) => item.type === "client_report")) return;
    enqueue(reportOf(dropped));
    dropped = {};
  }

  function take(events, size) {
    const items = [];
    if (Date.now() < heldUntil) return items;
    report();
    for (const item of waiting().filter((item) => item.size <= AT_ONCE)) {
      if (items.length >= events || (size -= item.size + 1) < ENVELOPE) break;
      item.sent = true;
      items.push(item);
    }
    return items;
  }

  // Until when the gateway wants no events, having said `retry` to some.
  let heldUntil = 0;

  function conclude(items, resultOf) {
    items.forEach((item, place) => {
      const { verdict, reason, message, receipt, retryAfterMs = RETRY_MS } = resultOf(item, place);
      item.receipt = receipt;
      if (verdict !== "retry") return settle(item, verdict, reason, message);
      item.sent = false;
      heldUntil = Date.now() + Math.min(retryAfterMs, RETRY_WISH_MS);
      tell(item, verdict, reason);
    });
  }

  // --------------------------------------------------------------------------------------------------------- storage

  // What has no verdict is kept under a name of this page's own, an event a line, and
  // sent by the next page that starts; a page that lives on sends it too, under the same ids. So no page has to know
  // whether another one is alive. `localStorage`, as it alone can be written while a page goes; it may be missing, denied
  // or full, which costs the page nothing.
  const own = newID();
  const names = () => `parley:${key}:`;
  let keeper;
  // Whether there is something under this page's name.
  let kept;

  function inStore(work) {
    try {
      return work(localStorage);
    } catch (error) {
      // As good as no storage.
    }
  }

  function keepSoon() {
    if (storage && !keeper) keeper = setTimeout(guard(keep), STORE_MS);
  }

  function keep() {
    clearTimeout(keeper);
    keeper = 0;
    if (!storage || !consent || !key) return;
    let size = 0;
    const lines = queue.filter((item, place) => queue.length - place <= STORE_EVENTS && (size += item.size) <= STORE_BYTES).map(({ json }) => json);
    // What neither a beacon took nor this holds is gone with the page, and the next one says so.
    const lost = away ? queue.filter((item) => !item.beaconed && !lines.includes(item.json)).length : 0;
    if (lost) lines.push(JSON.stringify(reportOf({ not_kept: lost })));
    if (lines.length) kept = inStore((store) => store.setItem(names() + own, lines.join("\n")) || 1);
    else if (kept) kept = inStore((store) => store.removeItem(names() + own));
  }

  // Takes over what earlier pages left behind, or only takes it away.
  function recall(forget) {
    inStore((store) => {
      const all = Object.keys(store).filter((name) => name.startsWith(names()));
      for (const name of all) {
        const lines = store.getItem(name).split("\n");
        store.removeItem(name);
        if (!forget) queue.unshift(...lines.map((json) => itemOf(json, JSON.parse(json))).filter((item) =>
          Date.now() - item.at > STORE_AGE_MS ? settle(item, "dropped", "expired") : !queue.some(({ id }) => id === item.id)));
      }
    });
    bound();
    keep();
  }

  // ---------------------------------------------------------------------------------------------------------- socket

  const sockets = createRetry();
  let socket;
  let opened;
  // Sends the proof of the visitor, over the socket of the moment.
  let prove;

  function connect() {
    opened = true;
    // Batch number → its events. Bound: the credits.
    const flights = new Map();
    let credits = 0;
    // Hello comes before all else.
    let greeted;
    let batch = 0;
    // heartbeatMs; 0 until welcomed.
    let every = 0;
    // When the oldest unanswered heartbeat left.
    let beatAt = 0;
    let refusal = {};
    const ws = new WebSocket(address("socket").replace(/^http/, "ws"), "parley.v1");
    let pulse = setTimeout(guard(down), WELCOME_MS, 0);
    const send = (frame) => ws.send(JSON.stringify(frame));

    const session = (socket = {
      // While credits last; each event costs one.
      drain() {
        while (credits > 0 && greeted) {
          const items = take(Math.min(credits, limits.batchEvents), limits.batchBytes);
          if (!items.length) return;
          credits -= items.length;
          flights.set(++batch, items);
          ws.send(`{"type":"batch","batch":${batch},${bodyOf(items)}`);
        }
      },
      // What has no ack waits again, and leaves with the same ids.
      close() {
        socket = undefined;
        clearTimeout(pulse);
        flights.forEach((items) => items.forEach((item) => (item.sent = false)));
        ws.close();
      },
    });

    // Close codes say what to do next: 40xx stay away, 42xx come at once, anything else back off.
    function down(code) {
      if (socket !== session) return;
      session.close();
      const band = Math.floor(((code < 4000 && refusal.code) || code) / 100);
      if (band === 40) return stop(refusal.name || code, refusal.message);
      if (!every && band < 40) noSocket = true;
      sockets.failed(band === 42 && !sockets.failures ? refusal.afterMs || 0 : refusal.retryAfterMs);
      pump();
    }

    // A page script cannot ping. Nothing heard for two beats after one: the line is dead, whatever the browser thinks.
    function beat() {
      if (beatAt && Date.now() - beatAt >= 2 * every) return down(4201);
      beatAt = beatAt || Date.now();
      pulse = setTimeout(guard(beat), every);
      send({ type: "heartbeat" });
    }

    // The page may have to fetch its proof first; without one the visitor is who they claim to be.
    prove = (type) => {
      const say = guard((given) => {
        token = given || null;
        if (socket !== session) return;
        send({ type, client: "parley.js/" + version, token, receipts });
        greeted = true;
        pump();
      });
      if (!proof || !proof.call) return say(proof);
      const late = new Promise((done) => setTimeout(done, TOKEN_MS));
      Promise.race([late, Promise.resolve().then(proof)]).then(say, () => say());
    };
    ws.onopen = guard(() => prove("hello"));
    ws.onclose = guard((event) => down(event.code));
    // Chromium says nothing but this of an address that the page's CSP forbids.
    ws.onerror = guard(() => down(1006));
    ws.onmessage = guard((event) => {
      if (socket !== session) return;
      const frame = JSON.parse(event.data);
      const { type, results = [] } = frame;
      beatAt = 0;
      credits += frame.credits || 0;
      if (frame.code) refusal = frame;
      if (type === "welcome") {
        limits = { ...limits, ...frame.limits };
        every = frame.heartbeatMs || 25000;
        noSocket = false;
        clearTimeout(pulse);
        pulse = setTimeout(guard(beat), Math.random() * every);
      } else if (type === "heartbeat") sockets.fine();
      else if (type === "ack") {
        sockets.fine();
        const items = flights.get(frame.batch) || [];
        flights.delete(frame.batch);
        // Silence about an event says stored.
        conclude(items, (item, place) => results.find(({ index = -1, id }) => index === place || (index < 0 && id === item.id)) || { verdict: "stored" });
      }
      pump();
    });
  }

  // ----------------------------------------------------------------------------------------------------------- fetch

  const posts = createRetry();
  // The last attempt at a socket ended before a welcome.
  let noSocket;
  let posting;
  // Halved to find the one event for which a whole body is refused.
  let postEvents = LIMITS.batchEvents;

  const whole = (items) => `${JSON.stringify({ token, receipts }).slice(0, -1)},${bodyOf(items)}`;
  const address = (path) => `${base}/v1/${path}?key=${encodeURIComponent(key)}`;

  // A string body is text/plain and the key is in the query: a simple request, so no CORS preflight.
  async function ask(items) {
    const reply = {};
    try {
      const signal = AbortSignal.timeout && AbortSignal.timeout(FETCH_MS);
      const response = await fetch(address("events"), { method: "POST", body: whole(items), credentials: "omit", signal });
      Object.assign(reply, { status: response.status, after: response.headers.get("Retry-After") }, await response.json());
    } catch (error) {
      // Offline, blocked or cut short: as good as no answer.
    }
    return reply;
  }

  function post(items) {
    const large = items[0].size > AT_ONCE;
    posting = posting || !large;
    items.forEach((item) => (item.sent = true));
    ask(items).then(guard(({ status, after, results, error }) => {
      posting = posting && large;
      items.forEach((item) => (item.sent = false));
      const { code = "http_" + status, message, retryAfterMs } = error || {};
      if (stopped) return;
      if (results) {
        posts.fine();
        postEvents = LIMITS.batchEvents;
        conclude(items, (item, place) => results[place] || { verdict: "retry" });
      } else if (/40[134]/.test(status)) stop(code, message);
      else if (status >= 400 && status < 500 && status !== 408 && status !== 429) {
        postEvents = items.length >> 1 || LIMITS.batchEvents;
        if (items.length === 1) settle(items[0], "dropped", code, message);
      } else posts.failed(retryAfterMs || (after > 0 ? after * 1000 : Date.parse(after) - Date.now()));
      pump();
    }));
  }

  let timer;
  let timerAt = Infinity;

  function wake(delay) {
    if (Date.now() + delay >= timerAt) return;
    clearTimeout(timer);
    timerAt = Date.now() + delay;
    timer = setTimeout(guard(pump), delay);
  }

  // Looks at everything that could be done now, does it, and sets one timer for what must wait.
  function pump() {
    clearTimeout(timer);
    timerAt = Infinity;
    if (!key || stopped || away || !consent) return;
    const now = Date.now();
    if (!socket && (opened || queue.length) && now >= sockets.next()) {
      try {
        connect();
      } catch (error) {
        // No WebSocket here, or the page's CSP refuses the address.
        noSocket = true;
        sockets.failed();
      }
    }
    if (socket) socket.drain();
    if (now >= posts.at && now >= heldUntil) {
      waiting().filter((item) => item.size > AT_ONCE).forEach((item) => post([item]));
      const items = noSocket && !posting ? take(postEvents, LIMITS.batchBytes) : [];
      if (items.length) post(items);
    }
    const times = [socket || !opened ? 0 : sockets.next()];
    if (waiting().length) times.push(heldUntil, posts.next());
    const next = Math.min(...times.filter((time) => time > now));
    if (next < Infinity) wake(next - now);
  }

  function stop(reason, message = "") {
    warn(`stopped: ${reason}. ${message}`);
    stopped = String(reason);
    if (socket) socket.close();
    queue.slice().forEach((item) => settle(item, "dropped", stopped));
  }

  // ------------------------------------------------------------------------------------------------------- page-hide

  // Of BEACON_TOTAL, since the page was last in sight.
  let spent = 0;

  // A socket is not drained as a page dies, so whatever has no verdict also leaves by beacon. `hidden` comes many times
  // and may be the last thing a phone says: each event is offered once until the page is seen again.
  function leave() {
    if (!key || stopped || !consent) return;
    report();
    const rest = queue.filter((item) => !item.beaconed && item.size <= AT_ONCE);
    rest.sort((a, b) => (a.type === "event") - (b.type === "event"));
    let piece = [];
    let size = ENVELOPE;
    for (const item of rest) {
      if ((size += item.size + 1) > BEACON_PIECE) {
        beacon(piece);
        piece = [];
        size = ENVELOPE + item.size;
      }
      piece.push(item);
    }
    beacon(piece);
    keep();
  }

  // text/plain again: an application/json Blob would need a preflight, which cannot finish while the page dies. `true`
  // means taken, not delivered: the events stay in the queue for the case that the page lives on.
  const beacon = guard((items) => {
    const half = items.length >> 1;
    const body = whole(items);
    const size = sizeOf(body);
    if (items.length && spent + size <= BEACON_TOTAL && navigator.sendBeacon(address("beacon"), body)) {
      spent += size;
      items.forEach((item) => (item.beaconed = true));
    } else if (half) {
      beacon(items.slice(0, half));
      beacon(items.slice(half));
    }
  });

  function back() {
    away = false;
    spent = 0;
    queue.forEach((item) => (item.beaconed = false));
    sockets.again();
    posts.again();
    pump();
  }

  // What the page may say of an open client too. Data attributes are texts: "false" and "no" are no,
  // as are false, null and undefined.
  function configure(options) {
    const said = (name, otherwise) => (name in options ? !/^[fnu]/.test(options[name]) : otherwise);
    ({ beforeSend = beforeSend } = options);
    debug = said("debug", debug);
    receipts = said("receipts", receipts);
    if (options.consent === "required" && consent === true && !asked) consent = undefined;
    if ("storage" in options) allow(storage = said("storage"));
  }

  // Whether the page has said what the visitor agreed to.
  let asked;

  // After each change of what may be kept or sent.
  function allow() {
    if (!key) return;
    if (consent === false || (asked && !storage)) recall(true);
    else if (storage && consent) recall();
    pump();
  }

  function open(publicKey, url) {
    key = publicKey;
    base = url;
    // Tracked before there was a hook to go through.
    if (beforeSend) queue.splice(0).forEach((item) => admit(JSON.parse(item.json)));
    allow();
    const listen = (name, work, target = window) => target.addEventListener(name, guard(work));
    // Never `unload` or `beforeunload`: they, like an open WebSocket, keep the page out of the back/forward cache.
    listen("pagehide", () => {
      away = true;
      if (socket) socket.close();
      streams.forEach((end) => end({ interrupted: true }));
      leave();
    });
    listen("pageshow", back);
    listen("visibilitychange", () => (document.hidden ? leave() : back()), document);
    listen("online", () => {
      sockets.fine();
      posts.fine();
      pump();
    });
    wake(0);
  }

  // -------------------------------------------------------------------------------------------- what the page calls

  function track(type, fields, id = newID()) {
    admit({ type, id, at: Date.now(), ...fields });
    return id;
  }

  function openThread(options) {
    const { id, tags, metadata, user: own } = options || {};
    const thread = idFrom(id);
    // Role → the thread's last message of it.
    const last = {};
    const who = () => (own && own.id ? { id: own.id } : user);
    if (tags || metadata || own) track("thread", { thread, tags, user: own, metadata });
    const self = {
      id: thread,
      trackMessage: guard((message) => {
        const { role, content, id, at, replyTo, retryOf, isRetry, tags, metadata } = message || {};
        if (chosen.includes(id)) return id;
        if (id && chosen.push(id) > QUEUE_EVENTS) chosen.shift();
        if (!/^(user|assistant|system|tool)$/.test(role) || content == null) warn("trackMessage needs a role and content");
        const again = retryOf || (isRetry ? last[role] : undefined);
        return (last[role] = track("message", { thread, role, content, replyTo, retryOf: again, tags, user: who(), metadata, at: at || Date.now() }, idFrom(id)));
      }, newID),
      trackEvent: guard((name, metadata) => {
        if (!name) return warn("trackEvent needs a name");
        track("event", { thread, name, user: who(), metadata });
      }),
      streamMessage: guard((options) => stream(self, options || {}), () => self.streamMessage()),
    };
    return self;
  }

  // Messages that are still being written → how to end them. Bound: what the page begins itself.
  const streams = new Set();
  // Ids that the page chose: React's StrictMode, or a list drawn again, says the same message twice. Bound: QUEUE_EVENTS.
  const chosen = [];

  // A message that comes piece by piece and is tracked once, whole, when it ends, with its pace: [milliseconds since the
  // first piece, UTF-16 units there by then]. A page that is left ends it as it stands; if the page comes back and the
  // answer goes on, the whole is tracked as another try of that part.
  function stream(thread, options) {
    let text = "";
    let start;
    let deltas = [];
    let pause = 0;
    let over;
    let id = idFrom(options.id);
    let retryOf = options.retryOf;

    function end(more) {
      const { interrupted, ...fields } = more || {};
      if (over) return warn("stream ended"), id;
      over = interrupted ? 1 : 2;
      streams.delete(end);
      const metadata = { ...options.metadata, ...fields.metadata, deltas, ...(interrupted && { interrupted }) };
      return thread.trackMessage({ role: "assistant", ...options, ...fields, id, retryOf, at: start, content: text, metadata });
    }

    streams.add(end);
    return {
      id,
      append: guard((piece, at = Date.now()) => {
        if (over > 1) return end();
        if (over) {
          over = 0;
          retryOf = id;
          id = newID();
          streams.add(end);
        }
        start = start || at;
        text += piece;
        const before = deltas.length - 2;
        if (before >= 0 && at - start - deltas[before][0] < pause) deltas.pop();
        if (deltas.push([at - start, text.length]) > DELTAS) {
          pause = pause * 2 || 16;
          deltas = deltas.filter((each, place) => place % 2 === 0);
        }
      }),
      end: guard(end, () => id),
    };
  }

  const client = {
    openThread: guard(openThread, openThread),

    trackFeedback: guard((target, vote) => {
      const { thumb = null, comment } = vote || {};
      if (!target) return warn("trackFeedback needs an id");
      track("feedback", { target, thumb, comment, user });
    }),

    // `token`: a signed proof of the id, or a function that answers one, now or later.
    identify: guard((id, props, options) => {
      if (!id) return warn("identify needs an id");
      user = { id: String(id) };
      proof = (options || {}).token;
      if (proof && prove && socket) prove("auth");
      track("identify", { user: { ...user, props } });
    }),

    // What the visitor agreed to: true, false, or {send, storage}. A no forgets what is waiting and what is kept.
    setConsent: guard((given) => {
      const { send = given !== false, storage: keeps = storage } = Object(given);
      asked = true;
      consent = !!send;
      storage = keeps;
      if (!consent) {
        if (socket) socket.close();
        opened = false;
        queue.slice().forEach((item) => settle(item, "dropped", "no_consent"));
        dropped = {};
      }
      allow();
    }),

    // True when all that was tracked before the call has its verdict; false when it does not come.
    flush: () => new Promise((resolve) => {
      const mine = queue.slice();
      const done = (answer) => {
        clearTimeout(late);
        flushes.delete(check);
        resolve(answer);
      };
      const check = () => (stopped ? done(false) : mine.some((item) => queue.includes(item)) || done(true));
      const late = setTimeout(done, FLUSH_MS, false);
      flushes.add(check);
      check();
    }),

    // "verdict" is the only name.
    on(name, listener) {
      if (name === "verdict" && typeof listener === "function") listeners.add(listener);
      else warn('on takes "verdict", function');
    },

    off(name, listener) {
      listeners.delete(listener);
    },
  };

  return { client, open, configure, hasKey: () => key };
}

// ------------------------------------------------------------------------------------------------ the module's surface

// The client that the functions below speak to. Made by the first call, so that it holds what is tracked before init().
let first;
const current = () => (first = first || createClient());

// Idempotent per key, also across two copies of this file in one page: the list of clients is the window's. Called again
// it changes what can be changed; then the key may be left out.
const init = guard((options) => {
  const { key = first && first.hasKey(), url } = options || {};
  const name = Symbol.for("parley");
  const clients = inPage ? (window[name] = window[name] || new Map()) : new Map();
  const keyless = first && !first.hasKey() && first;
  let chosen = keyless || clients.get(key);
  if (keyless || !chosen) {
    if (!inPage || !/^pk_/.test(key) || !url) {
      if (inPage) warn("init needs a public key (pk_), url");
      return current().client;
    }
    chosen = chosen || createClient();
    clients.set(key, chosen);
  }
  first = first || chosen;
  chosen.configure(options);
  if (!chosen.hasKey()) chosen.open(key, new URL(url, location.href).href.replace(/\/+$/, ""));
  return chosen.client;
}, () => current().client);

const openThread = (options) => current().client.openThread(options);
const trackFeedback = (id, vote) => current().client.trackFeedback(id, vote);
const identify = (id, props, options) => current().client.identify(id, props, options);
const setConsent = (given) => current().client.setConsent(given);
const flush = () => current().client.flush();
const on = (name, listener) => current().client.on(name, listener);
const off = (name, listener) => current().client.off(name, listener);

// <script tag build>
// Takes the place of the loader's stub, or of nothing, and carries out what was called before this file was there. The
// stub's functions live on in the page's hands: what they push from now on happens at once.
const takeOver = guard((parley) => {
  const stub = window.parley || {};
  const script = document.currentScript || { dataset: {}, src: "" };
  if (stub.version) parley = stub;
  window.parley = parley;
  if (script.dataset.key) parley.init({ url: script.src.replace(/\/[^/]*$/, ""), ...script.dataset });
  const queue = stub.queue || [];
  const value = guard(([call]) => call(parley));
  // Not by assignment: a page may have frozen Array.prototype.
  Object.defineProperty(queue, "push", { value });
  queue.splice(0).forEach(value);
});
// </script tag build>

export { init, openThread, trackFeedback, identify, setConsent, flush, on, off, version };
