// The demo's page: a chat widget that works whether or not the recorder does. What is recorded goes through
// window.parley, which the loader in the page has set before this file runs.
//
// ?runs=early|late|alternate says whether the backend's runs reach the gateway before the message they belong to, after
// it, or in turns (alternate, the default). ?user=NAME says who is chatting; nobody is, otherwise.

const { parley } = window;
const options = new URLSearchParams(location.search);
const at = (id) => document.getElementById(id);
const log = at("log");
const input = at("text");
const language = at("language");

const STATES = {
  pending: "sending…",
  stored: "stored",
  duplicate: "stored",
  retry: "trying again…",
  conflict: "conflict",
  quarantined: "set aside",
  dropped: "not recorded",
};

let thread; // of the conversation on the page; undefined until something is said
let turn = 0;
const bubbles = new Map(); // message id → its bubble; emptied with each new chat

/** An element with properties and children. Text only ever becomes text. */
function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// ------------------------------------------------------------------------------------------------------ what is said

function addBubble(role, text) {
  at("hint")?.remove();
  const state = element("span", { className: "state" });
  const bubble = element("article", { className: `bubble ${role}` },
    element("p", { className: "words", textContent: text, lang: language.value, dir: "auto" }),
    element("footer", {}, element("time", { textContent: new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) }), state));
  bubble.setAttribute("aria-label", role === "user" ? "You" : "Answer");
  log.append(bubble);
  log.scrollTop = log.scrollHeight;
  return bubble;
}

function setState(bubble, verdict, reason) {
  bubble.dataset.state = verdict;
  const state = bubble.querySelector(".state");
  state.textContent = STATES[verdict] ?? verdict;
  state.title = reason ?? "";
}

/** From here on the bubble shows what becomes of the message. */
function follow(bubble, id) {
  bubble.dataset.id = id;
  bubbles.set(id, bubble);
  setState(bubble, "pending");
}

parley.on("verdict", ({ id, verdict, reason }) => {
  const bubble = bubbles.get(id);
  if (bubble) setState(bubble, verdict, reason);
});

// ------------------------------------------------------------------------------------------------- under each answer

/** A thumb, drawn: not every system has a font with one. Turned over by the style sheet for `down`. */
function thumbIcon() {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", "M7 11v9H4v-9zl4-8c1.7 0 2.5 1.3 2.1 3l-.9 4H19c1.3 0 2 1 1.7 2.2l-1.5 6.2c-.2 1-1 1.6-2 1.6H7");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.append(path);
  return svg;
}

function addTools(bubble, id, source) {
  const tools = element("div", { className: "tools" });
  let thumb = null;
  const buttons = ["up", "down"].map((direction) => {
    const button = element("button", { type: "button", className: `thumb ${direction}` }, thumbIcon());
    button.setAttribute("aria-label", direction === "up" ? "Good answer" : "Bad answer");
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      thumb = thumb === direction ? null : direction; // the same thumb again takes the vote back
      parley.trackFeedback(id, { thumb });
      for (const each of buttons) each.setAttribute("aria-pressed", String(each.classList.contains(thumb)));
    });
    return button;
  });
  tools.append(...buttons);
  if (source) {
    const link = element("a", { href: "#document", className: "document", textContent: "open document" });
    link.addEventListener("click", (event) => {
      event.preventDefault();
      thread.trackEvent("document_opened", { document: source.name, message: id });
      at("document-title").textContent = source.name;
      at("document-prompt").textContent = source.prompt;
      at("document-reply").textContent = source.reply;
      at("document").showModal();
    });
    tools.append(link);
  }
  bubble.querySelector("footer").before(tools);
  log.scrollTop = log.scrollHeight;
}

// ------------------------------------------------------------------------------------------------------------ a turn

/** In an early turn the backend hears of the message first, and its run waits in the store for its parent. */
function isEarly() {
  const runs = options.get("runs") ?? "alternate";
  return crypto.randomUUID !== undefined && (runs === "early" || (runs === "alternate" && turn % 2 === 0));
}

async function ask(here, messageId, text, early) {
  const response = await fetch("/chat", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ messageId, thread: here.id, text, language: language.value, runs: early ? "early" : "late" }),
  });
  if (!response.ok) throw new Error(`the backend said ${response.status}`);
  return response.json();
}

async function say(text) {
  turn++;
  // Opened with the first words, so that a visit without any leaves no empty conversation behind.
  const here = (thread ??= parley.openThread({ tags: ["demo"], metadata: { page: location.pathname } }));
  const early = isEarly();
  const question = addBubble("user", text);
  const message = { role: "user", content: text, metadata: { language: language.value } };
  const track = (more) => here.trackMessage({ ...message, ...more });
  const id = early ? crypto.randomUUID() : track();
  follow(question, id);

  let tracked = !early;
  const trackNow = () => {
    if (!tracked) track({ id });
    tracked = true;
  };
  addEventListener("pagehide", trackNow, { capture: true, once: true }); // leaving in the middle of an early turn

  const typing = element("p", { className: "typing", textContent: "…" });
  typing.setAttribute("aria-hidden", "true");
  log.append(typing);
  log.scrollTop = log.scrollHeight;
  try {
    const { replyId, reply, source } = await ask(here, id, text, early);
    trackNow();
    if (here !== thread) return;
    const answer = addBubble("assistant", reply);
    follow(answer, here.trackMessage({ id: replyId, role: "assistant", content: reply, replyTo: id, metadata: { language: language.value } }));
    addTools(answer, replyId, source);
    at("status").textContent = "Messages are recorded";
  } catch (error) {
    trackNow();
    here.trackEvent("answer_failed", { message: id, error: String(error) });
    at("status").textContent = "No answer. Please try again.";
  } finally {
    typing.remove();
    removeEventListener("pagehide", trackNow, { capture: true });
  }
}

function begin() {
  turn = 0;
  thread = undefined;
  bubbles.clear();
  log.querySelectorAll(".bubble, .typing").forEach((each) => each.remove());
  input.focus();
}

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = input.value.trim();
  if (!text) return;
  input.value = "";
  say(text);
});
at("new").addEventListener("click", begin);

language.value = [...language.options].some(({ value }) => value === navigator.language.slice(0, 2)) ? navigator.language.slice(0, 2) : "en";
if (options.get("user")) parley.identify(options.get("user"));
begin();
