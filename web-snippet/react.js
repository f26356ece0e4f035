"use client";
// The React binding of Parley: a chat that is recorded as it is held, or one that another hook holds.
//
//   import { useChat } from "./parley-react.mjs";
//   const { messages, status, ask, stop, regenerate, vote } = useChat({ send: (text, { messageId, signal }) => … });
//
// It speaks to the browser client it is given (`client`, or ParleyProvider), or else to the page's `window.parley`, and it
// looks for that only when something happens: rendering and importing touch no window, so both work on a server.
// StrictMode renders and mounts twice: nothing is tracked by either, but only in event handlers and once for each id.

import { createContext, createElement, useContext, useEffect, useRef, useState, useSyncExternalStore } from "react";

// Of a streamed message: enough to show its pace, 3 KB at most.
const DELTAS = 200;
// How many messages of other hooks are remembered as recorded: many long chats of one page.
const RECORDED = 2000;

// ------------------------------------------------------------------------------------------------------------ client

const Context = createContext(undefined);

/** Hands a client to the hooks below it. */
export function ParleyProvider({ client, children }) {
  return createElement(Context.Provider, { value: client }, children);
}

let warned;

// Ids where no client makes them. `crypto` may be missing on a server, where nothing is recorded.
const byte = () => (globalThis.crypto ? crypto.getRandomValues(new Uint8Array(1))[0] : Math.random() * 256);
const newID = () => "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (digit) => (digit ^ (byte() & 15) >> (digit / 4)).toString(16));

// A page without a client, or whose client is not there yet, works as it would without this file.
const nobody = {
  openThread: ({ id = newID() } = {}) => ({ id, trackMessage: ({ id = newID() }) => id, trackEvent() {} }),
  trackFeedback() {},
};

function someone(client) {
  const found = client || globalThis.parley;
  if (found) return found;
  if (!warned) console.warn("[parley] there is no client: load parley.js, or give the hooks a `client`. Nothing is recorded.");
  warned = true;
  return nobody;
}

// The value of the last render that counted, for what happens between renders.
function useLatest(value) {
  const latest = useRef(value);
  useEffect(() => {
    latest.current = value;
  });
  return latest;
}

// ------------------------------------------------------------------------------------------------------------ thread

// Opened by the first thing that is tracked in it, not by a render.
function createThread(given, latest) {
  let id = given;
  let opened;
  const client = () => someone(latest.current.client);
  const open = () => {
    const { tags, user, metadata } = latest.current;
    opened = opened || client().openThread({ id, tags, user, metadata });
    id = opened.id;
    return opened;
  };
  return {
    // A thread without tags, user and metadata is opened without a word to the gateway: good for an id.
    get id() {
      return (id = id || client().openThread().id);
    },
    trackMessage: (message) => open().trackMessage(message),
    trackEvent: (name, metadata) => open().trackEvent(name, metadata),
    streamMessage: (options) => (open().streamMessage ? open().streamMessage(options) : collect(open(), options || {})),
  };
}

/** One conversation for as long as the component is mounted, or for as long as `id` stays the same. */
export function useThread(options = {}) {
  const shared = useContext(Context);
  const latest = useLatest({ ...options, client: options.client || shared });
  const [slot, setSlot] = useState(() => ({ id: options.id, thread: createThread(options.id, latest) }));
  if (slot.id === options.id) return slot.thread;
  const next = { id: options.id, thread: createThread(options.id, latest) };
  setSlot(next);
  return next.thread;
}

// ------------------------------------------------------------------------------------------------------------- pace

// How a text grew: [milliseconds since the first piece, UTF-16 units there by then]. Bound: DELTAS; past it every other
// is left out and the pause doubled.
function createPace() {
  let pause = 0;
  const pace = { start: undefined, deltas: [] };
  pace.note = (length) => {
    const at = Date.now();
    pace.start = pace.start || at;
    const passed = at - pace.start;
    const before = pace.deltas.length - 2;
    if (before >= 0 && passed - pace.deltas[before][0] < pause) pace.deltas.pop();
    if (pace.deltas.push([passed, length]) > DELTAS) {
      pause = pause * 2 || 16;
      pace.deltas = pace.deltas.filter((each, place) => place % 2 === 0);
    }
  };
  return pace;
}

// For a client that has no streamMessage.
function collect(thread, { id = newID(), metadata, ...options }) {
  const pace = createPace();
  let text = "";
  return {
    id,
    append(piece) {
      text += piece;
      pace.note(text.length);
    },
    end: ({ interrupted, metadata: more, ...fields } = {}) => thread.trackMessage({
      role: "assistant", ...options, ...fields, id, at: pace.start, content: text,
      metadata: { ...metadata, ...more, deltas: pace.deltas, ...(interrupted && { interrupted }) },
    }),
  };
}

