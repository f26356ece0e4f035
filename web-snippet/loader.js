// The loader: paste it into the page, or link to it; either way its own tag carries the settings.
//
//   <script nonce="…" data-key="pk_…" data-url="https://chat.example.com">…this file…</script>
//
// It sets window.parley at once and fetches the real script (async, as every inserted one is) beside the page's own
// work: data-src and data-integrity name another address for it, and what its bytes must be (W3C SRI). Until that is
// here, calls wait in order; messages get their real ids at once, and keep them when parley.js carries the calls out. If
// the visitor leaves first, what was said goes by beacon, unless they have to consent or the page looks at events before
// they leave (init's `beforeSend`). It is dense because it is pasted.
window.parley || (() => {
  const { dataset, nonce } = document.currentScript;
  const queue = [[(parley) => parley.init(dataset)]];
  let ms = 0;
  let mute = dataset.consent;

  // Each call of the real API, with its event where it is a message. Bound: 200, for a script that never comes; the
  // page goes on getting ids.
  const later = (...call) => queue[199] || queue.push(call);

  // The id that was given, or a UUIDv7 as in the real script; within a millisecond the time is pushed on where that one
  // counts.
  const idOf = (given) => given && given.id || `0${(ms = Math.max(Date.now(), ms + 1)).toString(16)}-7xxx-axxx-xxxxxxxxxxxx`
    .replace(/x/g, () => (crypto.getRandomValues(new Uint8Array(1)) % 16).toString(16)).replace(/.{8}/, "$&-");

  const parley = window.parley = {
    queue,
    init(options) {
      mute = mute || options && options.beforeSend;
      later((parley) => parley.init(options));
      return parley;
    },
    openThread(options) {
      const thread = {
        ...options,
        id: idOf(options),
        trackMessage(message) {
          const event = { at: Date.now(), user: thread.user, ...message, type: "message", id: idOf(message), thread: thread.id };
          later(() => thread.trackMessage(event), event);
          return event.id;
        },
        trackEvent: (...args) => later(() => thread.trackEvent(...args)),
        // Its pieces wait in one place, however many there are.
        streamMessage(options) {
          const pieces = [];
          const stream = {
            ...options,
            id: idOf(options),
            append: (piece) => pieces.push([piece, Date.now()]),
            end: (more) => later(() => stream.end(more)) && stream.id,
          };
          later(() => {
            Object.assign(stream, thread.streamMessage(stream));
            pieces.map((piece) => stream.append(...piece));
          });
          return stream;
        },
      };
      // From here on the thread's functions are the real ones.
      later((parley) => Object.assign(thread, parley.openThread(thread)));
      return thread;
    },
  };
  for (const name of ["trackFeedback", "identify", "setConsent", "on", "off", "flush"])
    parley[name] = (...args) => new Promise((done) => later((parley) => done(parley[name](...args))));

  // Each message for itself, since browsers refuse a beacon whole that passes their 64 KiB in flight (Fetch standard);
  // as text, so without a preflight.
  addEventListener("pagehide", () => mute || queue.map(([, event]) => event &&
    navigator.sendBeacon(dataset.url + "/v1/beacon?key=" + dataset.key, JSON.stringify(event))));

  // An element takes `src` and `integrity` as they are called there, and what means nothing to it does nothing.
  document.head.append(Object.assign(document.createElement("script"), { src: dataset.url + "/parley.js", nonce, crossOrigin: "" }, dataset));
})();
