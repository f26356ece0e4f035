// Carries a message to the page's own backend: an add-on to the client, for pages that want it.
//
//   import { carry } from "https://chat.example.com/parley-carry.mjs";
//   const thread = carry(openThread(), { to: ["https://api.example.com/chat"] });
//
// After a user's message is tracked, the page's next requests to the allowed addresses get a `traceparent` whose trace id is the
// message's id without its dashes (W3C Trace Context, 3.2), and `baggage` with the ids (W3C Baggage, 3). A backend that runs
// OpenTelemetry continues that trace, and its spans are found under the message with no change to it.
//
// A request that already has a `traceparent`, from the page's APM, keeps it: its trace id is noted for the message instead.
// Like the client, nothing in this file ever throws into the page.

// A chat request leaves within moments of its message; a later request to the same address is about something else.
const CARRY_MS = 10000;
// W3C Baggage, 3.3.2: a list of more bytes may be cut anywhere on its way.
const BAGGAGE_BYTES = 8192;

// The last user's message of a carried thread. One, since a page's visitor writes one at a time.
let current;

const uuid = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i;
const zero = /^0+$/;

// Not by Array.from: MooTools and Prototype.js put their own in its place.
const randomHex = (count) => crypto.getRandomValues(new Uint8Array(count)).reduce((text, byte) => text + byte.toString(16).padStart(2, "0"), "");

// Same origin, or an address that begins with an allowed one at a border of its path.
function allowed(address, to) {
  const { origin, href } = new URL(address, location.href);
  return to.some((allow) => {
    const prefix = new URL(allow, location.href);
    if (prefix.origin !== origin) return false;
    const start = prefix.href.replace(/\/$/, "");
    return href === start || /[/?#]/.test(href[start.length] || "") && href.startsWith(start);
  });
}

// What to add to a request to `address` that has `traceparent` and `baggage` already, or not.
function headersFor(address, traceparent, baggage) {
  if (!current || Date.now() - current.at > CARRY_MS || !allowed(address, current.to)) return {};
  if (traceparent) {
    const trace = traceparent.split("-")[1];
    if (trace && trace !== current.noted) current.thread.trackEvent("$trace", { target: current.id, trace });
    current.noted = trace;
    return {};
  }
  const headers = {};
  const trace = current.id.replace(/-/g, "").toLowerCase();
  // Sampled (01): an exporter sends nothing of a trace that is not.
  if (uuid.test(current.id) && !zero.test(trace)) headers.traceparent = `00-${trace}-${randomHex(8)}-01`;
  if (current.baggage) {
    const members = [baggage, "chat.message.id=" + encodeURIComponent(current.id), "chat.thread.id=" + encodeURIComponent(current.thread.id)];
    const list = members.filter(Boolean).join(",");
    if (list.length <= BAGGAGE_BYTES) headers.baggage = list;
  }
  return headers;
}

// What fails here is the page's request without our headers, never a request that fails.
const attempt = (work, otherwise) => {
  try {
    return work();
  } catch (error) {
    return otherwise;
  }
};

function patchFetch() {
  const original = window.fetch;
  if (!original) return;
  window.fetch = function (input, options) {
    const own = attempt(() => {
      const request = typeof input === "object" && "url" in input ? input : undefined;
      // Browsers refuse headers like these on such requests.
      if ((options && options.mode || request && request.mode) === "no-cors") return options;
      const headers = new Headers(options && options.headers || request && request.headers);
      const more = headersFor(request ? request.url : input, headers.get("traceparent"), headers.get("baggage"));
      if (!Object.keys(more).length) return options;
      for (const name in more) headers.set(name, more[name]);
      return { ...options, headers };
    }, options);
    return original.call(this, input, own);
  };
}

function patchXHR() {
  const prototype = window.XMLHttpRequest && XMLHttpRequest.prototype;
  if (!prototype) return;
  const { open, setRequestHeader, send } = prototype;
  // An APM that was here first adds its header behind ours, and two are none: then only its own is noted.
  const wasPatched = !/native code/.test(Function.prototype.toString.call(send));
  // Request → its address and what of ours it has. Weak, so that nothing is kept alive.
  const seen = new WeakMap();
  prototype.open = function (method, address, ...rest) {
    seen.set(this, { address });
    return open.call(this, method, address, ...rest);
  };
  prototype.setRequestHeader = function (name, value) {
    attempt(() => {
      const request = seen.get(this) || {};
      request[String(name).toLowerCase()] = value;
      if (request.sending) headersFor(request.address, request.traceparent);
    });
    return setRequestHeader.call(this, name, value);
  };
  prototype.send = function (body) {
    attempt(() => {
      const request = seen.get(this);
      const more = headersFor(request.address, request.traceparent);
      if (wasPatched) delete more.traceparent;
      // A header that is set twice is joined with a comma, which is what baggage wants.
      for (const name in more) setRequestHeader.call(this, name, more[name]);
      request.sending = wasPatched;
    });
    return send.call(this, body);
  };
}

// Follows a thread's messages. `to`: addresses whose requests carry them, the page's own origin without it; `baggage: false` leaves
// that header out.
const carry = (thread, { to = [location.origin], baggage = true } = {}) => attempt(() => {
  // The loader's stub puts the real function in its place later: what is set here is followed as well.
  let track = thread.trackMessage;
  const follow = (message) => {
    const id = track.call(thread, message);
    if (message && message.role === "user") current = { id, thread, to: [].concat(to), baggage, at: Date.now() };
    return id;
  };
  Object.defineProperty(thread, "trackMessage", { get: () => follow, set: (real) => (track = real), enumerable: true, configurable: true });
  return thread;
}, thread);

// At once, so that an APM which comes after this file is seen.
if (typeof window === "object") attempt(() => [patchFetch(), patchXHR()]);

// <script tag build>
window.parleyCarry = carry;
// </script tag build>

export { carry };