// ------------------------------------------------------------------------------------------------------------- chat

// The pieces of an answer, whichever way it comes: a text, something to iterate over, or a stream of texts or bytes.
async function* piecesOf(answer) {
  const decoder = new TextDecoder();
  const text = (piece) => (typeof piece === "string" ? piece : decoder.decode(piece, { stream: true }));
  if (typeof answer === "string") yield answer;
  else if (answer && (answer[Symbol.asyncIterator] || answer[Symbol.iterator])) for await (const piece of answer) yield text(piece);
  else if (answer && answer.getReader) {
    const reader = answer.getReader();
    try {
      for (let step = await reader.read(); !step.done; step = await reader.read()) yield text(step.value);
    } finally {
      reader.cancel().catch(() => {});
    }
  } else throw new TypeError("send answers a text, or something that gives texts");
}

function createChat(latest, messages) {
  let state = { messages, status: "ready", error: undefined };
  const listeners = new Set();
  // The answer under way: how to end it before its time.
  let halt;

  const set = (change) => {
    state = { ...state, ...change };
    listeners.forEach((listener) => listener());
  };
  const change = (id, fields) => state.messages.map((each) => (each.id === id ? { ...each, ...fields } : each));

  async function answer(question, history, retryOf) {
    const { thread, send } = latest.current;
    const streamed = (options) => (thread.streamMessage ? thread.streamMessage(options) : collect(thread, options));
    const controller = new AbortController();
    const replyTo = question.id;
    let content = "";
    let stream;

    const append = (piece) => {
      if (!stream) {
        stream = streamed({ role: "assistant", replyTo, retryOf });
        set({ status: "streaming", messages: [...state.messages, { id: stream.id, role: "assistant", content, replyTo, status: "streaming" }] });
      }
      stream.append(piece);
      content += piece;
      set({ messages: change(stream.id, { content }) });
    };
    const over = (status, ending) => {
      halt = undefined;
      if (!stream) return;
      // Another id than before where the page was left in between, and what was there by then is recorded under the first.
      const id = stream.end(ending) || stream.id;
      set({ messages: change(stream.id, { id, status }) });
    };

    const mine = (halt = () => {
      controller.abort();
      over("interrupted", { interrupted: true });
      if (!stream) thread.trackEvent("answer_stopped", { replyTo });
      set({ status: "ready" });
    });
    set({ status: "submitted", error: undefined });
    try {
      const told = { messageId: replyTo, threadId: thread.id, history, retryOf, signal: controller.signal };
      for await (const piece of piecesOf(await send(question.content, told))) {
        if (halt !== mine) return;
        append(piece);
      }
      if (halt !== mine) return;
      if (!stream) append("");
      over("done");
      set({ status: "ready" });
    } catch (error) {
      if (halt !== mine) return;
      const said = String((error && error.message) || error).slice(0, 500);
      over("error", { interrupted: true, metadata: { error: said } });
      if (!stream) thread.trackEvent("answer_failed", { replyTo, error: said });
      set({ status: "error", error });
    }
  }

  const stop = () => halt && halt();
  const plain = ({ id, role, content }) => ({ id, role, content });

  return {
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    current: () => state,
    stop,

    ask(content) {
      stop();
      const history = state.messages.map(plain);
      const question = { id: latest.current.thread.trackMessage({ role: "user", content }), role: "user", content };
      set({ messages: [...state.messages, question] });
      answer(question, history);
      return question.id;
    },

    regenerate() {
      stop();
      const { messages } = state;
      const place = messages.map(({ role }) => role).lastIndexOf("user");
      if (place < 0) return;
      const [question, ...answers] = messages.slice(place);
      const last = answers.filter(({ role }) => role === "assistant").pop();
      set({ messages: messages.slice(0, place + 1) });
      answer(question, messages.slice(0, place).map(plain), last && last.id);
    },

    vote(id, thumb, comment) {
      someone(latest.current.client).trackFeedback(id, { thumb, comment });
      set({ messages: change(id, { thumb }) });
    },
  };
}

/** A chat and its record. `send` gets the text and where it belongs, and gives the answer: a text, a promise of one, or its pieces. */
export function useChat(options) {
  const shared = useContext(Context);
  const own = useThread(options);
  const thread = options.thread || own;
  const latest = useLatest({ thread, send: options.send, client: options.client || shared });
  const [chat] = useState(() => createChat(latest, options.initialMessages || []));
  const state = useSyncExternalStore(chat.subscribe, chat.current, chat.current);
  // An answer that nobody sees any more. On StrictMode's second mount there is none yet.
  useEffect(() => chat.stop, [chat]);
  const { ask, regenerate, stop, vote } = chat;
  return { ...state, thread, ask, regenerate, stop, vote };
}

// ------------------------------------------------------------------------------------------------- another hook's chat

// Thread and message → {id, text, answer}: what was recorded, under which id, and for a question its last answer. The
// page's, so that a component which is mounted anew records nothing twice. Bound: RECORDED, the oldest first.
const recorded = new Map();

function remember(key, entry) {
  recorded.delete(key);
  recorded.set(key, entry);
  const [oldest] = recorded.keys();
  if (recorded.size > RECORDED) recorded.delete(oldest);
  return entry;
}

// P-ID-3: whether an id is hard enough to guess to be a message's own.
function isStrong(id) {
  const text = String(id).replace(/[-_]/g, "");
  const least = /^\d+$/.test(text) ? 20 : /^[0-9a-f]+$/i.test(text) ? 16 : 11;
  return text.length >= least && String(id).length <= 128 && new Set(text).size >= 3;
}

// Texts as a text, anything more as blocks. The bytes of a file are not for a record of what was said.
function contentOf({ content, parts }) {
  if (!Array.isArray(parts)) return content == null ? "" : content;
  const said = parts.filter(({ type }) => type !== "step-start");
  if (said.every(({ type }) => type === "text")) return said.map(({ text }) => text).join("");
  return said.map((part) => (/^data:/.test(part.url) ? { ...part, url: undefined } : part));
}

const sizeOf = (content) => (typeof content === "string" ? content : content.map(({ text }) => text || "").join("")).length;

function createRecord(first, status) {
  const busy = (status) => status === "submitted" || status === "streaming";
  const isOpen = (messages, place, status) => messages[place].role === "assistant" && place === messages.length - 1 && busy(status);
  // What was there before: an earlier visit's, recorded then.
  const known = new Set(first.filter((each, place) => !isOpen(first, place, status)).map(({ id }) => id));
  // Messages that are being written → their pace. Bound: one, and what a chat breaks off.
  const paces = new Map();

  function look(thread, messages, { status, error, recordInitial }) {
    const keyOf = (message) => thread.id + " " + message.id;
    const present = new Set(messages.map(keyOf));
    let question;
    messages.forEach((message, place) => {
      const { id, role } = message;
      const key = keyOf(message);
      let entry = recorded.get(key);
      if (!/^(user|assistant|system|tool)$/.test(role)) return;
      if (isOpen(messages, place, status)) {
        if (!paces.has(id)) paces.set(id, createPace());
        return paces.get(id).note(sizeOf(contentOf(message)));
      }
      if (!entry || !busy(status)) {
        const content = contentOf(message);
        const text = JSON.stringify(content);
        const own = isStrong(id) ? id : undefined;
        if (!entry && known.has(id) && !recordInitial) entry = remember(key, { id: own, text });
        else if (!entry || entry.text !== text) entry = remember(key, { ...entry, text, id: track(own, content, entry) });
      }
      if (role === "user") question = entry;
      if (role === "assistant" && question) question.answer = { key, id: entry.id };

      function track(own, content, before) {
        const { start, deltas } = paces.get(id) || {};
        paces.delete(id);
        const { createdAt } = message;
        const replaced = role === "assistant" && question && question.answer && !present.has(question.answer.key) ? question.answer.id : undefined;
        const broken = status === "error" && role === "assistant" && place === messages.length - 1;
        return thread.trackMessage({
          id: before ? undefined : own, role, content,
          at: createdAt == null ? start : +new Date(createdAt) || start,
          replyTo: role === "assistant" && question ? question.id : undefined,
          // A change is a new message: of the same one, or of the one it took the place of.
          retryOf: before ? before.id : replaced,
          metadata: deltas || broken ? { ...(deltas && { deltas }), ...(broken && { interrupted: true }) } : undefined,
        });
      }
    });
    const last = messages[messages.length - 1];
    if (status !== "error" || !last || last.role !== "user" || question.failed) return;
    question.failed = true;
    thread.trackEvent("answer_failed", { replyTo: question.id, error: String((error && error.message) || error || "").slice(0, 500) });
  }

  return { look, idOf: (thread, id) => (recorded.get(thread.id + " " + id) || {}).id };
}

/** Records what another hook holds: each message once, an answer when it is finished. */
export function useRecordedChat(messages, options = {}) {
  const { status = "ready", error, recordInitial } = options;
  const own = useThread(options);
  const thread = options.thread || own;
  const [record] = useState(() => createRecord(messages, status));
  useEffect(() => record.look(thread, messages, { status, error, recordInitial }), [record, thread, messages, status, error, recordInitial]);
  return { thread, idOf: (id) => record.idOf(thread, id) };
}
